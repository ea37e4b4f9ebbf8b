"""Who may do a job of an agent's calls, who begins, and as what each of them is used."""

from typing import Any

import pytest

from tests.core.test_dialogue import THREE, agent, planned, pool, provider
from voicefleet.providers.lineup import Lineup, Nobody, line_up, read_option
from voicefleet.providers.needs import AgentNeeds


def hearing(*others: dict[str, Any], **choice: Any) -> Lineup:
    return planned(agent(voice={"pipeline": {"stt": choice}}), pool(*THREE, *others)).entry.voice.lineups[0]


def test_the_lowest_priority_begins_and_the_disabled_never_do() -> None:
    backup, best = provider("backup", "Stt", "openai", priority=200), provider("best", "Stt", "openai", priority=10)
    lineup = hearing(backup, best, provider("off", "Stt", "openai", priority=1, enabled=False))

    assert lineup.first.name == "best"
    assert [plan.name for plan in lineup.plans] == ["dg", "backup", "best"]


def test_of_equal_priorities_the_pools_order_decides() -> None:
    assert hearing(provider("later", "Stt", "openai")).first.name == "dg"


def test_the_agents_order_wins_over_priorities_and_nobody_else_stands_by() -> None:
    second, third = provider("second", "Stt", "openai", priority=900), provider("third", "Stt", "openai")
    lineup = hearing(second, third, providers=["gone", "second", "dg"])

    assert lineup.first.name == "second"
    assert {plan.name for plan in lineup.plans} == {"dg", "second"}
    assert lineup.need.wanted == ("second", "dg")


def test_the_agents_model_and_voice_are_meant_for_whom_it_had_in_mind() -> None:
    voice = {"pipeline": {"tts": {"model": "sonic-2", "voice": "own-voice", "attemptTimeoutMilliseconds": 700}}}
    twin = provider("twin", "Tts", "cartesia", voice="pool-voice")
    other = provider("other", "Tts", "openai", voice="ash", model="tts-1")

    lineup = planned(agent(voice=voice), pool(*THREE, twin, other)).entry.voice.lineups[2]

    used = {plan.name: (plan.model, plan.voice, plan.timeout_seconds) for plan in lineup.plans}
    assert used == {
        "ca": ("sonic-2", "own-voice", 0.7),
        "twin": ("sonic-2", "own-voice", 0.7),
        # It would not know that voice.
        "other": ("tts-1", "ash", 0.7),
    }
    assert planned(agent(), pool(*THREE)).entry.voice.lineups[2].first.voice == "pool-voice"


def test_who_does_not_speak_the_language_is_nobody() -> None:
    only_german = pool({**THREE[0], "languages": ["de"]}, *THREE[1:])
    choice = agent(voice={"pipeline": {}}).spec.voice.pipeline
    assert choice is not None

    nobody = line_up(only_german, "Stt", choice.stt, AgentNeeds("desk", "en"))

    assert isinstance(nobody, Nobody)
    assert nobody.message == "no provider of role Stt can do what agent desk needs: dg: does not know en"


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("false", False), ("7", 7), ("-7", -7), ("1.1", 1.1), ("1.", "1."), ("True", "True"), ("x", "x")],
)
def test_options_are_read_as_what_they_look_like(text: str, value: object) -> None:
    assert read_option(text) == value
    assert type(read_option(text)) is type(value)
