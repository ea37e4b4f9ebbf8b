"""From a plan to an AgentSession: settings that the SDK knows under other names and in other units."""

from collections.abc import Callable
from typing import Any

from livekit.agents import NOT_GIVEN, AgentSession, NotGivenOr, inference, room_io
from livekit.agents.voice.agent_session import SessionConnectOptions

from voicefleet.api.voiceagent.voice import VoiceActivity
from voicefleet.dialogue import DialoguePlan
from voicefleet.providers.lineup import ProviderPlan
from voicefleet.voice_plan import PipelinePlan, RealtimePlan, choice_for
from voicefleet_worker.failover.conversing import ConversingInTurn, Source
from voicefleet_worker.failover.hearing import HearingInTurn
from voicefleet_worker.failover.patience import CallerSpeaks
from voicefleet_worker.failover.speaking import SpeakingInTurn
from voicefleet_worker.failover.switch import ONCE, Health, Switch
from voicefleet_worker.failover.thinking import ThinkingInTurn
from voicefleet_worker.noise import WebRtcNoiseSuppression
from voicefleet_worker.providers import Ingredients, build_llm, build_realtime, build_stt, build_tts
from voicefleet_worker.secret_files import SecretFiles

_Pantry = Callable[[ProviderPlan], Ingredients]

_LAST_WORDS_SECONDS = 0.5


def build_session(plan: DialoguePlan, secrets: SecretFiles, health: Health) -> AgentSession[None]:
    """Build the session of one call."""

    def ingredients(of: ProviderPlan) -> Ingredients:
        # Read now: a key that was rotated since the worker began is the one that works.
        key = None if of.api_key is None else secrets.read(of.api_key)
        return Ingredients(plan=of, choice=choice_for(plan.voice, of.role), api_key=key)

    match plan.voice:
        case PipelinePlan() as voice:
            return _pipeline(plan, voice, health, ingredients)
        case RealtimePlan() as voice:
            return _realtime(plan, voice, health, ingredients)


def _pipeline(plan: DialoguePlan, voice: PipelinePlan, health: Health, ingredients: _Pantry) -> AgentSession[None]:
    caller, vad = CallerSpeaks(), _vad(voice.vad)
    session: AgentSession[None] = AgentSession(
        vad=vad,
        stt=HearingInTurn(Switch(voice.stt, health, lambda of: build_stt(ingredients(of), vad)), caller),
        llm=ThinkingInTurn(Switch(voice.llm, health, lambda of: build_llm(ingredients(of)))),
        tts=SpeakingInTurn(Switch(voice.tts, health, lambda of: build_tts(ingredients(of)))),
        **_conversation(plan),
    )
    session.on("user_state_changed", caller.follow)
    return session


def _realtime(plan: DialoguePlan, voice: RealtimePlan, health: Health, ingredients: _Pantry) -> AgentSession[None]:
    speaking: NotGivenOr[SpeakingInTurn] = NOT_GIVEN
    if voice.tts is not None:
        speaking = SpeakingInTurn(Switch(voice.tts, health, lambda of: build_tts(ingredients(of))))
    return AgentSession(
        # A model that decides about turns tells by itself when somebody speaks.
        vad=None if voice.decides_about_turns else _vad(VoiceActivity()),
        llm=ConversingInTurn(Switch(voice.realtime, health, lambda of: Source(build_realtime(ingredients(of))))),
        tts=speaking,
        **_conversation(plan),
    )


def _vad(wish: VoiceActivity) -> inference.VAD:
    return inference.VAD(
        activation_threshold=wish.activation_threshold,
        min_speech_duration=wish.min_speech_milliseconds / 1000,
        min_silence_duration=wish.min_silence_milliseconds / 1000,
    )


def _conversation(plan: DialoguePlan) -> dict[str, Any]:
    """Return what is the same whoever speaks."""
    return {
        "turn_handling": turn_handling(plan),
        "conn_options": SessionConnectOptions(stt_conn_options=ONCE, llm_conn_options=ONCE, tts_conn_options=ONCE),
        "user_away_timeout": float(plan.conversation.away.after_seconds),
        "max_tool_steps": plan.tool_policy.max_rounds,
        # A caller who hung up says nothing more, and the slot is wanted.
        "session_close_transcript_timeout": _LAST_WORDS_SECONDS,
    }


def turn_handling(plan: DialoguePlan) -> Any:  # noqa: ANN401 - the SDK's nested TypedDicts
    """Return who decides about turns, how long it waits, and who may interrupt."""
    turns, interruption = plan.conversation.turn_taking, plan.conversation.interruption
    handling: dict[str, Any] = {
        "turn_detection": _turn_detection(plan),
        "endpointing": {
            "min_delay": turns.min_delay_milliseconds / 1000,
            "max_delay": turns.max_delay_milliseconds / 1000,
        },
        "interruption": {
            "enabled": interruption.enabled,
            # The SDK's other mode asks a gateway in the vendor's cloud.
            "mode": "vad",
            "min_duration": interruption.min_duration_milliseconds / 1000,
            "min_words": interruption.min_words,
            "resume_false_interruption": interruption.resume_false_interruption,
            "false_interruption_timeout": interruption.false_interruption_timeout_milliseconds / 1000,
        },
        "preemptive_generation": {"enabled": turns.preemptive_generation},
    }
    if turns.max_turn_seconds:
        handling["user_turn_limit"] = {"max_duration": float(turns.max_turn_seconds)}
    return handling


def room_options(plan: DialoguePlan) -> room_io.RoomOptions:
    """Return how the call hangs on its room: voice both ways, and the end of the call is ours to notice."""
    suppression = plan.conversation.noise_suppression
    cleaned = suppression.mode == "WebRtc"
    processor = WebRtcNoiseSuppression(high_pass_filter=suppression.high_pass_filter) if cleaned else None
    # The SDK would leave loudness alone where something else is done about noise.
    hearing = room_io.AudioInputOptions(noise_cancellation=processor, auto_gain_control=True)
    return room_io.RoomOptions(audio_input=hearing, close_on_disconnect=False)


def _turn_detection(plan: DialoguePlan) -> Any:  # noqa: ANN401 - a string or a detector
    if isinstance(plan.voice, RealtimePlan) and plan.voice.decides_about_turns:
        return "realtime_llm"
    match plan.conversation.turn_taking.detection:
        case "Model":
            # Pinned, because the SDK's default may turn to its cloud.
            return inference.TurnDetector(version="v1-mini")
        case "Vad":
            return "vad"
        case "Stt":
            return "stt"
        case "PushToTalk":
            return "manual"
