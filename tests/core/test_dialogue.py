"""What a call is made of, from a spec and a pool."""

from typing import Any

import pytest

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.dialogue import DialoguePlan, DialogueProblem, plan_dialogue, read_option


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


def test_the_lowest_priority_goes_first_and_the_disabled_never() -> None:
    others = (
        provider("backup", "Stt", "openai", priority=200),
        provider("best", "Stt", "openai", priority=10),
        provider("off", "Stt", "openai", priority=1, enabled=False),
    )

    assert planned(agent(), pool(*THREE, *others)).stt.name == "best"


def test_of_equal_priorities_the_pools_order_decides() -> None:
    assert planned(agent(), pool(*THREE, provider("later", "Stt", "openai"))).stt.name == "dg"


def test_the_agents_order_wins_over_priorities() -> None:
    voice = {"pipeline": {"stt": {"providers": ["gone", "second", "dg"]}}}
    with_second = pool(*THREE, provider("second", "Stt", "openai", priority=900))

    assert planned(agent(voice=voice), with_second).stt.name == "second"


def test_the_agents_model_and_voice_win_over_the_pools() -> None:
    voice = {"pipeline": {"tts": {"model": "sonic-2", "voice": "own-voice", "attemptTimeoutMilliseconds": 700}}}
    tts = planned(agent(voice=voice), pool(*THREE)).tts

    assert (tts.model, tts.voice, tts.timeout_seconds) == ("sonic-2", "own-voice", 0.7)
    assert planned(agent(), pool(*THREE)).tts.voice == "pool-voice"


def test_the_entry_agent_and_its_own_voice_are_used() -> None:
    agents = [
        {"name": "first", "instructions": "I am first."},
        {"name": "desk", "instructions": "Be kind.", "language": "de", "voice": {"pipeline": {"llm": {"model": "m"}}}},
    ]
    plan = planned(agent(agents=agents, entryAgent="desk"), pool(*THREE))

    assert (plan.instructions, plan.language, plan.llm.model) == ("Be kind.", "de", "m")


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


def test_what_is_not_acted_on_yet_is_named() -> None:
    spec = {
        "conversation": {"endPhrases": ["stop"], "duration": {"maxSeconds": 60, "warnAtSeconds": 50}},
        "recording": {"enabled": True, "store": {"objectStore": {"bucket": "calls"}}},
    }

    assert planned(agent(), pool(*THREE)).not_yet == ()
    assert planned(agent(**spec), pool(*THREE)).not_yet == (
        "spec.conversation.duration.warnAtSeconds",
        "spec.conversation.endPhrases",
        "spec.recording",
    )


def test_what_the_apiserver_fills_in_is_no_wish() -> None:
    defaults = agent().spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    filled = {name: defaults[name] for name in ("conversation", "telephony", "transcript", "dataProtection", "memory")}

    assert planned(agent(**filled), pool(*THREE)).not_yet == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"conversation": {"away": {"maxPrompts": 1}}}, "spec.conversation.away"),
        ({"conversation": {"noiseSuppression": {"mode": "Off"}}}, "spec.conversation.noiseSuppression"),
        ({"memory": {"session": {"maxTurns": 60}}}, "spec.memory"),
        ({"telephony": {"inbound": {"numbers": ["+49301234567"]}}}, "spec.telephony.inbound"),
        ({"voice": {"pipeline": {"stt": {"providers": ["dg", "other"]}}}}, "spec.voice.pipeline.stt.fallback"),
        (
            {
                "agents": [
                    {"name": "a", "instructions": "x", "voice": {"pipeline": {"tts": {"providers": ["ca", "b"]}}}}
                ]
            },
            "spec.agents[0].voice.pipeline.tts.fallback",
        ),
    ],
)
def test_what_somebody_chose_and_nobody_does_is_named(spec: dict[str, Any], field: str) -> None:
    assert planned(agent(**spec), pool(*THREE)).not_yet == (field,)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("false", False), ("7", 7), ("-7", -7), ("1.1", 1.1), ("1.", "1."), ("True", "True"), ("x", "x")],
)
def test_options_are_read_as_what_they_look_like(text: str, value: object) -> None:
    assert read_option(text) == value
    assert type(read_option(text)) is type(value)
