"""How a call sounds: turns, interruptions, silence, background, and when it is over."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from voicefleet.api.base import ApiModel, Rule, exactly_one_of, ordered
from voicefleet.api.types import Fraction, HttpUrl, Items, Milliseconds, Seconds, ShortText, Text


class Interruption(ApiModel):
    """Callers who speak over the agent."""

    enabled: bool = True
    """Whether callers may interrupt."""
    min_duration_milliseconds: Milliseconds = 500
    """Shortest speech that interrupts."""
    min_words: Annotated[int, Field(ge=0, le=20)] = 0
    """Fewest words that interrupt."""
    resume_false_interruption: bool = True
    """Whether the agent goes on when nothing was said after all."""
    false_interruption_timeout_milliseconds: Milliseconds = 2000
    """Time without a word after which an interruption counts as false."""


class TurnTaking(ApiModel):
    """Deciding that the caller has finished."""

    RULES: ClassVar = (
        ordered(
            "min_delay_milliseconds",
            "max_delay_milliseconds",
            message="minDelayMilliseconds must not be above maxDelayMilliseconds",
        ),
    )

    detection: Literal["Model", "Vad", "Stt", "PushToTalk"] = "Model"
    """What decides: the bundled turn model, silence, the recogniser, or a key."""
    min_delay_milliseconds: Milliseconds = 300
    """Shortest wait after the caller's last word."""
    max_delay_milliseconds: Milliseconds = 2500
    """Longest wait when the caller may not have finished."""
    preemptive_generation: bool = True
    """Whether the model begins to think before the turn is certain."""
    max_turn_seconds: Seconds = 0
    """Longest turn of the caller before the agent steps in; 0 is no limit."""


class PushToTalk(ApiModel):
    """Speaking while a key is held."""

    commit_digit: Annotated[str, Field(max_length=1, pattern=r"^[0-9*#]?$")] = ""
    """Phone key that ends a turn; empty for callers who signal it from their app."""
    max_hold_seconds: Annotated[int, Field(ge=1, le=600)] = 60
    """Longest time that the key may be held."""


class Away(ApiModel):
    """Callers who say nothing."""

    after_seconds: Annotated[int, Field(ge=3, le=600)] = 15
    """Silence after which the caller counts as away."""
    prompts: Annotated[Items[Text], Field(max_length=5)] = ()
    """What is said to bring the caller back, in this order; absent means a short phrase in the agent's language."""
    max_prompts: Annotated[int, Field(ge=0, le=5)] = 2
    """Prompts after which the call is ended."""


class Sound(ApiModel):
    """One sound."""

    RULES: ClassVar = (exactly_one_of("clip", "url"),)

    clip: (
        Literal["OfficeAmbience", "CrowdedRoom", "CityAmbience", "ForestAmbience", "KeyboardTyping", "HoldMusic"] | None
    ) = None
    """A sound that ships with the worker."""
    url: HttpUrl | None = None
    """A sound file of yours, fetched when a worker starts."""
    volume: Fraction = 0.3
    """Loudness."""


class BackgroundAudio(ApiModel):
    """Sounds behind the voice."""

    ambient: Sound | None = None
    """Sound that plays all the time."""
    thinking: Sound | None = None
    """Sound that plays while the agent thinks."""
    hold: Sound | None = None
    """Sound that plays while the caller is on hold."""


class NoiseSuppression(ApiModel):
    """Cleaning the caller's sound; done in the worker, offline."""

    mode: Literal["Off", "WebRtc"] = "WebRtc"
    """How it is cleaned."""
    high_pass_filter: bool = True
    """Whether rumble is cut."""


class Duration(ApiModel):
    """How long a call may last."""

    RULES: ClassVar = (ordered("warn_at_seconds", "max_seconds", message="warnAtSeconds must not be above maxSeconds"),)

    max_seconds: Annotated[int, Field(ge=30, le=86_400)] = 3600
    """Length after which the agent says goodbye and ends the call."""
    warn_at_seconds: Annotated[int, Field(ge=10, le=86_400)] | None = None
    """Length at which the agent says that time is running out."""
    goodbye: Text | None = None
    """What is said at the end."""


class Identification(ApiModel):
    """Saying who calls and that it is a machine."""

    disclose_ai: bool = True
    """Whether the agent says at the beginning that it is an AI."""
    text: Text | None = None
    """Words of the disclosure; absent means a short phrase in the agent's language."""


class Conversation(ApiModel):
    """How a call sounds."""

    RULES: ClassVar = (
        Rule(
            cel="self.turnTaking.detection == 'PushToTalk' || !has(self.pushToTalk)",
            check=lambda talk: talk.turn_taking.detection == "PushToTalk" or talk.push_to_talk is None,
            message="pushToTalk needs turnTaking.detection: PushToTalk",
        ),
    )

    interruption: Interruption = Interruption()
    """Callers who speak over the agent."""
    turn_taking: TurnTaking = TurnTaking()
    """Deciding that the caller has finished."""
    push_to_talk: PushToTalk | None = None
    """Speaking while a key is held."""
    away: Away = Away()
    """Callers who say nothing."""
    background_audio: BackgroundAudio | None = None
    """Sounds behind the voice."""
    noise_suppression: NoiseSuppression = NoiseSuppression()
    """Cleaning the caller's sound."""
    duration: Duration = Duration()
    """How long a call may last."""
    identification: Identification = Identification()
    """Saying who calls and that it is a machine."""
    end_phrases: Annotated[Items[ShortText], Field(max_length=32)] = ()
    """Words of the caller that end the call."""
