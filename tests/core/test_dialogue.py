"""What a call is made of, from a spec and a pool."""

import re
from typing import Any

import pytest

from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.voice import TextToSpeech
from voicefleet.conversation.dialogue import DialoguePlan, DialogueProblem, plan_dialogue
from voicefleet.conversation.voice_plan import RealtimePlan, choice_for
from voicefleet.handoffs.offer import tool_name


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
ALL = provider("all", "Realtime", "openai", voice="marin", model="gpt-realtime")


OPENING = "spec.tools[hours].builtin.businessHours"


def open_in(zone: str, **more: Any) -> dict[str, Any]:
    """An agent that can tell when it is open, if there is such a zone."""
    hours = {"timeZone": zone, "hours": [{"start": "09:00", "end": "17:00"}], **more}
    builtin = {"type": "BusinessHours", "businessHours": hours}
    return {"tools": [{"name": "hours", "description": "Tells when it is open.", "builtin": builtin}]}


def reaching(url: str, *allowed: str, kind: str = "http") -> dict[str, Any]:
    """An agent with a tool at this address, and these hosts that it may reach."""
    tool = {"name": "book", "description": "Books.", kind: {"url": url}}
    return {"tools": [tool], "toolPolicy": {"allowedHosts": [*allowed]}}


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://api.example.com/{{id}}", ["API.example.com"]),
        ("https://API.example.com:8443/", ["*.example.com", "other.example.com"]),
        ("http://anywhere/", []),
    ],
)
def test_a_host_that_is_allowed_is_no_problem(url: str, allowed: list[str]) -> None:
    assert planned(agent(**reaching(url, *allowed)), pool(*THREE))


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

    entry = plan.entry
    assert (entry.instructions, plan.language, entry.voice.llm.first.model) == ("Be kind.", "de", "m")
    assert plan.agents == (entry,), "nobody hands over to the other one"


