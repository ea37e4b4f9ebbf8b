"""Words are said by whoever is in charge: a call's agents may be pipelines and realtime models by turns."""

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import NOT_GIVEN, AgentSession, inference, llm
from livekit.agents.voice.agent_activity import AgentActivity
from livekit.plugins import cartesia, deepgram, openai

from tests.worker.failover.scripted import unread
from tests.worker.files import AGENT, POOL, Mounted, provider
from voicefleet.handoffs.sight import Sight
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.conversing import ConversingInTurn
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.thinking import ThinkingInTurn
from voicefleet_worker.handoffs.stint import Stint, Store
from voicefleet_worker.handoffs.team import Means, Team
from voicefleet_worker.saying import decides_about_turns, say
from voicefleet_worker.settings import load_settings
from voicefleet_worker.tools.http import HttpTools
from voicefleet_worker.tools.mcp import servers_of
from voicefleet_worker.voices.session import Voices, build_session

LOADED = (cartesia, deepgram, openai)
"""By the main thread, the only one in which the SDK lets plugins register."""


class Talker(llm.RealtimeModel):
    """A model that does it all."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=llm.RealtimeCapabilities(
                message_truncation=True,
                turn_detection=True,
                user_transcription=True,
                auto_tool_reply_generation=False,
                audio_output=True,
                manual_function_calls=True,
            )
        )

    def session(self, **_: Any) -> Any:
        raise AssertionError("nobody talks")

    async def aclose(self) -> None:
        return


class Session:
    """A session whose agent in charge may have models of its own."""

    def __init__(self, own: Any, agents: Any) -> None:
        self.llm, self.tts = own
        self.current_agent = SimpleNamespace(llm=agents[0], tts=agents[1])
        self.done: list[str] = []

    def say(self, words: str, **_: Any) -> None:
        self.done.append(words)

    def generate_reply(self, **_: Any) -> None:
        self.done.append("told to")


PIPELINE, REALTIME, THE_SESSIONS = (object(), object()), (Talker(), None), (NOT_GIVEN, NOT_GIVEN)


@pytest.mark.parametrize(
    ("own", "agents", "done", "decides"),
    [
        (PIPELINE, THE_SESSIONS, "Hello.", False),
        (PIPELINE, REALTIME, "told to", True),
        (REALTIME, THE_SESSIONS, "told to", True),
        (REALTIME, PIPELINE, "Hello.", False),
    ],
    ids=["a pipeline", "a realtime model after a pipeline", "a realtime model", "a pipeline after a realtime model"],
)
def test_words_are_said_in_the_way_of_the_agent_in_charge(own: Any, agents: Any, done: str, *, decides: bool) -> None:
    session = Session(own, agents)
    say(cast("AgentSession[None]", session), "Hello.")

    assert session.done == [done]
    assert decides_about_turns(cast("AgentSession[None]", session)) is decides


async def activities(mounted: Mounted, *voices: dict[str, Any]) -> list[AgentActivity]:
    """Return how the SDK would run two agents of one call, the second after a handoff."""
    other = {"name": "billing", "instructions": "x", "voice": voices[1]}
    first = {"name": "desk", "instructions": "x", "voice": voices[0], "handoffs": [{"agent": "billing", "when": "x"}]}
    mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "agents": [first, other]}})
    realtime = {**provider("openai", "Realtime"), "name": "all"}
    mounted.write("pool.json", {**POOL, "spec": {**POOL["spec"], "providers": [*POOL["spec"]["providers"], realtime]}})
    settings = await asyncio.to_thread(load_settings, mounted.flags, {})
    plan, secrets = settings.plan, settings.secrets
    health = CallHealth(plan.providers, Reporter("AJ_1", None), unread(), BoardReader())
    models = await asyncio.to_thread(Voices, plan.entry, secrets, health)
    session = build_session(plan, models)
    means = Means(
        partial(HttpTools, secrets, plan.tool_policy), partial(servers_of, secrets=secrets, policy=plan.tool_policy)
    )
    team = Team(plan, {}, models, means)
    stint = Stint(plan.agents[1], Store((), {}), Sight())
    await asyncio.to_thread(models.of, plan.agents[1])
    agents = [team.begin(session, cast("Any", None)), team._build(stint, None)]
    return [AgentActivity(agent, session) for agent in agents]


async def test_a_realtime_model_after_a_pipeline_hears_and_speaks_by_itself(mounted: Mounted) -> None:
    desk, billing = await activities(mounted, {}, {"realtime": {}})

    assert isinstance(desk.llm, ThinkingInTurn)
    assert isinstance(billing.llm, ConversingInTurn)
    assert (billing.stt, billing.tts, billing.vad) == (None, None, None)
    assert billing._turn_detection == "realtime_llm"


async def test_a_pipeline_after_a_realtime_model_has_the_spec_s_way_of_taking_turns(mounted: Mounted) -> None:
    desk, billing = await activities(mounted, {"realtime": {}}, {"pipeline": {}})

    assert (desk.stt, desk.tts, desk._turn_detection) == (None, None, "realtime_llm")
    assert isinstance(billing.llm, ThinkingInTurn)
    assert billing.stt is not None
    assert billing.tts is not None
    assert isinstance(billing._turn_detection, inference.TurnDetector)


async def test_pipelines_go_on_with_one_detector(mounted: Mounted) -> None:
    desk, billing = await activities(mounted, {}, {"pipeline": {"tts": {"speed": 1.2}}})

    assert billing.tts is not desk.tts
    assert billing._turn_detection is desk._turn_detection
