"""What a call is made of, from a spec and a pool."""

from typing import Any

import pytest

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.dialogue import DialoguePlan, DialogueProblem, plan_dialogue


def provider(name: str, role: str, plugin: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "plugin": plugin, **more}


def pool(*providers: dict[str, Any]) -> ProviderPool:
    key = {"name": "livekit", "key": "k"}
    spec = {"livekit": {"url": "ws://lk", "apiKey": key, "apiSecret": key}, "providers": list(providers)}
    return ProviderPool.model_validate({"metadata": {"name": "p"}, "spec": spec})


def agent(**more: Any) -> VoiceAgent:
    spec = {
        "providerPoolRef": {"name": "p"},
        "agents": [{"name": "desk", "instructions": "Be kind."}],
        **more,
    }
    return VoiceAgent.model_validate({"metadata": {"name": "desk"}, "spec": spec})


THREE = (
    provider("dg", "Stt", "deepgram"),
    provider("oa", "Llm", "openai"),
    provider("ca", "Tts", "cartesia", voice="pool-voice"),
)


def planned(spec: VoiceAgent, from_pool: ProviderPool) -> DialoguePlan:
    plan = plan_dialogue(spec, from_pool)
    assert isinstance(plan, DialoguePlan), plan
    return plan


def test_an_agent_that_names_nothing_gets_one_provider_of_each_role() -> None:
    plan = planned(agent(), pool(*THREE))

    assert [p.name for p in plan.providers] == ["dg", "oa", "ca"]
    assert plan.dispatch_name == "default.desk"


def test_the_entry_agent_and_its_own_voice_are_used() -> None:
    agents = [
        {"name": "first", "instructions": "I am first."},
        {"name": "desk", "instructions": "Be kind.", "language": "de", "voice": {"pipeline": {"llm": {"model": "m"}}}},
    ]
    plan = planned(agent(agents=agents, entryAgent="desk"), pool(*THREE))

    assert (plan.instructions, plan.language, plan.llm.first.model) == ("Be kind.", "de", "m")


@pytest.mark.parametrize(
    ("spec", "providers", "field"),
    [
        pytest.param({"voice": {"realtime": {}}}, THREE, "spec.voice.realtime", id="realtime"),
        pytest.param(
            {"agents": [{"name": "desk", "instructionsFrom": {"name": "c", "key": "k"}}]},
            THREE,
            "spec.agents[0].instructionsFrom",
            id="instructions elsewhere",
        ),
        pytest.param(
            {"voice": {"pipeline": {"llm": {"providers": ["dg", "gone"]}}}},
            THREE,
            "spec.voice.pipeline.llm.providers",
            id="only providers of other roles",
        ),
        pytest.param(
            {},
            (*THREE[:2], {**THREE[2], "enabled": False}),
            "spec.providers",
            id="nobody speaks",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_field(
    spec: dict[str, Any], providers: tuple[dict[str, Any], ...], field: str
) -> None:
    problem = plan_dialogue(agent(**spec), pool(*providers))

    assert isinstance(problem, DialogueProblem)
    assert problem.field == field


def test_a_tool_cannot_take_the_name_of_one_of_the_recordings_own() -> None:
    tool = {"name": "pause_recording", "description": "x", "http": {"url": "https://x.example.com"}}

    assert isinstance(plan_dialogue(agent(tools=[tool]), pool(*THREE)), DialoguePlan)
    problem = plan_dialogue(agent(tools=[tool], recording={"enabled": True}), pool(*THREE))
    assert isinstance(problem, DialogueProblem)
    assert problem.field == "spec.tools[pause_recording]"


def test_what_is_not_acted_on_yet_is_named() -> None:
    spec = {
        "conversation": {"backgroundAudio": {"ambient": {"clip": "OfficeAmbience"}}},
        "recording": {"enabled": True, "store": {"objectStore": {"bucket": "calls"}}, "retentionDays": 30},
    }

    assert planned(agent(), pool(*THREE)).not_yet == ()
    assert planned(agent(**spec), pool(*THREE)).not_yet == (
        "spec.conversation.backgroundAudio",
        "spec.recording.retentionDays",
    )


def test_what_the_apiserver_fills_in_is_no_wish() -> None:
    defaults = agent().spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    filled = {name: defaults[name] for name in ("conversation", "telephony", "transcript", "dataProtection", "memory")}

    assert planned(agent(**filled), pool(*THREE)).not_yet == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"telephony": {"dtmf": {"humanDigit": "9"}}}, "spec.telephony.dtmf"),
        ({"memory": {"session": {"maxTurns": 60}}}, "spec.memory"),
        ({"telephony": {"inbound": {"numbers": ["+49301234567"]}}}, "spec.telephony.inbound"),
    ],
)
def test_what_somebody_chose_and_nobody_does_is_named(spec: dict[str, Any], field: str) -> None:
    assert planned(agent(**spec), pool(*THREE)).not_yet == (field,)