@pytest.mark.parametrize(
    ("spec", "providers", "field"),
    [
        pytest.param({"voice": {"realtime": {}}}, THREE, "spec.providers", id="nobody does it all"),
        pytest.param(
            {"voice": {"realtime": {"providers": ["oa"]}}},
            (*THREE, ALL),
            "spec.voice.realtime.providers",
            id="who is listed does not do it all",
        ),
        pytest.param(
            {"voice": {"realtime": {"tts": {"providers": ["oa"]}}}},
            (*THREE, ALL),
            "spec.voice.realtime.tts.providers",
            id="who is listed does not speak",
        ),
        pytest.param(
            {"voice": {"realtime": {}}, "conversation": {"interruption": {"enabled": False}}},
            (ALL,),
            "spec.conversation.interruption.enabled",
            id="a model that decides about turns can be interrupted",
        ),
        pytest.param(
            {"voice": {"realtime": {"turnDetection": "Local"}}, "conversation": {"turnTaking": {"detection": "Stt"}}},
            (ALL,),
            "spec.conversation.turnTaking.detection",
            id="nobody writes down what turns could be told by",
        ),
        pytest.param(
            {"voice": {"realtime": {}}, "conversation": {"turnTaking": {"detection": "PushToTalk"}}},
            (ALL,),
            "spec.conversation.turnTaking.detection",
            id="a model that decides about turns waits for no key",
        ),
        pytest.param(
            {"voice": {"pipeline": {"llm": {"providers": ["dg", "gone"]}}}},
            THREE,
            "spec.voice.pipeline.llm.providers",
            id="only providers of other roles",
        ),
        pytest.param({"billing": {"redis": {}}}, THREE, "spec.billing.redis", id="a stream in no Redis"),
        pytest.param(
            reaching("https://other.example.com/x", "api.example.com"),
            THREE,
            "spec.tools[book].http.url",
            id="a host that tools may not reach",
        ),
        pytest.param(
            reaching("https://example.com/x", "*.example.com"),
            THREE,
            "spec.tools[book].http.url",
            id="a host above those that tools may reach",
        ),
        pytest.param(
            reaching("https://api.example.com./mcp", "api.example.com", kind="mcp"),
            THREE,
            "spec.tools[book].mcp.url",
            id="a server whose host is spelt in another way",
        ),
        pytest.param(open_in("Europe/Berln"), THREE, f"{OPENING}.timeZone", id="a time zone that there is not"),
        pytest.param(open_in("Europe"), THREE, f"{OPENING}.timeZone", id="a continent is no time zone"),
        pytest.param(
            open_in("Europe/Berlin", holidays=["2026-12-25", "2026-02-30"]),
            THREE,
            f"{OPENING}.holidays",
            id="a holiday that never comes",
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
        "conversation": {"backgroundAudio": {"ambient": {"clip": "OfficeAmbience"}, "hold": {"clip": "HoldMusic"}}},
        "recording": {"enabled": True, "store": {"objectStore": {"bucket": "calls"}}, "retentionDays": 30},
    }

    assert planned(agent(), pool(*THREE)).not_yet == ()
    assert planned(agent(**spec), pool(*THREE)).not_yet == (
        "spec.conversation.backgroundAudio.hold",
        "spec.recording.retentionDays",
    )


def test_what_the_apiserver_fills_in_is_no_wish() -> None:
    defaults = agent().spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    filled = {name: defaults[name] for name in ("conversation", "telephony", "transcript", "dataProtection", "memory")}

    assert planned(agent(**filled), pool(*THREE)).not_yet == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"telephony": {"headersToAttributes": {"X-Order": "order"}}}, "spec.telephony.headersToAttributes"),
        ({"memory": {"session": {"maxTurns": 60}}}, "spec.memory"),
        ({"dataProtection": {"redaction": {"enabled": True}}}, "spec.dataProtection.redaction"),
        ({"dataProtection": {"logPersonalData": True}}, "spec.dataProtection.logPersonalData"),
        ({"dataProtection": {"retentionDays": 30}}, "spec.dataProtection.retentionDays"),
        ({"telephony": {"inbound": {"numbers": ["+49301234567"]}}}, "spec.telephony.inbound"),
    ],
)
def test_what_somebody_chose_and_nobody_does_is_named(spec: dict[str, Any], field: str) -> None:
    assert planned(agent(**spec), pool(*THREE)).not_yet == (field,)


def named(name: str, *handoffs: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "instructions": f"You are {name}.",
        "handoffs": [{"agent": to, "when": "always"} for to in handoffs],
        **more,
    }


def test_a_call_is_made_of_those_whom_it_may_meet_beginning_with_who_takes_it() -> None:
    agents = [named("a", "d"), named("b", "c", "a"), named("c", "b"), named("d"), named("e", "a")]
    plan = planned(agent(agents=agents, entryAgent="b"), pool(*THREE))

    assert [each.name for each in plan.agents] == ["b", "c", "a", "d"]


def test_each_agent_has_its_own_voice_and_providers_are_counted_once() -> None:
    slow = {"pipeline": {"tts": {"voice": "deep"}}}
    plan = planned(agent(agents=[named("a", "b"), named("b", voice=slow, language="de")]), pool(*THREE))

    assert [each.voice.tts.first.voice for each in plan.agents] == ["pool-voice", "deep"]
    assert [each.language for each in plan.agents] == ["en", "de"]
    same = planned(agent(agents=[named("a", "b"), named("b")]), pool(*THREE))
    assert same.agents[0].voice == same.agents[1].voice
    assert len(same.providers) == 3


def test_a_problem_of_any_agent_is_named_by_its_field() -> None:
    voice = {"pipeline": {"llm": {"providers": ["gone"]}}}
    problem = plan_dialogue(agent(agents=[named("a", "b"), named("b", voice=voice)]), pool(*THREE))

    assert isinstance(problem, DialogueProblem)
    assert problem.field == "spec.agents[1].voice.pipeline.llm.providers"


