"""Who speaks: an answer is said to its end, and no word of it twice."""

import asyncio
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIStatusError, tts

from tests.worker.failover.scripted import Rotating, Speaker, Stage, lineup, stage
from voicefleet_worker.failover.speaking import SAMPLE_RATE, SpeakingInTurn
from voicefleet_worker.failover.spoken import spoken_characters

DOWN = APIStatusError("down", status_code=503)
LOST = APIConnectionError("lost")
REFUSED = APIStatusError("no such key", status_code=401)
TEXT = "It is half past eleven. The bus has just left, and the next one goes at noon."


def speakers(**scripts: list[list[Any]]) -> tuple[dict[str, Speaker], Stage]:
    models = {name: Speaker(number, *texts) for number, (name, texts) in enumerate(scripts.items(), start=1)}
    return models, stage(lineup("Tts", *models), lambda plan: models[plan.name])


async def say(of: Stage, *pieces: str) -> dict[int, float]:
    """Say a text that comes in pieces; return for how long each speaker was heard."""
    heard: dict[int, float] = {}
    async with SpeakingInTurn(of.switch).stream() as stream:
        for piece in pieces:
            stream.push_text(piece)
        stream.end_input()
        async for sound in stream:
            samples = sound.frame.data
            for number in set(samples) - {0}:
                heard[number] = heard.get(number, 0.0) + list(samples).count(number) / sound.frame.sample_rate
    return heard


async def test_while_all_is_well_one_says_all() -> None:
    models, set_stage = speakers(a=[["all"]], b=[])

    heard = await say(set_stage, TEXT[:20], TEXT[20:])

    assert heard == {1: pytest.approx(len(TEXT) / 15, abs=0.1)}
    assert models["a"].spoken[0].text == TEXT


@pytest.mark.parametrize(
    "fails",
    [[DOWN], [REFUSED], [LOST], [ValueError("a bug")], [10.0], []],
    ids=["503", "401", "lost", "bug", "slow", "without a sound"],
)
async def test_before_the_first_sound_another_one_says_all(fails: list[Any]) -> None:
    models, set_stage = speakers(a=[fails], b=[["all"]])

    heard = await say(set_stage, TEXT)

    assert heard.keys() == {2}
    assert models["b"].spoken[0].text == TEXT


@pytest.mark.parametrize("fails", [LOST, 10.0], ids=["lost", "stalled"])
async def test_in_the_middle_another_one_says_the_rest(fails: Any) -> None:
    models, set_stage = speakers(a=[["1.6", fails]], b=[["all"]])

    heard = await say(set_stage, TEXT)

    assert heard.keys() == {1, 2}
    assert models["b"].spoken[0].text == "The bus has just left, and the next one goes at noon."


async def test_who_waits_for_words_is_not_slow() -> None:
    """A model that thinks for long in the middle of an answer makes no voice a silent one."""
    models, set_stage = speakers(a=[["each", 0.1]], b=[["all"]])
    async with SpeakingInTurn(set_stage.switch).stream() as stream:
        stream.push_text(TEXT[:24])
        await asyncio.sleep(1.5)
        stream.push_text(TEXT[24:])
        stream.end_input()
        async for _ in stream:
            pass

    assert models["a"].spoken[0].text == TEXT
    assert models["b"].spoken == []


async def test_who_fails_after_the_last_word_is_not_replaced() -> None:
    models, set_stage = speakers(a=[[str(len(TEXT) / 15), LOST]], b=[["all"]])

    assert (await say(set_stage, TEXT)).keys() == {1}
    assert models["b"].spoken == []


async def test_when_nobody_is_left_the_turn_fails_and_says_why() -> None:
    _, set_stage = speakers(a=[[DOWN]], b=[[LOST]])

    with pytest.raises(APIConnectionError, match="a: has just failed at this; b: has just failed at this"):
        await say(set_stage, TEXT)


async def test_voices_of_other_rates_sound_as_long() -> None:
    slow = Speaker(1, ["all"], rate=16_000)
    heard = 0.0
    switch = stage(lineup("Tts", "a"), lambda _: slow).switch
    async with SpeakingInTurn(switch).stream() as stream:
        stream.push_text(TEXT)
        stream.end_input()
        async for sound in stream:
            assert sound.frame.sample_rate == SAMPLE_RATE
            heard += sound.frame.duration

    assert heard == pytest.approx(len(TEXT) / 15, abs=0.1)


async def test_the_time_to_the_first_sound_is_measured() -> None:
    _, set_stage = speakers(a=[["all"]])
    measured: list[float | None] = []
    learn = set_stage.health.learn
    set_stage.health.learn = lambda name, outcome, seconds=None: (measured.append(seconds), learn(name, outcome))  # type: ignore[method-assign, assignment]

    await say(set_stage, TEXT)

    assert len(measured) == 1
    assert measured[0] is not None
    assert 0 < measured[0] < 1


async def test_a_whole_text_can_be_said_at_once() -> None:
    models, set_stage = speakers(a=[["all"]])
    voice: tts.TTS[Any] = SpeakingInTurn(set_stage.switch)

    frame = await voice.synthesize("Goodbye.").collect()

    assert frame.duration == pytest.approx(8 / 15, abs=0.1)
    assert models["a"].spoken[0].text == "Goodbye."


@pytest.mark.parametrize(
    ("seconds", "words", "rest"),
    [
        (0.0, [], "one two three"),
        (0.3, [], "two three"),
        (0.45, [], "two three"),
        (9.0, [], ""),
        (0.5, [("one", 0.4), ("two", 0.8), ("three", 1.4)], " two three"),
        (0.8, [("one", 0.4), ("two", 0.8), ("three", 1.4)], " three"),
        (2.0, [("one", 0.4), ("TWO", 0.8), ("three", 1.4)], ""),
    ],
    ids=["nothing", "a word", "half of the next", "all", "told: a word", "told: two", "told: spelt otherwise"],
)
def test_how_far_a_text_was_spoken(seconds: float, words: list[tuple[str, float]], rest: str) -> None:
    text = "one two three"
    assert text[spoken_characters(text, words, seconds, per_second=15) :] == rest


async def test_a_call_that_is_older_than_its_key_says_all_with_the_new_one() -> None:
    rotating = Rotating()
    models = {1: Speaker(1, [0.05, REFUSED]), 2: Speaker(2, ["all"])}
    set_stage = stage(lineup("Tts", "only"), rotating.building(models.__getitem__), rotating.of)
    saying = asyncio.create_task(say(set_stage, TEXT))
    await asyncio.sleep(0.02)
    rotating.key = 2

    assert (await saying).keys() == {2}
    assert models[2].spoken[0].text == TEXT
