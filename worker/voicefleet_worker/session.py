"""From a plan to an AgentSession: settings that the SDK knows under other names and in other units."""

from typing import Any

from livekit.agents import AgentSession, inference, room_io
from livekit.agents.voice.agent_session import SessionConnectOptions

from voicefleet.dialogue import DialoguePlan
from voicefleet.providers.lineup import ProviderPlan
from voicefleet_worker.failover.hearing import HearingInTurn
from voicefleet_worker.failover.patience import CallerSpeaks
from voicefleet_worker.failover.speaking import SpeakingInTurn
from voicefleet_worker.failover.switch import ONCE, Health, Switch
from voicefleet_worker.failover.thinking import ThinkingInTurn
from voicefleet_worker.noise import WebRtcNoiseSuppression
from voicefleet_worker.providers import Ingredients, build_llm, build_stt, build_tts
from voicefleet_worker.secret_files import SecretFiles

_LAST_WORDS_SECONDS = 0.5


def build_session(plan: DialoguePlan, secrets: SecretFiles, health: Health) -> AgentSession[None]:
    """Build the session of one call."""
    vad = inference.VAD(
        activation_threshold=plan.vad.activation_threshold,
        min_speech_duration=plan.vad.min_speech_milliseconds / 1000,
        min_silence_duration=plan.vad.min_silence_milliseconds / 1000,
    )
    caller = CallerSpeaks()

    def ingredients(of: ProviderPlan) -> Ingredients:
        # Read now: a key that was rotated since the worker began is the one that works.
        return Ingredients(plan=of, agent=plan, api_key=None if of.api_key is None else secrets.read(of.api_key))

    session: AgentSession[None] = AgentSession(
        vad=vad,
        stt=HearingInTurn(Switch(plan.stt, health, lambda of: build_stt(ingredients(of), vad)), caller),
        llm=ThinkingInTurn(Switch(plan.llm, health, lambda of: build_llm(ingredients(of)))),
        tts=SpeakingInTurn(Switch(plan.tts, health, lambda of: build_tts(ingredients(of)))),
        turn_handling=turn_handling(plan),
        conn_options=SessionConnectOptions(stt_conn_options=ONCE, llm_conn_options=ONCE, tts_conn_options=ONCE),
        user_away_timeout=float(plan.conversation.away.after_seconds),
        max_tool_steps=plan.tool_policy.max_rounds,
        # A caller who hung up says nothing more, and the slot is wanted.
        session_close_transcript_timeout=_LAST_WORDS_SECONDS,
    )
    session.on("user_state_changed", caller.follow)
    return session


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