@pytest.mark.parametrize(("enabled", "met"), [(True, ["a", "c"]), (False, ["a"])])
def test_agents_behind_keys_are_met_too(met: list[str], *, enabled: bool) -> None:
    dtmf = {"enabled": enabled, "actions": [{"digits": "5", "agent": "c"}, {"digits": "6", "agent": "a"}]}
    plan = planned(agent(agents=[named("a"), named("b"), named("c")], telephony={"dtmf": dtmf}), pool(*THREE))

    assert [each.name for each in plan.agents] == met


def test_a_tool_may_not_have_the_name_of_a_handoff() -> None:
    tool = {"name": "hand_over_to_b", "description": "d", "http": {"url": "https://x.example.com/"}}
    agents = [named("a", "b", tools=["hand_over_to_b"]), named("b")]
    problem = plan_dialogue(agent(agents=agents, tools=[tool]), pool(*THREE))

    assert isinstance(problem, DialogueProblem)
    assert problem.field == "spec.agents[0].tools"


def test_names_of_handoffs_are_names_of_functions() -> None:
    names = {tool_name("a" * 63), tool_name("a" * 62 + "b"), tool_name("a-b")}

    assert len(names) == 3
    assert all(re.fullmatch(r"[a-zA-Z0-9_]{1,64}", name) for name in names)


def test_one_model_may_do_it_all() -> None:
    voice = {"realtime": {"voice": "cedar", "turnDetection": "Local"}}

    plan = planned(agent(voice=voice), pool(*THREE, ALL))

    assert isinstance(plan.entry.voice, RealtimePlan)
    (all_in_one,) = plan.providers
    assert (all_in_one.name, all_in_one.model, all_in_one.voice) == ("all", "gpt-realtime", "cedar")
    assert not plan.entry.voice.decides_about_turns
    assert plan.not_yet == ()


def test_another_voice_may_speak_for_a_realtime_model() -> None:
    plan = planned(agent(voice={"realtime": {"tts": {"speed": 1.2}}}), pool(*THREE, ALL))

    assert [p.name for p in plan.providers] == ["all", "ca"]
    assert choice_for(plan.entry.voice, "Tts") == TextToSpeech(speed=1.2)


@pytest.mark.parametrize(
    ("realtime", "field"),
    [
        ({"temperature": 0.3}, "spec.voice.realtime.temperature"),
        ({}, "spec.agents[0].greeting.interruptible"),
    ],
)
def test_what_a_realtime_model_cannot_do_is_named(realtime: dict[str, Any], field: str) -> None:
    greeting = {"text": "Hello.", "interruptible": "temperature" in realtime}
    desk = {"name": "desk", "instructions": "Be kind.", "greeting": greeting}

    assert planned(agent(agents=[desk], voice={"realtime": realtime}), pool(ALL)).not_yet == (field,)


def test_a_realtime_model_that_knows_temperatures_is_given_one() -> None:
    gemini = provider("gemini", "Realtime", "google")

    assert planned(agent(voice={"realtime": {"temperature": 0.3}}), pool(gemini)).not_yet == ()


PLAIN = (provider("wh", "Stt", "openai"), THREE[1], provider("au", "Tts", "deepgram"))
STEERED = {
    "parameters": {"type": "object", "properties": {"text": {}, "mood": {}, "style": {}}},
    "emotionField": "mood",
    "styleField": "style",
}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"voice": {"pipeline": {"stt": {"keyterms": ["Okonkwo"]}}}}, ["spec.voice.pipeline.stt.keyterms"]),
        ({"voice": {"pipeline": {"tts": {"emotion": "calm"}}}}, ["spec.voice.pipeline.tts.emotion"]),
        ({"voice": {"realtime": {"tts": {"emotion": "calm"}}}}, ["spec.voice.realtime.tts.emotion"]),
        (
            {"agents": [{"name": "desk", "instructions": "Be kind.", "structuredOutput": STEERED}]},
            [f"spec.agents[0].structuredOutput.{name}" for name in ("emotionField", "styleField")],
        ),
    ],
    ids=["key terms", "emotion", "emotion beside realtime", "steering"],
)
def test_what_no_make_of_the_line_up_knows_is_named(spec: dict[str, Any], fields: list[str]) -> None:
    knowing = provider("ot", "Tts", "openai")

    assert list(planned(agent(**spec), pool(*PLAIN, ALL)).not_yet) == fields
    assert planned(agent(**spec), pool(*THREE, knowing, ALL)).not_yet == ()


