"""From a plan to an AgentSession: settings that the SDK knows under other names and in other units."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import AgentEvent, AgentSession, inference, room_io
from livekit.agents.vad import VAD
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.agents.voice.events import EventTypes

from voicefleet.api.voiceagent.conversation import Conversation
from voicefleet.api.voiceagent.voice import VoiceActivity
from voicefleet.conversation.dialogue import AgentPlan, DialoguePlan
from voicefleet.conversation.voice_plan import PipelinePlan, RealtimePlan, VoicePlan, choice_for
from voicefleet.providers.lineup import Lineup, ProviderPlan
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.failover.conversing import ConversingInTurn, Source
from voicefleet_worker.failover.hearing import HearingInTurn
from voicefleet_worker.failover.patience import CallerSpeaks
from voicefleet_worker.failover.speaking import SpeakingInTurn
from voicefleet_worker.failover.switch import ONCE, Health, Model, Switch
from voicefleet_worker.failover.thinking import ThinkingInTurn
from voicefleet_worker.providers import Ingredients, build_llm, build_realtime, build_stt, build_tts
from voicefleet_worker.tools.toolbox import steps_of
from voicefleet_worker.voices.noise import WebRtcNoiseSuppression

_LAST_WORDS_SECONDS = 0.5
_ECHO_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Models:
    """Who hears, thinks and speaks for an agent, as the SDK sees them; a realtime model needs the fewest."""

    vad: VAD | None
    stt: HearingInTurn | None
    llm: ThinkingInTurn | ConversingInTurn
    tts: SpeakingInTurn | None

    def as_arguments(self) -> dict[str, Any]:
        """Return them by the names that the SDK has for them; who is left out would be taken from another agent."""
        return {"vad": self.vad, "stt": self.stt, "llm": self.llm, "tts": self.tts}


class Voices:
    """The models of a call's agents; agents with the same voice share them, and their connections.

    One whose model steers its voice has a voice of its own: others would speak in its mood.
    """

    def __init__(self, entry: AgentPlan, secrets: SecretFiles, health: Health) -> None:
        self._secrets = secrets
        self._health = health
        self.caller = CallerSpeaks()
        self._built: list[tuple[tuple[VoicePlan, str], Models]] = [(_key(entry), self._build(entry.voice))]

    def of(self, agent: AgentPlan) -> Models:
        """Return an agent's models."""
        found = next((models for key, models in self._built if key == _key(agent)), None)
        if found is None:
            found = self._build(agent.voice)
            self._built.append((_key(agent), found))
        return found

    def other_than_entrys(self, agent: AgentPlan) -> Models | None:
        """Return an agent's models if they are not the session's own."""
        models = self.of(agent)
        return None if models is self._built[0][1] else models

    def pipeline_of(self, agent: AgentPlan) -> tuple[ThinkingInTurn, SpeakingInTurn | None]:
        """Return who thinks and who speaks for an agent whose voice is a pipeline."""
        models = self.of(agent)
        if not isinstance(models.llm, ThinkingInTurn):
            raise TypeError(f"{agent.name} has no pipeline")
        return models.llm, models.tts

    def _build(self, voice: VoicePlan) -> Models:
        match voice:
            case PipelinePlan():
                return self._pipeline(voice)
            case RealtimePlan():
                return self._realtime(voice)

    def _pipeline(self, voice: PipelinePlan) -> Models:
        vad = _vad(voice.vad)
        return Models(
            vad,
            HearingInTurn(
                self._switch(voice.stt, lambda of: build_stt(self._ingredients(voice, of), vad)), self.caller
            ),
            self._thinking(voice),
            SpeakingInTurn(self._switch(voice.tts, lambda of: build_tts(self._ingredients(voice, of)))),
        )

    def _thinking(self, voice: PipelinePlan) -> ThinkingInTurn:
        switch = self._switch(voice.llm, lambda of: build_llm(self._ingredients(voice, of)))
        return ThinkingInTurn(switch, parallel_tool_calls=voice.thinking.parallel_tool_calls)

    def _realtime(self, voice: RealtimePlan) -> Models:
        speaking = None
        if voice.tts is not None:
            speaking = SpeakingInTurn(self._switch(voice.tts, lambda of: build_tts(self._ingredients(voice, of))))
        conversing = ConversingInTurn(
            self._switch(voice.realtime, lambda of: Source(build_realtime(self._ingredients(voice, of))))
        )
        # A model that decides about turns tells by itself when somebody speaks.
        vad = None if voice.decides_about_turns else _vad(VoiceActivity())
        return Models(vad, None, conversing, speaking)

    def _switch(self, lineup: Lineup, build: Callable[[ProviderPlan], Model]) -> Switch[Model]:
        return Switch(lineup, self._health, build, key_of=lambda of: self._secrets.fingerprint(of.api_key))

    def _ingredients(self, voice: VoicePlan, of: ProviderPlan) -> Ingredients:
        # Read now: a key that was rotated since the worker began is the one that works.
        key = None if of.api_key is None else self._secrets.read(of.api_key)
        return Ingredients(plan=of, choice=choice_for(voice, of.role), api_key=key)


