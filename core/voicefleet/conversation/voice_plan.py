"""Which providers hear, think and speak for an agent: three of them, or one that does it all."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.voiceagent.agents import StructuredOutput
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
from voicefleet.providers.needs import AgentNeeds
from voicefleet.providers.routing import Role

# Makes that have a word for what the others don't know; OpenAI has taken the temperature out of its realtime protocol.
_KNOW_KEYTERMS = ("assemblyai", "deepgram", "google")
_KNOW_EMOTION = ("cartesia",)
_KNOW_STYLE = ("openai",)
_KNOW_TEMPERATURE = ("google",)


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
    pool: ProviderPool, voice: Voice, conversation: Conversation, needs: AgentNeeds, *, at: str
) -> VoicePlan | DialogueProblem:
    """Decide who hears, thinks and speaks, or say what stands in the way."""
    if voice.realtime is not None:
        return _plan_realtime(pool, voice.realtime, conversation, needs, f"{at}.realtime")
    pipeline = voice.pipeline or Pipeline()
    stt = _line_up(pool, "Stt", pipeline.stt, needs, at=f"{at}.pipeline.stt")
    llm = _line_up(pool, "Llm", pipeline.llm, needs, at=f"{at}.pipeline.llm")
    tts = _line_up(pool, "Tts", pipeline.tts, needs, at=f"{at}.pipeline.tts")
    if isinstance(stt, DialogueProblem):
        return stt
    if isinstance(llm, DialogueProblem):
        return llm
    if isinstance(tts, DialogueProblem):
        return tts
    return PipelinePlan(pipeline.stt, pipeline.llm, pipeline.tts, pipeline.vad, stt, llm, tts)


def ignored_wishes(voice: VoicePlan, at: str) -> tuple[str, ...]:
    """Name the wishes that none of the providers can fulfil."""
    wishes = _wishes(voice, at)
    return tuple(field for field, wished, lineup, makes in wishes if wished and not _is_known(lineup, makes))


def _wishes(voice: VoicePlan, at: str) -> tuple[tuple[str, object, Lineup | None, tuple[str, ...]], ...]:
    """Return those that not every make knows: the field, what is wished, of whom, and who knows it."""
    if isinstance(voice, PipelinePlan):
        return (
            (f"{at}.pipeline.stt.keyterms", voice.hearing.keyterms, voice.stt, _KNOW_KEYTERMS),
            (f"{at}.pipeline.tts.emotion", voice.speaking.emotion, voice.tts, _KNOW_EMOTION),
        )
    wish = voice.conversing
    return (
        (f"{at}.realtime.temperature", wish.temperature is not None, voice.realtime, _KNOW_TEMPERATURE),
        (f"{at}.realtime.tts.emotion", wish.tts and wish.tts.emotion, voice.tts, _KNOW_EMOTION),
    )


def ignored_steering(voice: VoicePlan, structured: StructuredOutput | None, at: str) -> tuple[str, ...]:
    """Name the fields of an agent's answers that none of its voices can follow."""
    if structured is None or isinstance(voice, RealtimePlan):
        return ()
    wishes = (
        (f"{at}.emotionField", structured.emotion_field, _KNOW_EMOTION),
        (f"{at}.styleField", structured.style_field, _KNOW_STYLE),
    )
    return tuple(field for field, wished, makes in wishes if wished and not _is_known(voice.tts, makes))


def _plan_realtime(
    pool: ProviderPool, wish: Realtime, conversation: Conversation, needs: AgentNeeds, at: str
) -> RealtimePlan | DialogueProblem:
    if problem := _clash(wish, conversation):
        return problem
    realtime = _line_up(pool, "Realtime", wish, needs, at=at)
    if isinstance(realtime, DialogueProblem):
        return realtime
    tts = None if wish.tts is None else _line_up(pool, "Tts", wish.tts, needs, at=f"{at}.tts")
    if isinstance(tts, DialogueProblem):
        return tts
    return RealtimePlan(wish, realtime, tts)


def _is_known(lineup: Lineup | None, makes: tuple[str, ...]) -> bool:
    return lineup is not None and any(plan.plugin in makes for plan in lineup.plans)


def _clash(wish: Realtime, conversation: Conversation) -> DialogueProblem | None:
    """Say which wish a realtime model cannot fulfil."""
    if wish.turn_detection == "Server" and not conversation.interruption.enabled:
        message = (
            "callers can always interrupt a model that decides about turns: set voice.realtime.turnDetection Local"
        )
        return DialogueProblem("agent", "spec.conversation.interruption.enabled", message)
    if wish.turn_detection == "Server" and conversation.turn_taking.detection == "PushToTalk":
        message = "no key decides about turns where the model does: set voice.realtime.turnDetection Local"
        return DialogueProblem("agent", "spec.conversation.turnTaking.detection", message)
    if wish.turn_detection == "Local" and conversation.turn_taking.detection == "Stt":
        message = "a realtime model hears by itself, so there is no Stt to decide about turns: set Model or Vad"
        return DialogueProblem("agent", "spec.conversation.turnTaking.detection", message)
    return None


def _line_up(
    pool: ProviderPool, role: Role, choice: ModelChoice, needs: AgentNeeds, *, at: str
) -> Lineup | DialogueProblem:
    found = line_up(pool, role, choice, needs)
    if isinstance(found, Nobody):
        if found.is_listed:
            return DialogueProblem("agent", f"{at}.providers", found.message)
        return DialogueProblem("pool", "spec.providers", found.message)
    return found
