"""What the gateway tells of each call, parsed once. `sip_gateway/record.go` is the other side of it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict


class Reject(TypedDict):
    """A final SIP answer other than 2xx."""

    status: int
    text: NotRequired[str]
    after_ms: NotRequired[int]


class Transfer(TypedDict, total=False):
    """What the far end says to a REFER; 200 at once by default."""

    status: int
    text: str
    after_ms: int


class Digits(TypedDict):
    """Keys the callee presses some time after the answer."""

    digits: str
    after_ms: NotRequired[int]


class Tone(TypedDict):
    """One or more sine waves together."""

    hz: list[float]
    ms: int


class WaitForAgent(TypedDict):
    """Listen until the agent has spoken and fallen silent, or never began."""

    start_within_ms: int
    quiet_ms: int


class Step(TypedDict, total=False):
    """One thing the callee does; exactly one key."""

    say: str
    pause_ms: int
    tone: Tone
    dtmf: str
    wait_for_agent: WaitForAgent
    hang_up: bool


class Behaviour(TypedDict, total=False):
    """How one INVITE is met; `sip_gateway/behaviour.go` says what each key does and what its absence means."""

    trying_ms: int
    ring_ms: int
    final: str
    """answer, busy, reject, no_answer or no_response"""
    reject: Reject
    callee: str
    """human, silent, voicemail, fax, fax_cng or screening"""
    greeting: str
    lines: list[str]
    pause_ms: int
    record_ms: int
    screening_refuses: bool
    steps: list[Step]
    hang_up_when_done: bool
    hang_up_after_ms: int
    drop_after_ms: int
    dtmf: Digits
    transfer: Transfer
    patience_ms: int


class Throttle(TypedDict, total=False):
    """A trunk's limits, and how the carrier refuses what is beyond them (503 by default)."""

    max_calls_per_second: int
    max_concurrent: int
    status: int
    text: str


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call as the gateway wrote it down. Times in `_ms` count from the answer."""

    seq: int
    id: str
    direction: str
    trunk_id: str
    rule_id: str
    from_number: str
    call_to: str
    room: str
    participant_identity: str
    attributes: Mapping[str, str]
    headers: Mapping[str, str]
    ringing_timeout_ms: int
    wait_until_answered: bool
    asked_at: datetime
    ringing_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    outcome: str
    """pending, answered, rejected, no_answer, canceled, no_response, failed or hung"""
    status_code: int
    status_text: str
    ended_by: str
    """callee, drop, room, transfer, max_duration, shutdown, or empty"""
    error: str
    events: tuple[tuple[int, str], ...]
    dtmf_received: str
    dtmf_sent: str
    transfers: tuple[tuple[str, int], ...]
    """Where to, and the SIP status"""
    heard_ms: int
    voiced_ms: int
    agent_first_audio_ms: int | None
    agent_last_audio_ms: int | None
    state: str = ""
    """dialing, ringing, automation, active or ended; only of `SipGateway.call` and `calls`"""
    envelope_dbfs: tuple[int, ...] = ()
    """Loudness of each 100 ms since the answer; only of `SipGateway.call`"""


def parse_record(raw: Mapping[str, Any]) -> CallRecord:
    """Read one record as the gateway writes it."""
    known = {name: raw[name] for name in CallRecord.__dataclass_fields__ if name in raw}
    for name in ("asked_at", "ringing_at", "answered_at", "ended_at"):
        known[name] = _time(raw[name])
    known["rule_id"] = raw.get("rule_id", "")
    known["events"] = tuple((event["at_ms"], event["what"]) for event in raw["events"] or ())
    known["dtmf_received"] = "".join(key["digit"] for key in raw["dtmf_received"] or ())
    known["dtmf_sent"] = "".join(key["digit"] for key in raw["dtmf_sent"] or ())
    known["transfers"] = tuple((refer["to"], refer["status_code"]) for refer in raw["transfers"] or ())
    known["envelope_dbfs"] = tuple(raw.get("envelope_dbfs") or ())
    return CallRecord(**known)


def parse_records(raw: Iterable[Mapping[str, Any]]) -> tuple[CallRecord, ...]:
    """Read many."""
    return tuple(parse_record(one) for one in raw)


def read_invite_log(path: Path) -> tuple[CallRecord, ...]:
    """Read every call of an invite log, also of a gateway that was killed: an id's last whole line is its state."""
    states: dict[str, CallRecord] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                record = parse_record(json.loads(line))
            except json.JSONDecodeError:
                continue  # torn by the kill
            states[record.id] = record
    return tuple(states.values())


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