def _key(agent: AgentPlan) -> tuple[VoicePlan, str]:
    return agent.voice, agent.name if agent.structured_output else ""


def _vad(wish: VoiceActivity) -> inference.VAD:
    return inference.VAD(
        activation_threshold=wish.activation_threshold,
        min_speech_duration=wish.min_speech_milliseconds / 1000,
        min_silence_duration=wish.min_silence_milliseconds / 1000,
    )


class Session(AgentSession[None]):
    """A session whose memory does not grow with the length of the call.

    The SDK keeps each event, several in a second, for a report to its own cloud that no call of ours has.
    """

    def emit(self, event: EventTypes, arg: AgentEvent) -> None:
        """Tell whoever listens, as the SDK would, and keep nothing."""
        super(AgentSession, self).emit(event, arg)

    def hear_at_once(self) -> None:
        """Hear what is said over the very first words.

        The SDK passes over it, for a browser may not have learnt yet to keep the agent's own voice out.
        """
        self._on_aec_warmup_expired()


def build_session(plan: DialoguePlan, voices: Voices) -> Session:
    """Build the session of one call."""
    session = Session(
        **voices.of(plan.entry).as_arguments(),
        turn_handling=turn_handling(plan),
        conn_options=SessionConnectOptions(stt_conn_options=ONCE, llm_conn_options=ONCE, tts_conn_options=ONCE),
        user_away_timeout=float(plan.conversation.away.after_seconds),
        max_tool_steps=steps_of(plan.tool_policy),
        # A caller who hung up says nothing more, and the slot is wanted.
        session_close_transcript_timeout=_LAST_WORDS_SECONDS,
        # Said aloud, or the SDK would decide anew whenever a caller who was lost comes back.
        aec_warmup_duration=_ECHO_SECONDS,
    )
    session.on("user_state_changed", voices.caller.follow)
    return session


def turn_handling(plan: DialoguePlan) -> Any:  # noqa: ANN401 - the SDK's nested TypedDicts
    """Return who decides about turns, how long it waits, and who may interrupt."""
    turns, interruption = plan.conversation.turn_taking, plan.conversation.interruption
    handling: dict[str, Any] = {
        "turn_detection": turn_detection(plan.entry, plan.conversation),
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


def turns_of(agent: AgentPlan, plan: DialoguePlan) -> dict[str, Any]:
    """Return who decides about turns with an agent, as the SDK takes it, if that is not who does it for the session."""
    if _decides_about_turns(agent) == _decides_about_turns(plan.entry):
        # One detector for all of them goes on through a handoff.
        return {}
    return {"turn_handling": {"turn_detection": turn_detection(agent, plan.conversation)}}


def room_options(plan: DialoguePlan) -> room_io.RoomOptions:
    """Return how the call hangs on its room: voice both ways, and the end of the call is ours to notice."""
    suppression = plan.conversation.noise_suppression
    cleaned = suppression.mode == "WebRtc"
    processor = WebRtcNoiseSuppression(high_pass_filter=suppression.high_pass_filter) if cleaned else None
    # The SDK would leave loudness alone where something else is done about noise.
    hearing = room_io.AudioInputOptions(noise_cancellation=processor, auto_gain_control=True)
    return room_io.RoomOptions(audio_input=hearing, close_on_disconnect=False)


def turn_detection(agent: AgentPlan, talk: Conversation) -> Any:  # noqa: ANN401 - a string or a detector
    """Return who decides that a caller has finished who talks to this agent."""
    if _decides_about_turns(agent):
        return "realtime_llm"
    match talk.turn_taking.detection:
        case "Model":
            # Pinned, because the SDK's default may turn to its cloud.
            return inference.TurnDetector(version="v1-mini")
        case "Vad":
            return "vad"
        case "Stt":
            return "stt"
        case "PushToTalk":
            return "manual"


def _decides_about_turns(agent: AgentPlan) -> bool:
    return isinstance(agent.voice, RealtimePlan) and agent.voice.decides_about_turns
