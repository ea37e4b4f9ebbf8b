"""Every make in every role: the real class takes what we give it, and what is missing is said in one line."""

import importlib
import json
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from livekit.agents import APIConnectOptions, ChatContext, function_tool

from voicefleet.api.providerpool.providers import PLUGINS_BY_ROLE, Provider
from voicefleet.api.providerpool.spec import RoutingPolicy
from voicefleet.api.voiceagent.voice import LanguageModel, ModelChoice, Realtime, SpeechToText, TextToSpeech
from voicefleet.conversation.dialogue import DialogueProblem
from voicefleet.last_words import quotable
from voicefleet.names import LAST_WORDS_PREFIX, POOL_FILE, SPEC_DIRECTORY
from voicefleet.providers.lineup import Lineup, ProviderPlan
from voicefleet.providers.routing import Need, Role
from voicefleet_worker import providers as under_test
from voicefleet_worker.failover.errors import Finding
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.providers import Ingredients, build_realtime, check_options, without_strangers

SAMPLE_POOL = Path(__file__).parents[2] / "manifests/samples/providerpool.yaml"
URL = "http://127.0.0.1:9/v1"
ACCOUNT = json.dumps({"type": "service_account", "project_id": "p"})
WISHES: dict[Role, ModelChoice] = {
    "Stt": SpeechToText(keyterms=("Okonkwo",)),
    "Llm": LanguageModel(temperature=0.4, max_output_tokens=200),
    "Tts": TextToSpeech(speed=1.1, emotion="calm"),
    "Realtime": Realtime(temperature=0.4, turn_detection="Local"),
}
EVERY: list[tuple[Role, str]] = [(role, plugin) for role in WISHES for plugin in PLUGINS_BY_ROLE[role]]


def plan(role: Role, plugin: str, **fields: Any) -> ProviderPlan:
    provider = Provider(name=f"{plugin}-{role.lower()}", role=role, plugin=plugin, **fields)
    return ProviderPlan(
        provider=provider,
        role=role,
        model=provider.model,
        voice="a-voice" if role in ("Tts", "Realtime") else None,
        options=(),
        language="de-AT",
        timeout_seconds=3.0,
        stall_seconds=5.0,
        retries=0,
    )


def ingredients(of: ProviderPlan, *, choice: ModelChoice | None = None, key: str | None = "k") -> Ingredients:
    cloud = of.plugin == "google" and of.role in ("Stt", "Tts")
    return Ingredients(of, choice or WISHES[of.role], ACCOUNT if cloud else key)


def arguments(of: Ingredients) -> dict[str, Any]:
    return importlib.import_module(f"voicefleet_worker.providers.{of.plan.plugin}").arguments(of)  # type: ignore[no-any-return]


def lineup(*plans: ProviderPlan, needs: Collection[str] = ()) -> Lineup:
    return Lineup(Need(plans[0].role, "en", frozenset(needs)), RoutingPolicy(), plans, plans[0].name)


@pytest.mark.parametrize(("role", "plugin"), EVERY)
def test_every_make_takes_all_that_an_agent_can_wish(role: Role, plugin: str) -> None:
    fixed = plugin == "google" and role in ("Stt", "Tts")
    of = plan(role, plugin, baseUrl=None if fixed else URL, model="a-model" if plugin != "assemblyai" else None)

    assert check_options(of) is None
    built: Any = under_test._build(ingredients(of))

    if role == "Realtime":
        assert not built.capabilities.turn_detection, "the agent wants to decide about turns itself"
    else:
        assert built.model


@pytest.mark.parametrize(("role", "plugin"), [each for each in EVERY if each != ("Stt", "google")])
def test_no_make_needs_more_than_a_key(role: Role, plugin: str) -> None:
    assert under_test._build(ingredients(plan(role, plugin), choice=type(WISHES[role])()))


