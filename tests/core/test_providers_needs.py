"""Whom an agent is not sent to: those who cannot do what it needs, by their own word."""

from typing import Any

import pytest

from tests.core.test_dialogue import ALL, THREE, agent, named, planned, pool, provider
from voicefleet.conversation.dialogue import DialogueProblem, plan_dialogue

TOOL = {"name": "look_up", "description": "x", "http": {"url": "https://x.example.com"}}
STRUCTURED = {"parameters": {"type": "object", "properties": {"text": {}, "mood": {}}}}
DESK = {"name": "desk", "instructions": "Be kind."}
REALTIME = {"voice": {"realtime": {}}}

WITH_TOOL = {"agents": [{**DESK, "tools": ["look_up"]}], "tools": [TOOL]}
WITH_HANDOFF = {"agents": [named("desk", "other"), named("other")]}
PAUSABLE = {"recording": {"enabled": True}}
WITH_CONSENT = {"recording": {"enabled": True, "pausable": False, "requireConsent": True}}
WRITING_OBJECTS = {"agents": [{**DESK, "structuredOutput": STRUCTURED}]}
WITH_EMOTION = {"agents": [{**DESK, "structuredOutput": {**STRUCTURED, "emotionField": "mood"}}]}
WITH_STYLE = {"agents": [{**DESK, "structuredOutput": {**STRUCTURED, "styleField": "mood"}}]}
SILENT_RECORDING = {"recording": {"enabled": True, "pausable": False}}

NEEDS = [
    pytest.param(WITH_TOOL, "Llm", "Tools", id="tools"),
    pytest.param(WITH_HANDOFF, "Llm", "Tools", id="handoffs"),
    pytest.param(PAUSABLE, "Llm", "Tools", id="a recording that may be paused"),
    pytest.param(WITH_CONSENT, "Llm", "Tools", id="a recording that needs consent"),
    pytest.param(WRITING_OBJECTS, "Llm", "StructuredOutput", id="objects"),
    pytest.param(WITH_EMOTION, "Tts", "Emotion", id="an emotion for the voice"),
    pytest.param(WITH_STYLE, "Tts", "Emotion", id="a style for the voice"),
    pytest.param({**WITH_TOOL, **REALTIME}, "Realtime", "Tools", id="tools of a realtime model"),
]
PLUGINS = {"Stt": "deepgram", "Llm": "openai", "Tts": "cartesia", "Realtime": "openai"}


def able(role: str, name: str, *capabilities: str, priority: int = 100) -> dict[str, Any]:
    return provider(name, role, PLUGINS[role], capabilities=list(capabilities), priority=priority)


def beside(role: str, *providers: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a pool's providers in which these are all of their role."""
    return [*(each for each in (*THREE, ALL) if each["role"] != role), *providers]


def first_of(spec: dict[str, Any], role: str, *providers: dict[str, Any]) -> str:
    plan = planned(agent(**spec), pool(*beside(role, *providers)))
    return next(each.first.name for each in plan.entry.voice.lineups if each.need.role == role)


@pytest.mark.parametrize(("spec", "role", "needed"), NEEDS)
def test_who_says_that_it_lacks_what_the_agent_needs_is_passed_over(
    spec: dict[str, Any], role: str, needed: str
) -> None:
    lacking, having = able(role, "lacking", "Streaming", priority=1), able(role, "having", "Streaming", needed)

    assert first_of(spec, role, lacking, having) == "having"


@pytest.mark.parametrize(("spec", "role", "needed"), NEEDS)
def test_where_everybody_lacks_it_agent_role_and_capability_are_named(
    spec: dict[str, Any], role: str, needed: str
) -> None:
    problem = plan_dialogue(agent(**spec), pool(*beside(role, able(role, "one", "Streaming"))))

    message = f"no provider of role {role} can do what agent desk needs: one: lacks {needed}"
    assert problem == DialogueProblem("pool", "spec.providers", message)


@pytest.mark.parametrize(("spec", "role", "needed"), NEEDS)
def test_who_declares_nothing_is_asked_as_ever(spec: dict[str, Any], role: str, needed: str) -> None:
    silent, having = able(role, "silent", priority=1), able(role, "having", needed)

    assert first_of(spec, role, silent) == "silent"
    assert first_of(spec, role, silent, having) == "silent"


@pytest.mark.parametrize(
    ("spec", "role"),
    [({}, "Llm"), ({}, "Tts"), (SILENT_RECORDING, "Llm"), (WRITING_OBJECTS, "Tts"), (REALTIME, "Realtime")],
    ids=["no tools", "no emotion", "a recording without tools", "objects without emotion", "realtime without tools"],
)
def test_who_lacks_what_nobody_needs_is_asked(spec: dict[str, Any], role: str) -> None:
    assert first_of(spec, role, able(role, "plain", "Streaming", priority=1), able(role, "other")) == "plain"


def test_the_agents_own_list_is_named_if_it_leaves_nobody() -> None:
    voice = {"voice": {"pipeline": {"llm": {"providers": ["plain"]}}}}
    plain, having = able("Llm", "plain", "Streaming"), able("Llm", "having", "Tools")
    problem = plan_dialogue(agent(**WITH_TOOL, **voice), pool(*beside("Llm", plain, having)))

    assert isinstance(problem, DialogueProblem)
    assert (problem.source, problem.field) == ("agent", "spec.voice.pipeline.llm.providers")
    assert "agent desk needs: plain: lacks Tools" in problem.message


def test_each_agent_of_a_call_has_those_who_can_do_what_it_needs() -> None:
    plain, having = able("Llm", "plain", "Streaming", priority=1), able("Llm", "having", "Tools")
    plan = planned(agent(**WITH_HANDOFF), pool(*beside("Llm", plain, having)))

    assert [each.voice.lineups[1].first.name for each in plan.agents] == ["having", "plain"]


def test_agents_share_a_voice_though_only_one_has_tools_where_everybody_can_call_them() -> None:
    one, silent = able("Llm", "one", "Tools"), able("Llm", "silent")
    plan = planned(agent(**WITH_HANDOFF), pool(*beside("Llm", one, silent)))

    assert plan.agents[0].voice == plan.agents[1].voice


IN_EU = {"dataProtection": {"region": "eu"}}


def test_a_region_leaves_those_who_name_it() -> None:
    eu = [{**each, "region": "eu"} for each in THREE]
    elsewhere = [provider("us", "Llm", "openai", priority=1, region="us"), provider("nowhere", "Llm", "openai")]

    plan = planned(agent(**IN_EU), pool(*elsewhere, *eu))

    assert [each.first.name for each in plan.entry.voice.lineups] == ["dg", "oa", "ca"]
    assert plan.not_yet == ()


def test_where_nobody_names_the_region_the_agent_is_refused() -> None:
    problem = plan_dialogue(agent(**IN_EU), pool(*THREE))

    message = "no provider of role Stt can do what agent desk needs: dg: not in region eu"
    assert problem == DialogueProblem("pool", "spec.providers", message)
