"""How a caller is put through to a person, and what is said when that fails. Pure."""

from dataclasses import dataclass

from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.voiceagent.telephony import Telephony, Transfer
from voicefleet.conversation.keypad import Meaning, WantsAction, WantsPerson

_BUSY = (486, 600)
_UNANSWERED = (408, 480, 487)
_DECLINED = (403, 603, 607, 608)


@dataclass(frozen=True, slots=True)
class DialOut:
    """How a person is dialed."""

    trunk_id: str
    caller_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refer:
    """The caller's own carrier is asked to connect the caller to somebody else."""

    number: str
    ringing_seconds: int


@dataclass(frozen=True, slots=True)
class Dial:
    """The person is dialed into the call."""

    number: str
    ringing_seconds: int
    over: DialOut


@dataclass(frozen=True, slots=True)
class Impossible:
    """A transfer that cannot be; says why in words for the model."""

    why: str


def dial_out(telephony: Telephony, pool: ProviderPool) -> DialOut | None:
    """Return how people are dialed: over the agent's outbound trunk, or else the only one that calls out."""
    outbound = telephony.outbound
    trunks = [trunk for trunk in pool.spec.trunks if trunk.trunk_id and trunk.direction != "Inbound"]
    if outbound is not None:
        trunks = [trunk for trunk in trunks if trunk.name == outbound.trunk]
    if len(trunks) != 1 or trunks[0].trunk_id is None:
        return None
    return DialOut(trunks[0].trunk_id, outbound.caller_ids[0] if outbound is not None else None)


def can_transfer(transfer: Transfer, over: DialOut | None) -> bool:
    """Tell whether a transfer of this kind could ever be made."""
    return transfer.mode == "Cold" or over is not None


def transfer_by_keys(meaning: Meaning, telephony: Telephony) -> Transfer | None:
    """Return where keys put a caller through to; a number of their own is reached as the spec's other one is."""
    match meaning:
        case WantsPerson():
            return telephony.transfer
        case WantsAction(action=action) if action.transfer_to is not None:
            other = telephony.transfer or Transfer(number=action.transfer_to)
            return other.model_copy(update={"number": action.transfer_to})
        case _:
            return None


def plan_transfer(
    transfer: Transfer, over: DialOut | None, telephony: Telephony, *, is_phone: bool
) -> Refer | Dial | Impossible:
    """Decide how a caller is put through."""
    ringing_seconds = min(transfer.ringing_timeout_seconds, telephony.max_hold_seconds)
    if transfer.mode == "Warm":
        if over is None:
            return Impossible("nobody can be dialed from here")
        return Dial(transfer.number, ringing_seconds, over)
    if not is_phone:
        return Impossible("the caller is not on a phone, and cannot be put through")
    return Refer(transfer.number, ringing_seconds)


def why_not(sip_status: int | None) -> str:
    """Say why somebody could not be reached, as their side put it."""
    if sip_status in _BUSY:
        return "the line is busy"
    if sip_status in _DECLINED:
        return "the call was declined"
    if sip_status is None or sip_status in _UNANSWERED:
        return "nobody picked up"
    return "the call did not get through"


def after_failure(transfer: Transfer, why: str) -> str:
    """Return what the agent is told to do about a transfer that failed."""
    failed = f"The caller could not be put through: {why}. Say so in one short sentence"
    match transfer.on_failure:
        case "ResumeConversation":
            return f"{failed}, and go on."
        case "OfferCallback":
            return f"{failed}, and offer that somebody calls back."
        case "EndCall":
            return f"{failed}, and say goodbye."
