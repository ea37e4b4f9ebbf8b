"""From a plan to an AgentSession: settings that the SDK knows under other names and in other units."""

from collections.abc import Mapping
from typing import Any

from livekit.agents import AgentSession, APIConnectOptions, inference, room_io
from livekit.agents.voice.agent_session import SessionConnectOptions

from voicefleet.dialogue import DialoguePlan, ProviderPlan
from voicefleet_worker.providers import Ingredients, build_llm, build_stt, build_tts
from voicefleet_worker.secret_files import SecretFiles

Keys = Mapping[str, str | None]

_LAST_WORDS_SECONDS = 0.5


def read_keys(plan: DialoguePlan, secrets: SecretFiles) -> Keys:
    """Read the providers' keys as they are at this moment, by the providers' names."""
    return {p.name: None if p.api_key is None else secrets.read(p.api_key) for p in plan.providers}


def build_session(plan: DialoguePlan, keys: Keys) -> AgentSession[None]:
    """Build the session of one call."""
    vad = plan.vad
    stt, llm, tts = (Ingredients(plan=p, agent=plan, api_key=keys[p.name]) for p in plan.providers)
    return AgentSession(
        vad=inference.VAD(
            activation_threshold=vad.activation_threshold,
            min_speech_duration=vad.min_speech_milliseconds / 1000,
            min_silence_duration=vad.min_silence_milliseconds / 1000,
        ),
        stt=build_stt(stt),
        llm=build_llm(llm),
        tts=build_tts(tts),
        turn_handling=turn_handling(plan),
        conn_options=connect_options(plan),
        user_away_timeout=float(plan.conversation.away.after_seconds),
        # A caller who hung up says nothing more, and the slot is wanted.
        session_close_transcript_timeout=_LAST_WORDS_SECONDS,
    )


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


def connect_options(plan: DialoguePlan) -> SessionConnectOptions:
    """Return time-outs and retries as the pool says: the SDK's own three retries would multiply with them."""
    return SessionConnectOptions(
        stt_conn_options=_connect(plan.stt),
        llm_conn_options=_connect(plan.llm),
        tts_conn_options=_connect(plan.tts),
    )


def room_options() -> room_io.RoomOptions:
    """Return how the call hangs on its room: voice both ways, and the end of the call is ours to notice."""
    return room_io.RoomOptions(close_on_disconnect=False)


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


def _connect(provider: ProviderPlan) -> APIConnectOptions:
    return APIConnectOptions(max_retry=provider.retries, timeout=provider.timeout_seconds)