@pytest.mark.parametrize(
    ("role", "plugin", "wanted"),
    [
        ("Stt", "assemblyai", {"keyterms_prompt": ["Okonkwo"], "language_codes": ["de"]}),
        ("Stt", "google", {"keywords": [("Okonkwo", 10.0)], "languages": "de-AT"}),
        ("Stt", "deepgram", {"keyterm": ["Okonkwo"], "language": "de-AT"}),
        ("Stt", "groq", {"language": "de", "base_url": None}),
        ("Llm", "anthropic", {"temperature": 0.4, "max_tokens": 200}),
        ("Llm", "google", {"temperature": 0.4, "max_output_tokens": 200}),
        ("Llm", "groq", {"temperature": 0.4, "max_completion_tokens": 200}),
        ("Tts", "elevenlabs", {"voice_id": "a-voice", "language": "de"}),
        ("Tts", "google", {"voice_name": "a-voice", "speaking_rate": 1.1}),
        ("Realtime", "openai", {"voice": "a-voice", "turn_detection": None, "modalities": ["audio"]}),
        ("Realtime", "google", {"voice": "a-voice", "temperature": 0.4, "language": "de"}),
    ],
)
def test_a_wish_has_the_name_that_its_make_has_for_it(role: Role, plugin: str, wanted: dict[str, Any]) -> None:
    given = arguments(ingredients(plan(role, plugin)))

    assert {name: given.get(name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("role", "plugin", "family"),
    [("Stt", "deepgram", "nova-3"), ("Llm", "openai", "gpt-"), ("Tts", "cartesia", "sonic")],
)
def test_a_pool_that_names_no_model_gets_the_one_that_we_promise(role: Role, plugin: str, family: str) -> None:
    """The default is the plugin's; a release of it that has another one is told here, and not by callers."""
    built: Any = under_test._build(ingredients(plan(role, plugin), choice=type(WISHES[role])()))
    sample = {each["plugin"]: each["model"] for each in yaml.safe_load(SAMPLE_POOL.read_text())["spec"]["providers"]}

    assert built.model.startswith(family)
    assert sample[plugin].startswith(family)


def test_an_older_model_of_assemblyai_is_not_told_the_language() -> None:
    given = arguments(ingredients(plan("Stt", "assemblyai", model="universal-streaming-english")))

    assert "language_codes" not in given


@pytest.mark.parametrize("wish", [Realtime(), Realtime(turn_detection="Local"), Realtime(tts=TextToSpeech())])
def test_realtime_models_of_one_line_up_agree_on_who_does_what(wish: Realtime) -> None:
    openai, google = (
        build_realtime(ingredients(plan("Realtime", plugin), choice=wish)).capabilities
        for plugin in PLUGINS_BY_ROLE["Realtime"]
    )

    for name in ("audio_output", "turn_detection", "supports_overlapping_speech"):
        assert getattr(openai, name) == getattr(google, name), name
    assert openai.audio_output is (wish.tts is None)
    assert openai.turn_detection is (wish.turn_detection == "Server")


@pytest.mark.parametrize("role", ["Stt", "Tts"])
def test_an_address_that_a_make_would_ignore_is_refused(role: Role) -> None:
    problem = check_options(plan(role, "google", baseUrl=URL))

    assert problem is not None
    assert problem.field == f"spec.providers[google-{role.lower()}].baseUrl"


def test_a_key_that_is_no_service_account_is_told_without_the_key() -> None:
    of = Ingredients(plan("Stt", "google"), SpeechToText(), "sk-secret")

    with pytest.raises(BadInputError, match="no service account") as caught:
        arguments(of)
    assert "sk-secret" not in str(Finding(caught.value, None, None))


@pytest.mark.parametrize("plugin", under_test.EXTRAS)
def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, plugin: str) -> None:
    monkeypatch.delitem(sys.modules, f"voicefleet_worker.providers.{plugin}", raising=False)
    monkeypatch.setitem(sys.modules, f"livekit.plugins.{plugin}", None)
    monkeypatch.delattr(f"livekit.plugins.{plugin}", raising=False)
    monkeypatch.delattr(f"voicefleet_worker.providers.{plugin}", raising=False)
    role = next(role for role, name in EVERY if name == plugin)

    alone = without_strangers(lineup(plan(role, plugin)))
    beside = without_strangers(lineup(plan(role, plugin), plan(role, "openai")))

    assert isinstance(alone, DialogueProblem)
    assert alone.field == f"spec.providers[{plugin}-{role.lower()}].plugin"
    assert f"voicefleet[{plugin}]" in alone.message
    assert "EXTRAS=all-providers" in alone.message
    whole = BadInputError(f"{SPEC_DIRECTORY}/{POOL_FILE}", alone.message, alone.field)
    assert quotable(f"{LAST_WORDS_PREFIX}{whole}") == str(whole), "all of it stands in the agent's conditions"
    assert "openai" in alone.message
    assert isinstance(beside, Lineup)
    assert beside.first.plugin == "openai"


def test_who_is_left_in_place_of_a_stranger_can_do_what_the_agent_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_find", lambda name: None if name == "anthropic" else under_test._load(name))
    stranger = plan("Llm", "anthropic", capabilities=("Tools",))
    plain, able = (plan("Llm", name, capabilities=(can,)) for name, can in (("groq", "Streaming"), ("openai", "Tools")))

    beside = without_strangers(lineup(stranger, plain, able, needs=["Tools"]))
    alone = without_strangers(lineup(stranger, plain, needs=["Tools"]))

    assert isinstance(beside, Lineup)
    assert beside.first.plugin == "openai"
    assert isinstance(alone, DialogueProblem)
    assert alone.field == "spec.providers[anthropic-llm].plugin"


@pytest.fixture
def model(plugin: str) -> Any:
    """Built before there is a loop: a make's first client loads what it needs, which blocks."""
    return under_test._build(ingredients(plan("Llm", plugin)))


@pytest.mark.parametrize(
    ("plugin", "asks"),
    [
        ("openai", {"parallel_tool_calls": False}),
        ("groq", {"parallel_tool_calls": False}),
        ("anthropic", {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    ],
)
async def test_each_make_is_asked_in_its_own_words_for_one_tool_at_a_time(
    plugin: str, asks: dict[str, Any], model: Any
) -> None:
    asked: list[dict[str, Any]] = []

    async def create(**request: Any) -> Any:
        asked.append(request)
        raise LookupError

    client = model._client.messages if plugin == "anthropic" else model._client.chat.completions
    client.create = create
    tools = [function_tool(_no_tool)]
    stream = model.chat(
        chat_ctx=ChatContext.empty(),
        tools=tools,
        parallel_tool_calls=False,
        conn_options=APIConnectOptions(max_retry=0),
    )
    with suppress(Exception):
        await anext(stream)
    await stream.aclose()

    assert {name: asked[0].get(name) for name in asks} == asks


async def _no_tool() -> None:
    """Do nothing."""
