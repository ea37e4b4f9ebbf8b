"""Start the SIP gateway and script it over HTTP."""

import http.client
import json
import os
import selectors
import signal
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from e2e.sip_gateway.records import Behaviour, CallRecord, Throttle, parse_record, parse_records, read_invite_log

_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_REQUEST_SECONDS = 30.0
_TAIL_CHARACTERS = 2_000


class SipGatewayError(Exception):
    """The gateway didn't start, or refused a request; the message is its own."""


class _Livekit(Protocol):
    @property
    def ws_url(self) -> str: ...
    @property
    def http_url(self) -> str: ...
    @property
    def api_key(self) -> str: ...
    @property
    def api_secret(self) -> str: ...


class SupportsSipGateway(Protocol):
    """What a bench must have."""

    @property
    def livekit(self) -> _Livekit: ...
    @property
    def redis_url(self) -> str: ...
    def binary(self, name: str, /) -> Path: ...


@dataclass(frozen=True, slots=True)
class SipGateway:
    """A running gateway."""

    address: str
    """host:port of its HTTP side"""
    invite_log: Path
    process: subprocess.Popen[bytes]

    def set_default(self, behaviour: Behaviour | None = None, *, throttle: Throttle | None = None) -> None:
        """Say how every number without a script of its own behaves, and what the trunk allows."""
        script: dict[str, object] = {"default": behaviour or {}}
        if throttle is not None:
            script["throttle"] = throttle
        self._ask("PUT", "/script", script)

    def script_number(self, number: str, *behaviours: Behaviour) -> None:
        """Script one number: one behaviour for each attempt, the last one for all that follow."""
        self._ask("PUT", f"/numbers/{urllib.parse.quote(number)}", list(behaviours))

    def reset(self) -> None:
        """Forget all scripts, the throttle and the fault; records stay."""
        self._ask("DELETE", "/script")

    def set_fault(self, mode: str, *, calls: int = 0) -> None:
        """Make the gateway itself go wrong, for the next `calls` requests or, if 0, from now on.

        Modes: none, hang, reply_lost, crash_before_invite, crash_after_invite, crash_after_answer.
        """
        self._ask("PUT", "/fault", {"mode": mode, "calls": calls})

    def invites(self, *, since: int = 0) -> tuple[CallRecord, ...]:
        """Every INVITE it was asked for, in order, after the one with `seq` since."""
        return parse_records(self._ask("GET", f"/invites?since={since}"))

    def inbound_calls(self, *, since: int = 0) -> tuple[CallRecord, ...]:
        """Every call that came in."""
        return parse_records(self._ask("GET", f"/inbound?since={since}"))

    def logged_invites(self) -> tuple[CallRecord, ...]:
        """The same from its file: also when it is dead, and after `forget`."""
        return tuple(record for record in read_invite_log(self.invite_log) if record.direction == "outbound")

    def forget(self) -> None:
        """Forget all records in memory."""
        self._ask("DELETE", "/invites")

    def calls(self) -> tuple[CallRecord, ...]:
        """The calls that are up: dialing, ringing or answered."""
        return parse_records(self._ask("GET", "/calls"))

    def call(self, call_id: str) -> CallRecord:
        """One call, up or ended, with its envelope."""
        return parse_record(self._ask("GET", f"/calls/{call_id}"))

    def heard_wave(self, call_id: str) -> bytes:
        """What the callee heard, as a WAV file of 16 kHz: the first two minutes, gaps left out."""
        return self._request("GET", f"/calls/{call_id}/heard.wav")

    def hang_up(self, call_id: str) -> None:
        """Let the callee hang up."""
        self._ask("POST", f"/calls/{call_id}/hangup")

    def press(self, call_id: str, digits: str) -> None:
        """Let the callee press keys."""
        self._ask("POST", f"/calls/{call_id}/dtmf", {"digits": digits})

    def say(self, call_id: str, text: str) -> None:
        """Let the callee say something; returns when it was said."""
        self._ask("POST", f"/calls/{call_id}/say", {"text": text})

    def ring_in(
        self, from_number: str, to_number: str, behaviour: Behaviour | None = None, **more: str | Mapping[str, str]
    ) -> CallRecord:
        """Let a call come in; returns its record, ringing in a room or refused.

        More: pin, username, password, source_ip, headers.
        """
        request = {"from": from_number, "to": to_number, "behaviour": behaviour or {}, **more}
        return parse_record(self._ask("POST", "/inbound", request))

    def kill(self) -> None:
        """Kill it as a node failure would."""
        self.process.kill()
        self.process.wait(_STOP_SECONDS)

    def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON has no type
        return json.loads(self._request(method, path, body))

    def _request(self, method: str, path: str, body: object = None) -> bytes:
        connection = http.client.HTTPConnection(self.address, timeout=_REQUEST_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise SipGatewayError(f"{method} {path}: {response.status} {answer.decode(errors='replace').strip()}")
        return answer


@contextmanager
def start_sip_gateway(bench: SupportsSipGateway, *, invite_log: Path | None = None) -> Iterator[SipGateway]:
    """Run a gateway for the length of a `with` block. One bench has one at a time: two would share the calls."""
    with tempfile.TemporaryDirectory(prefix="sip-gateway-") as directory:
        log = Path(directory) / "stderr.log"
        invites = invite_log or Path(directory) / "invites.jsonl"
        with log.open("wb") as stderr, _spawn(bench, invites, stderr.fileno()) as process:
            try:
                yield SipGateway(_await_address(process, log), invites, process)
            finally:
                _stop(process)


def _spawn(bench: SupportsSipGateway, invites: Path, stderr: int) -> subprocess.Popen[bytes]:
    command = (str(bench.binary("sip-gateway")), "--invite-log", str(invites), "--exit-with-stdin")
    environment = {
        **os.environ,
        "REDIS_URL": bench.redis_url,
        "LIVEKIT_URL": bench.livekit.ws_url,
        "LIVEKIT_API_KEY": bench.livekit.api_key,
        "LIVEKIT_API_SECRET": bench.livekit.api_secret,
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=stderr)


def _await_address(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(_START_SECONDS) else b""
    if not line:
        tail = log.read_text(errors="replace")[-_TAIL_CHARACTERS:]
        raise SipGatewayError(f"the SIP gateway said nothing within {_START_SECONDS:.0f} s\n{tail}")
    return str(json.loads(line)["control_address"])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