OF_TURNS = {
    "turnTaking": {"detection": "Vad", "minDelayMilliseconds": 100, "maxDelayMilliseconds": 900},
    "interruption": {"minDurationMilliseconds": 100, "falseInterruptionTimeoutMilliseconds": 100},
}
OF_WORDS = {"turnTaking": {"maxTurnSeconds": 9}, "interruption": {"minWords": 2}}
HARMLESS = {"turnTaking": {"preemptiveGeneration": False}, "interruption": {"resumeFalseInterruption": False}}


@pytest.mark.parametrize(
    ("voice", "moot"),
    [
        pytest.param({"realtime": {}}, [OF_TURNS, OF_WORDS], id="a model that decides about turns"),
        pytest.param({"realtime": {"turnDetection": "Local"}}, [OF_WORDS], id="a model that hears by itself"),
        pytest.param({"pipeline": {}}, [], id="a pipeline"),
    ],
)
def test_what_a_model_does_not_know_of_turns_is_named(voice: dict[str, Any], moot: list[dict[str, Any]]) -> None:
    talk = {
        group: {name: wish for kind in (OF_TURNS, OF_WORDS, HARMLESS) for name, wish in kind[group].items()}
        for group in OF_TURNS
    }
    fields = [f"spec.conversation.{group}.{name}" for kind in moot for group, wishes in kind.items() for name in wishes]

    assert list(planned(agent(conversation=talk, voice=voice), pool(*THREE, ALL)).not_yet) == fields


def test_what_other_fields_leave_no_room_for_is_named() -> None:
    path = {"variable": "found", "path": "$.items[*].name"}
    it = {"name": "it", "description": "d", "http": {"url": "https://x.example.com", "response": [path]}}
    spec: dict[str, Any] = {
        "agents": [named("desk", tools=["it"])],
        "tools": [it],
        "variables": {"declared": [{"name": "found", "default": ""}]},
        "conversation": {
            "turnTaking": {"detection": "PushToTalk"},
            "pushToTalk": {"commitDigit": "0"},
            "away": {"prompts": ["One?", "Two?", "Three?"]},
        },
        "telephony": {"dtmf": {"actions": [{"digits": "10", "endCall": True}, {"digits": "2", "endCall": True}]}},
    }

    assert planned(agent(**spec), pool(*THREE)).not_yet == (
        "spec.telephony.dtmf.humanDigit",
        "spec.telephony.dtmf.actions[10]",
        "spec.conversation.away.prompts[2]",
        "spec.tools[it].http.response[found].path",
    )


@pytest.mark.parametrize(
    ("voice", "not_yet"),
    [
        ({"realtime": {}}, ("spec.tools[it].interruptible",)),
        ({"realtime": {"turnDetection": "Local"}}, ()),
        ({"pipeline": {}}, ()),
    ],
    ids=["the model decides about turns", "the worker does", "a pipeline"],
)
def test_a_tool_that_would_be_interrupted_all_the_same_is_named(
    voice: dict[str, Any], not_yet: tuple[str, ...]
) -> None:
    tool = {"name": "it", "description": "d", "http": {"url": "https://x.example.com"}, "interruptible": False}
    spec = agent(agents=[named("desk", tools=["it"])], tools=[tool, {**tool, "name": "unused"}], voice=voice)

    assert planned(spec, pool(*THREE, ALL)).not_yet == not_yet
