"""How calls come in and go out: numbers, trunks, DTMF and transfer."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel, at_least_one_of, exactly_one_of
from voicefleet.api.markers import ListMap, ListSet
from voicefleet.api.references import SecretKeyRef
from voicefleet.api.types import DtmfDigits, Items, Label, PhoneNumber, Seconds, ShortText, Text

PhoneNumbers = Annotated[Items[PhoneNumber], Field(max_length=256), ListSet()]


class Inbound(ApiModel):
    """Numbers whose calls this agent takes."""

    RULES: ClassVar = (at_least_one_of("numbers", "trunks"),)

    numbers: PhoneNumbers = ()
    """Numbers that callers dial, in E.164; absent takes every number of the trunks."""
    trunks: Annotated[Items[Label], Field(max_length=16), ListSet()] = ()
    """Trunks of the pool that the calls come over; absent means all of them."""
    allowed_callers: PhoneNumbers = ()
    """Callers that are let through; absent lets everybody."""
    blocked_callers: PhoneNumbers = ()
    """Callers that are turned away."""
    room_prefix: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")] = "call-"
    """Beginning of the names of the rooms that calls are put into."""
    pin: SecretKeyRef | None = None
    """Number that callers must key in first."""
    ringing_timeout_seconds: Annotated[int, Field(ge=5, le=80)] = 30
    """How long a caller hears ringing before the call is given up."""
    max_waiting_calls: Annotated[int, Field(ge=0, le=1000)] = 10
    """Callers that may wait for a free slot at once."""
    overflow_number: PhoneNumber | None = None
    """Number to which callers are sent when no slot comes free."""


class Outbound(ApiModel):
    """How this agent calls out."""

    trunk: Label
    """Trunk of the pool that calls go over."""
    caller_ids: Annotated[Items[PhoneNumber], Field(min_length=1, max_length=256), ListSet()]
    """Numbers that callees see."""
    ringing_timeout_seconds: Annotated[int, Field(ge=15, le=60)] = 30
    """How long a callee's phone rings."""


class DtmfAction(ApiModel):
    """What a key of the caller's phone does."""

    RULES: ClassVar = (exactly_one_of("transfer_to", "agent", "end_call"),)

    digits: DtmfDigits
    """Key or keys that the caller presses."""
    transfer_to: PhoneNumber | None = None
    """Number that the caller is put through to."""
    agent: Label | None = None
    """Agent of this spec that takes over."""
    end_call: Literal[True] | None = None
    """End the call with a goodbye."""


class Dtmf(ApiModel):
    """Keys of the phone."""

    enabled: bool = True
    """Whether pressed keys are listened to."""
    human_digit: Annotated[str, StringConstraints(max_length=1, pattern=r"^[0-9*#]?$")] = "0"
    """Key that asks for a person; empty for none."""
    actions: Annotated[Items[DtmfAction], Field(max_length=16), ListMap("digits")] = ()
    """What further keys do."""
    inter_digit_timeout_milliseconds: Annotated[int, Field(ge=100, le=10_000)] = 2000
    """Pause after which pressed keys count as complete."""


class Transfer(ApiModel):
    """Putting a caller through to a person."""

    number: PhoneNumber
    """Number of the person or the queue."""
    mode: Literal["Cold", "Warm"] = "Cold"
    """Cold hands the call over at once; Warm introduces the caller first."""
    announcement: Text | None = None
    """What is said before the call is handed over."""
    ringing_timeout_seconds: Annotated[int, Field(ge=5, le=80)] = 30
    """How long the person's phone rings."""
    on_failure: Literal["ResumeConversation", "OfferCallback", "EndCall"] = "ResumeConversation"
    """What happens when nobody picks up."""


class Telephony(ApiModel):
    """How calls come in and go out."""

    inbound: Inbound | None = None
    """Numbers whose calls this agent takes."""
    outbound: Outbound | None = None
    """How this agent calls out."""
    dtmf: Dtmf = Dtmf()
    """Keys of the phone."""
    transfer: Transfer | None = None
    """Putting a caller through to a person."""
    headers_to_attributes: Annotated[dict[str, ShortText], Field(max_length=32)] | None = None
    """SIP headers that become attributes of the call."""
    max_hold_seconds: Seconds = 600
    """How long a caller may be kept on hold."""
