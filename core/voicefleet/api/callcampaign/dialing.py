"""How a campaign dials: numbers, pace, retries, answering machines, arms."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from voicefleet.api.base import ApiModel, Rule, is_set, ordered
from voicefleet.api.markers import Between, ListMap, ListSet
from voicefleet.api.types import Fraction, Items, Label, Percent, PhoneNumber, Positive, Seconds, ShortText, Text


class CallerIds(ApiModel):
    """Numbers that callees see."""

    numbers: Annotated[Items[PhoneNumber], Field(min_length=1, max_length=256), ListSet()]
    """Numbers in E.164; they must accept calls back."""
    selection: Literal["Area", "LeastUsed", "Sticky", "RoundRobin"] = "Area"
    """Which number is shown."""
    max_calls_per_number_per_day: Annotated[int, Field(ge=1, le=10_000)] = 75
    """Calls per number and day."""
    quarantine_answer_drop_percent: Percent = 40
    """Fall of a number's answer rate at which it is rested."""


class Pacing(ApiModel):
    """How fast calls are begun; the smallest limit wins and the status names it."""

    max_concurrent: Annotated[int, Field(ge=1, le=5000)] = 10
    """Calls at once, ringing ones included."""
    calls_per_second: Annotated[float, Between(0.001, 1000)] = 1.0
    """Calls begun per second."""
    ramp_seconds: Seconds = 60
    """Time over which the pace rises after each opening."""
    ringing_timeout_seconds: Annotated[int, Field(ge=15, le=60)] = 30
    """How long a phone rings."""
    weight: Annotated[int, Field(ge=1, le=1000)] = 100
    """Share among campaigns that compete for the same trunk or agent."""
    reserve_for_inbound_percent: Percent = 10
    """Share of the agent's slots that is left to people who call in."""


class Backoff(ApiModel):
    """When a contact is tried again after one kind of outcome."""

    RULES: ClassVar = (
        ordered("delay_seconds", "max_delay_seconds", message="delaySeconds must not be above maxDelaySeconds"),
    )

    outcome: Literal[
        "NoAnswer", "Busy", "Voicemail", "Declined", "CarrierError", "Unreachable", "MailboxFull", "Screening"
    ]
    """Outcome that it is about."""
    max_attempts: Annotated[int, Field(ge=0, le=10)] = 3
    """Attempts that may end so."""
    delay_seconds: Annotated[int, Field(ge=60, le=2_592_000)] = 14_400
    """Time until the next attempt."""
    max_delay_seconds: Annotated[int, Field(ge=60, le=2_592_000)] | None = None
    """Longest time until the next attempt, if it doubles each time; absent means that it does not."""
    other_daypart: bool = True
    """Whether the next attempt is made at another time of day."""


class Retries(ApiModel):
    """When a contact is tried again."""

    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Attempts in all."""
    by_outcome: Annotated[Items[Backoff], Field(max_length=8), ListMap("outcome")] = ()
    """What differs by outcome; absent ones use the defaults of their kind."""
    on_uncertain: Literal["Skip", "RetryNextWindow"] = "Skip"
    """What happens to a contact who may or may not have been called."""
    jitter_percent: Annotated[int, Field(ge=0, le=50)] = 10
    """Spread of all delays."""


class VoicemailPolicy(ApiModel):
    """What happens when a machine answers."""

    RULES: ClassVar = (
        Rule(
            cel="self.action != 'LeaveMessage' || has(self.message)",
            check=lambda voicemail: voicemail.action != "LeaveMessage" or is_set(voicemail, "message"),
            message="action LeaveMessage needs message: write what is left on the machine",
        ),
    )

    action: Literal["HangUp", "LeaveMessage"] = "HangUp"
    """Whether anything is left."""
    message: Text | None = None
    """What is left; variables stand in double braces."""
    max_messages: Annotated[int, Field(ge=1, le=3)] = 1
    """Messages that one contact gets."""
    beep_timeout_seconds: Annotated[int, Field(ge=2, le=60)] = 30
    """How long the tone is waited for."""


class MachineDetection(ApiModel):
    """Telling people from machines; in doubt it is a person."""

    enabled: bool = True
    """Whether machines are looked for."""
    timeout_seconds: Annotated[int, Field(ge=2, le=60)] = 20
    """Time after which it counts as a person."""
    human_speech_milliseconds: Annotated[int, Field(ge=500, le=10_000)] = 2500
    """Longest greeting that a person gives."""
    voicemail: VoicemailPolicy = VoicemailPolicy()
    """What happens when a machine answers."""
    screening: Literal["StateReason", "HangUp"] = "StateReason"
    """What happens when a phone asks who is calling."""
    screening_text: Text | None = None
    """What is said to a phone that asks; absent means who calls and why."""


class Arm(ApiModel):
    """One variant under test."""

    name: Label
    """Name of the arm."""
    weight: Positive = 1
    """Share of contacts."""
    agent: Label | None = None
    """VoiceAgent in place of the campaign's."""
    instructions: Annotated[str, Field(max_length=16_384)] | None = None
    """Instructions in place of the entry agent's."""
    variables: Annotated[dict[str, ShortText], Field(max_length=32)] | None = None
    """Variables that the arm sets."""
    voice: ShortText | None = None
    """Voice in place of the agent's."""


class Experiment(ApiModel):
    """Variants under test; a contact stays in its arm."""

    arms: Annotated[Items[Arm], Field(min_length=2, max_length=8), ListMap("name")]
    """The variants."""
    goal: Literal["Completed", "Conversion", "Answered", "Duration"] = "Completed"
    """What is compared."""
    confidence: Annotated[float, Between(0.5, 0.9999)] = 0.95
    """How sure a difference must be."""
    stop_at_opt_out_fraction: Fraction = 0.05
    """Share of callees who opt out at which an arm is stopped."""
