"""Settings of a spec as the SDK gets them."""

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import ChatContext, UserStateChangedEvent, function_tool, inference
from livekit.agents.voice.turn import EndpointingOptions, InterruptionOptions
from livekit.plugins import cartesia, deepgram, openai

from tests.worker.failover.scripted import Thinker, unread
from tests.worker.files import AGENT, SECRET_VALUE, Mounted
from tests.worker.tools.test_interruptions import Loudspeaker
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.conversation.voice_plan import choice_for
from voicefleet_worker import grace as grace_module
from voicefleet_worker.access.secret_files import SecretFiles, fingerprint
from voicefleet_worker.calls import entry
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.hearing import HearingInTurn
from voicefleet_worker.failover.speaking import SpeakingInTurn
from voicefleet_worker.failover.switch import Switch
from voicefleet_worker.failover.thinking import ThinkingInTurn
from voicefleet_worker.grace import Limits, drain_limit_seconds
from voicefleet_worker.providers import Ingredients, build_llm, build_stt, build_tts
from voicefleet_worker.settings import load_settings
from voicefleet_worker.voices.noise import WebRtcNoiseSuppression
from voicefleet_worker.voices.session import Session, Voices, build_session, room_options, turn_handling


def plan_of(mounted: Mounted, **more: Any) -> DialoguePlan:
    mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], **more}})
    return load_settings(mounted.flags, {}).plan


def ingredients(plan: DialoguePlan, number: int) -> Ingredients:
    of = plan.providers[number]
    return Ingredients(plan=of, choice=choice_for(plan.entry.voice, of.role), api_key="k")


def test_the_conversation_is_handed_on_in_seconds(mounted: Mounted) -> None:
    talk = {
        "interruption": {"minDurationMilliseconds": 400, "minWords": 2, "falseInterruptionTimeoutMilliseconds": 1500},
        "turnTaking": {"detection": "Vad", "minDelayMilliseconds": 250, "maxTurnSeconds": 40},
    }

    handling = turn_handling(plan_of(mounted, conversation=talk))

    assert handling["turn_detection"] == "vad"
    assert handling["endpointing"] == {"min_delay": 0.25, "max_delay": 2.5}
    assert handling["user_turn_limit"] == {"max_duration": 40.0}
    assert handling["interruption"] == {
        "enabled": True,
        "mode": "vad",
        "min_duration": 0.4,
        "min_words": 2,
        "resume_false_interruption": True,
        "false_interruption_timeout": 1.5,
    }


def test_the_turn_model_is_the_local_one(mounted: Mounted) -> None:
    detector = turn_handling(plan_of(mounted))["turn_detection"]

    assert isinstance(detector, inference.TurnDetector)
    assert "v1-mini" in detector.model


@pytest.mark.parametrize(("mode", "cleaned"), [("WebRtc", True), ("Off", False)])
def test_the_callers_sound_is_cleaned_unless_nobody_wants_it(mounted: Mounted, mode: str, *, cleaned: bool) -> None:
    options = room_options(plan_of(mounted, conversation={"noiseSuppression": {"mode": mode}}))

    hearing = options.get_audio_input_options()
    assert hearing is not None
    assert isinstance(hearing.noise_cancellation, WebRtcNoiseSuppression) is cleaned
    assert hearing.auto_gain_control is True
    assert options.close_on_disconnect is False


def test_providers_are_built_from_the_pool(mounted: Mounted) -> None:
    voice = {"pipeline": {"stt": {"keyterms": ["Okonkwo"]}, "tts": {"speed": 1.1}, "llm": {"temperature": 0.4}}}
    plan = plan_of(mounted, voice=voice, languages=["de-AT"])

    stt = build_stt(ingredients(plan, 0), inference.VAD())
    llm, tts = build_llm(ingredients(plan, 1)), build_tts(ingredients(plan, 2))

    assert isinstance(stt, deepgram.STT)
    assert isinstance(llm, openai.LLM)
    assert isinstance(tts, cartesia.TTS)
    assert llm.model == "gpt-4.1-mini"
    assert (tts._opts.voice, tts._opts.speed) == ("v-1", 1.1)
    assert str(tts._opts.language) == "de"
    assert list(stt._opts.keyterm) == ["Okonkwo"]


def test_what_a_job_process_is_handed_survives_the_way_there(mounted: Mounted) -> None:
    settings = load_settings(mounted.flags, {})
    setup = entry.CallSetup(settings.plan, settings.secrets, settings.livekit)

    assert pickle.loads(pickle.dumps(setup)) == setup  # noqa: S301
    assert pickle.loads(pickle.dumps(entry.entrypoint)) is entry.entrypoint  # noqa: S301


@pytest.mark.parametrize(("grace", "limit"), [(30, 15), (45, 30), (120, 80), (180, 120), (600, 540), (86_400, 86_340)])
def test_the_last_goodbye_fits_into_the_grace(grace: int, limit: int) -> None:
    assert drain_limit_seconds(grace) == limit


@pytest.mark.parametrize("grace", [30, 45, 60, 180, 600])
def test_between_the_last_goodbye_and_the_end_of_the_grace_there_is_time_to_end_calls_and_send_their_records(
    grace: int,
) -> None:
    limits = Limits.within(grace)

    assert limits.goodbye_seconds >= 5
    assert grace - grace_module._LAST_WORDS_SECONDS - limits.seconds - limits.goodbye_seconds >= 5


