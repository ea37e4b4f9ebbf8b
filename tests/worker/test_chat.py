"""What a chat is made of, and what its screen shows. The conversation itself is in e2e/test_chat.py."""

import io
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from tests.worker.files import AGENT, POOL, Mounted
from voicefleet.api.references import SecretKeyRef
from voicefleet.names import text_file
from voicefleet_worker.access.secret_files import variable_of
from voicefleet_worker.chat.material import Wishes, gather, thinking_of
from voicefleet_worker.chat.screen import Screen, Words, _Asides
from voicefleet_worker.problems import BadInputError


def wishes(mounted: Mounted, *, pool: bool = True, secrets: bool = False) -> Wishes:
    pool_file = mounted.folder / "pool.json" if pool else None
    return Wishes(mounted.folder / "agent.json", pool_file, mounted.folder / "secrets" if secrets else None, {})


@pytest.mark.parametrize(
    ("name", "key", "variable"),
    [("openai", "api-key", "OPENAI_API_KEY"), ("eu.prod-llm", "token_2", "EU_PROD_LLM_TOKEN_2")],
)
def test_a_key_of_a_secret_is_a_variable_of_the_environment(name: str, key: str, variable: str) -> None:
    assert variable_of(SecretKeyRef(name=name, key=key)) == variable


def test_the_environment_wins_over_files(mounted: Mounted) -> None:
    ref = SecretKeyRef(name="openai", key="api-key")
    both = gather(wishes(mounted, secrets=True), {"OPENAI_API_KEY": "from the environment"})
    files = gather(wishes(mounted, secrets=True), {})

    assert both.secrets.read(ref) == "from the environment"
    assert files.secrets.read(ref) == "sk-do-not-tell-openai"
    assert "from the environment" not in repr(both.secrets)


def test_who_thinks_needs_a_key_and_nobody_else(mounted: Mounted) -> None:
    gather(wishes(mounted), {"OPENAI_API_KEY": "k"})

    with pytest.raises(BadInputError, match="set OPENAI_API_KEY, or give --secrets DIR with a file openai/api-key"):
        gather(wishes(mounted), {"DEEPGRAM_API_KEY": "k"})


def test_without_a_pool_a_key_for_openai_is_enough(mounted: Mounted) -> None:
    environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "LLM_MODEL": "small"}
    (provider,) = thinking_of(gather(wishes(mounted, pool=False), environment).plan.entry).plans

    assert (provider.plugin, provider.base_url, provider.model) == ("openai", "http://127.0.0.1:9/v1", "small")
    with pytest.raises(BadInputError, match="set OPENAI_API_KEY"):
        gather(wishes(mounted, pool=False), {})


def test_the_file_that_has_to_be_mended_is_named(mounted: Mounted) -> None:
    agent = mounted.folder / "agent.json"
    with pytest.raises(BadInputError, match="expected VoiceAgent, found 'ProviderPool'"):
        gather(Wishes(mounted.folder / "pool.json", None, None, {}), {"OPENAI_API_KEY": "k"})
    with pytest.raises(BadInputError, match="cannot be read"):
        gather(Wishes(agent, Path("nowhere.yaml"), None, {}), {})


def test_instructions_of_a_config_map_are_asked_for(mounted: Mounted) -> None:
    """An agent without any would answer all the same, as nobody that somebody has written."""
    told = {"name": "desk", "instructionsFrom": {"name": "prompts", "key": "desk.md"}}
    mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "agents": [told]}})
    with pytest.raises(
        BadInputError, match=r"instructions of desk: stand in a ConfigMap: give --texts DIR with .*desk\.md"
    ):
        gather(wishes(mounted), {"OPENAI_API_KEY": "k"})

    file = mounted.folder / "texts" / text_file("prompts", "desk.md")
    file.parent.mkdir(parents=True)
    file.write_text("Be kind.")
    material = gather(replace(wishes(mounted), texts=mounted.folder / "texts"), {"OPENAI_API_KEY": "k"})
    assert material.plan.entry.instructions == "Be kind."


def talking(mounted: Mounted, *roles: str) -> Wishes:
    """Let a realtime model hold the calls, of a pool with providers for these jobs."""
    mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "voice": {"realtime": {}}}})
    providers = [{"name": f"my-{role.lower()}", "role": role, "plugin": "openai"} for role in roles]
    mounted.write("pool.json", {**POOL, "spec": {**POOL["spec"], "providers": providers}})
    return wishes(mounted)


def test_in_place_of_a_model_that_only_talks_one_that_writes_answers_and_that_is_said(mounted: Mounted) -> None:
    material = gather(talking(mounted, "Realtime", "Llm"), {})

    assert [plan.name for plan in thinking_of(material.plan.entry).plans] == ["my-llm"]
    assert material.asides == (
        "desk is a realtime model, which only talks: here a model that writes answers in its place",
    )


def test_a_pool_whose_models_only_talk_is_told_what_a_chat_needs(mounted: Mounted) -> None:
    with pytest.raises(BadInputError, match=r"spec\.providers.*a chat needs a provider of role Llm"):
        gather(talking(mounted, "Realtime", "Tts"), {})


async def test_words_are_shown_as_they_come_and_cannot_command_the_terminal() -> None:
    output = io.StringIO()
    words = Words(Screen(output, is_coloured=False), "desk")
    for piece in (" We are", " open\x1b]0;owned\x07.\n"):
        await words.capture_text(piece)
    words.flush()
    words.flush()

    assert output.getvalue() == "desk> We are open\\x1b]0;owned\\x07.\n\n"


def test_what_was_not_said_is_dimmed_and_short() -> None:
    output = io.StringIO()
    screen = Screen(output, is_coloured=True)
    screen.stream("desk", "One mo")
    screen.aside("x" * 500)

    assert output.getvalue() == f"\x1b[1mdesk>\x1b[0m One mo\n\x1b[2m  {'x' * 400}…\x1b[0m\n"


def test_a_warning_shows_the_fields_that_may_be_shown() -> None:
    output = io.StringIO()
    record = logging.makeLogRecord({"msg": "provider failed", "provider": "openai", "transcript": "private"})
    _Asides(Screen(output, is_coloured=False)).emit(record)

    assert output.getvalue() == "  ! provider failed (provider: openai)\n"
