"""Which providers hear, think and speak for an agent: three of them, or one that does it all."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.voice import (
    LanguageModel,
    ModelChoice,
    Pipeline,
    Realtime,
    SpeechToText,
    TextToSpeech,
    Voice,
    VoiceActivity,
)
from voicefleet.problem import DialogueProblem
from voicefleet.providers.lineup import Lineup, Nobody, line_up
from voicefleet.providers.routing import Role

# OpenAI has taken the temperature out of its realtime protocol.
_KNOWS_TEMPERATURE = ("google",)


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """Three models, streaming throughout."""

    hearing: SpeechToText
    thinking: LanguageModel
    speaking: TextToSpeech
    vad: VoiceActivity
    stt: Lineup
    llm: Lineup
    tts: Lineup

    @property
    def lineups(self) -> tuple[Lineup, ...]:
        """Who may do the three jobs, in the order in which a turn meets them."""
        return (self.stt, self.llm, self.tts)

    def changed(self, change: Callable[[Lineup], Lineup]) -> "PipelinePlan":
        """Return the plan with other line-ups."""
        return replace(self, stt=change(self.stt), llm=change(self.llm), tts=change(self.tts))


@dataclass(frozen=True, slots=True)
class RealtimePlan:
    """One model that hears, thinks and, unless somebody else is to, speaks."""

    conversing: Realtime
    realtime: Lineup
    tts: Lineup | None
    """Who speaks in place of the model."""

    @property
    def lineups(self) -> tuple[Lineup, ...]:
        """Who may do the jobs, in the order in which a turn meets them."""
        return (self.realtime,) if self.tts is None else (self.realtime, self.tts)

    @property
    def decides_about_turns(self) -> bool:
        """Whether it is the model that knows when the caller has finished."""
        return self.conversing.turn_detection == "Server"

    def changed(self, change: Callable[[Lineup], Lineup]) -> "RealtimePlan":
        """Return the plan with other line-ups."""
        return replace(self, realtime=change(self.realtime), tts=None if self.tts is None else change(self.tts))


VoicePlan = PipelinePlan | RealtimePlan


def choice_for(voice: VoicePlan, role: Role) -> ModelChoice:
    """Return what the agent wishes of who does a job."""
    match voice, role:
        case RealtimePlan(), "Tts":
            return voice.conversing.tts or TextToSpeech()
        case RealtimePlan(), _:
            return voice.conversing
        case PipelinePlan(), "Stt":
            return voice.hearing
        case PipelinePlan(), "Llm":
            return voice.thinking
        case _:
            return voice.speaking


def plan_voice(
    pool: ProviderPool, voice: Voice, conversation: Conversation, *, at: str, language: str
) -> VoicePlan | DialogueProblem:
    """Decide who hears, thinks and speaks, or say what stands in the way."""
    if voice.realtime is not None:
        return _plan_realtime(pool, voice.realtime, conversation, f"{at}.realtime", language)
    pipeline = voice.pipeline or Pipeline()
    stt = _line_up(pool, "Stt", pipeline.stt, language, at=f"{at}.pipeline.stt")
    llm = _line_up(pool, "Llm", pipeline.llm, language, at=f"{at}.pipeline.llm")
    tts = _line_up(pool, "Tts", pipeline.tts, language, at=f"{at}.pipeline.tts")
    if isinstance(stt, DialogueProblem):
        return stt
    if isinstance(llm, DialogueProblem):
        return llm
    if isinstance(tts, DialogueProblem):
        return tts
    return PipelinePlan(pipeline.stt, pipeline.llm, pipeline.tts, pipeline.vad, stt, llm, tts)


def ignored_wishes(voice: VoicePlan, at: str) -> tuple[str, ...]:
    """Name the wishes that none of the providers can fulfil."""
    if isinstance(voice, PipelinePlan) or voice.conversing.temperature is None:
        return ()
    knows = any(plan.plugin in _KNOWS_TEMPERATURE for plan in voice.realtime.plans)
    return () if knows else (f"{at}.realtime.temperature",)


def _plan_realtime(
    pool: ProviderPool, wish: Realtime, conversation: Conversation, at: str, language: str
) -> RealtimePlan | DialogueProblem:
    if problem := _clash(wish, conversation):
        return problem
    realtime = _line_up(pool, "Realtime", wish, language, at=at)
    if isinstance(realtime, DialogueProblem):
        return realtime
    tts = None if wish.tts is None else _line_up(pool, "Tts", wish.tts, language, at=f"{at}.tts")
    if isinstance(tts, DialogueProblem):
        return tts
    return RealtimePlan(wish, realtime, tts)


def _clash(wish: Realtime, conversation: Conversation) -> DialogueProblem | None:
    """Say which wish a realtime model cannot fulfil."""
    if wish.turn_detection == "Server" and not conversation.interruption.enabled:
        message = (
            "callers can always interrupt a model that decides about turns: set voice.realtime.turnDetection Local"
        )
        return DialogueProblem("agent", "spec.conversation.interruption.enabled", message)
    if wish.turn_detection == "Local" and conversation.turn_taking.detection == "Stt":
        message = "a realtime model hears by itself, so there is no Stt to decide about turns: set Model or Vad"
        return DialogueProblem("agent", "spec.conversation.turnTaking.detection", message)
    return None


def _line_up(
    pool: ProviderPool, role: Role, choice: ModelChoice, language: str, *, at: str
) -> Lineup | DialogueProblem:
    found = line_up(pool, role, choice, language=language)
    if isinstance(found, Nobody):
        if found.is_listed:
            return DialogueProblem("agent", f"{at}.providers", found.message)
        return DialogueProblem("pool", "spec.providers", found.message)
    return found