def test_agents_of_one_voice_share_it_unless_it_is_steered(mounted: Mounted) -> None:
    def agent(name: str, **more: Any) -> dict[str, Any]:
        handoffs = [{"agent": to, "when": "x"} for to in ("a", "b", "c", "d") if to != name]
        return {"name": name, "instructions": "x", "handoffs": handoffs, **more}

    steered = {"parameters": {"type": "object", "properties": {"text": {}}}}
    agents = [agent("a"), agent("b"), agent("c", language="de"), agent("d", structuredOutput=steered)]
    plan = plan_of(mounted, agents=agents, languages=["en", "de"])
    health = CallHealth(plan.providers, Reporter("AJ_1", None), unread(), BoardReader())
    voices = Voices(plan.entry, load_settings(mounted.flags, {}).secrets, health)
    a, b, c, d = plan.agents

    assert voices.of(a) is voices.of(b)
    assert voices.of(c) is voices.of(c)
    assert len({id(voices.of(each)) for each in (a, c, d)}) == 3
    assert voices.other_than_entrys(b) is None
    assert voices.other_than_entrys(c) is voices.of(c)


def test_each_job_of_a_call_knows_with_which_key_it_asks(mounted: Mounted) -> None:
    plan = plan_of(mounted)
    health = CallHealth(plan.providers, Reporter("AJ_1", None), unread(), BoardReader())
    models = Voices(plan.entry, SecretFiles(mounted.folder / "secrets"), health).of(plan.entry)
    assert isinstance(models.stt, HearingInTurn)
    assert isinstance(models.llm, ThinkingInTurn)
    assert isinstance(models.tts, SpeakingInTurn)
    switches: list[Switch[Any]] = [models.stt._switch, models.llm._switch, models.tts._switch]

    asked = {attempt.name: attempt.key for attempt in (switch.begin(()) for switch in switches)}
    assert asked == {name: fingerprint(f"{SECRET_VALUE}-{name}") for name in ("deepgram", "openai", "cartesia")}


async def test_the_sdk_takes_the_settings_as_they_are_meant(mounted: Mounted) -> None:
    """What it does not know it would pass over in silence."""
    talk = {
        "interruption": {"minWords": 2, "resumeFalseInterruption": False},
        "turnTaking": {"detection": "Vad", "minDelayMilliseconds": 250, "preemptiveGeneration": False},
        "away": {"afterSeconds": 9},
    }
    plan = await asyncio.to_thread(plan_of, mounted, conversation=talk)
    health = CallHealth(plan.providers, Reporter("AJ_1", None), unread(), BoardReader())
    session = build_session(plan, Voices(plan.entry, SecretFiles(mounted.folder / "secrets"), health))
    wanted, taken = turn_handling(plan), session.options

    assert taken.endpointing.items() >= wanted["endpointing"].items()
    assert taken.interruption.items() >= wanted["interruption"].items()
    assert taken.preemptive_generation["enabled"] is False
    assert taken.turn_handling["turn_detection"] == "vad"
    assert taken.user_away_timeout == 9.0
    assert wanted["endpointing"].keys() <= EndpointingOptions.__annotations__.keys()
    assert wanted["interruption"].keys() <= InterruptionOptions.__annotations__.keys()


async def test_a_session_keeps_nothing_of_what_it_has_told() -> None:
    session = Session(vad=None)
    told: list[object] = []
    session.on("user_state_changed", told.append)
    for _ in range(1000):
        session.emit("user_state_changed", UserStateChangedEvent(old_state="listening", new_state="speaking"))

    kept = [value for value in vars(session).values() if isinstance(value, list) and len(value) > 100]
    assert (len(told), kept) == (1000, [])


@pytest.mark.parametrize("on_phone", [True, False], ids=["a phone", "a browser"])
async def test_a_phone_may_interrupt_the_first_words_also_when_it_is_back(mounted: Mounted, *, on_phone: bool) -> None:
    plan = await asyncio.to_thread(plan_of, mounted)
    health = CallHealth(plan.providers, Reporter("AJ_1", None), unread(), BoardReader())
    session = build_session(plan, Voices(plan.entry, SecretFiles(mounted.folder / "secrets"), health))
    session.output.audio = Loudspeaker(cast("Any", None))
    if on_phone:
        session.hear_at_once()
    caller = SimpleNamespace(kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP, attributes={"sip.ruleID": "SDR_1"})
    session._on_room_io_participant_linked(cast("rtc.RemoteParticipant", caller))
    session._update_agent_state("speaking")

    assert (session._aec_warmup_timer is None) is on_phone
    session._on_aec_warmup_expired()


@pytest.mark.parametrize(("parallel", "called"), [(True, ["one", "two"]), (False, ["one"])])
def test_whoever_thinks_calls_as_many_tools_at_once_as_the_spec_allows(
    mounted: Mounted, called: list[str], *, parallel: bool
) -> None:
    plan = plan_of(mounted, voice={"pipeline": {"llm": {"parallelToolCalls": parallel}}})
    health = CallHealth(plan.providers, Reporter("AJ_1", None), unread(), BoardReader())
    thinking, _ = Voices(plan.entry, load_settings(mounted.flags, {}).secrets, health).pipeline_of(plan.entry)
    thinker = Thinker(["call one", "call two"])
    thinking._switch._build, thinking._switch._key_of = lambda _: thinker, lambda _: 0

    async def calls() -> list[str]:
        async with thinking.chat(chat_ctx=ChatContext.empty(), tools=[function_tool(_no_tool)]) as stream:
            return [call.name async for chunk in stream if chunk.delta for call in chunk.delta.tool_calls]

    assert asyncio.run(calls()) == called


async def _no_tool() -> None:
    """Do nothing."""
