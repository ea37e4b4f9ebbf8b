"""Who hears: no word of the caller is lost, whoever falls deaf when."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIStatusError, UserStateChangedEvent, stt

from tests.worker.failover.scripted import Listener, Rotating, Stage, final, lineup, sound, stage
from voicefleet_worker.failover import hearing as under_test
from voicefleet_worker.failover import patience
from voicefleet_worker.failover.hearing import HearingInTurn
from voicefleet_worker.failover.patience import CallerSpeaks, Patience
from voicefleet_worker.failover.tape import Tape

DOWN = APIStatusError("down", status_code=503)
LOST = APIConnectionError("lost")
REFUSED = APIStatusError("no such key", status_code=401)


class Call:
    """A caller who speaks in pieces of a tenth of a second, numbered."""

    def __init__(self, set_stage: Stage) -> None:
        self.caller = CallerSpeaks()
        self.stream = HearingInTurn(set_stage.switch, self.caller).stream()
        self.written: list[str] = []
        self._said = 0
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.stream:
            self.written += [each.text for each in event.alternatives]

    async def say(self, pieces: int) -> None:
        for _ in range(pieces):
            self._said += 1
            self.stream.push_frame(sound(self._said))
            await asyncio.sleep(0.005)

    async def end(self) -> None:
        self.stream.end_input()
        async with asyncio.timeout(2):
            await self._reading
        await self.stream.aclose()


def listeners(**scripts: list[list[Any]]) -> tuple[dict[str, Listener], Stage]:
    models = {name: Listener(*connections) for name, connections in scripts.items()}
    return models, stage(lineup("Stt", *models, silence_seconds=0.2), lambda plan: models[plan.name])


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(under_test, "_TRY_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(patience, "_COUGH_SECONDS", 0.1)


@pytest.mark.parametrize("error", [DOWN, LOST, ValueError("a bug of the plugin")], ids=["503", "lost", "bug"])
async def test_the_next_one_is_played_what_nobody_has_written_down(error: Exception) -> None:
    models, set_stage = listeners(a=[[8, error]], b=[[20, "all of it"]])
    call = Call(set_stage)

    await call.say(20)
    await call.end()

    assert call.written == ["all of it"]
    assert models["b"].heard == [list(range(1, 21))], "each piece once, in its order"


async def test_what_was_written_down_is_not_played_again() -> None:
    written = final("the first second", end_seconds=1.0)
    models, set_stage = listeners(a=[[15, written, LOST]], b=[[20, "the rest"]])
    call = Call(set_stage)

    await call.say(30)
    await call.end()

    assert call.written == ["the first second", "the rest"]
    assert models["b"].heard == [list(range(11, 31))]


async def test_times_go_on_where_they_were() -> None:
    """The SDK reckons with times since the beginning of the call; each provider counts from where it began."""
    _, set_stage = listeners(a=[[15, final("one", end_seconds=1.0), LOST]], b=[[10.0]])
    call = Call(set_stage)
    await call.say(30)

    inner = call.stream._inner
    assert inner is not None
    assert inner.start_time_offset == pytest.approx(1.0, abs=0.05)
    await call.stream.aclose()


async def test_who_is_deaf_on_an_open_line_is_replaced_when_the_caller_speaks() -> None:
    models, set_stage = listeners(a=[[10.0]], b=[["heard"]])
    call = Call(set_stage)
    await call.say(5)
    await asyncio.sleep(0.3)
    assert models["b"].heard == [], "nobody speaks, nobody need write"

    call.caller.follow(UserStateChangedEvent(old_state="listening", new_state="speaking"))
    await asyncio.sleep(0.3)

    await call.end()
    assert call.written == ["heard"]


def changing(text: str) -> stt.SpeechEvent:
    return replace(final(text), type=stt.SpeechEventType.INTERIM_TRANSCRIPT)


async def test_who_breaks_off_in_the_middle_of_a_sentence_is_replaced_although_the_caller_says_no_more() -> None:
    """What is left of a short question is no longer than a cough."""
    models, set_stage = listeners(a=[[5, changing("when are"), 10.0]], b=[[8, "when are you open"]])
    call = Call(set_stage)
    call.caller.follow(UserStateChangedEvent(old_state="listening", new_state="speaking"))
    await call.say(8)
    call.caller.follow(UserStateChangedEvent(old_state="speaking", new_state="listening"))

    await asyncio.sleep(0.4)
    await call.end()

    assert call.written == ["when are", "when are you open"]
    assert models["b"].heard == [list(range(1, 9))]


@pytest.mark.parametrize("end", [final("when"), stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH)])
async def test_who_says_that_a_sentence_is_over_owes_no_more_of_it(end: stt.SpeechEvent) -> None:
    models, set_stage = listeners(a=[[5, changing("when"), end, 10.0]], b=[["never"]])
    call = Call(set_stage)
    await call.say(8)

    await asyncio.sleep(0.4)
    await call.stream.aclose()

    assert models["b"].heard == []


@pytest.mark.parametrize(("spoken", "unheard"), [(0.2, False), (0.9, True)], ids=["a cough", "a question"])
async def test_a_short_question_without_an_answer_counts_too(
    monkeypatch: pytest.MonkeyPatch, spoken: float, *, unheard: bool
) -> None:
    """Who has asked waits for the answer, and speaks no more until it comes."""
    now = 100.0
    monkeypatch.setattr(patience, "_COUGH_SECONDS", 0.7)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    caller = CallerSpeaks()
    caller.follow(UserStateChangedEvent(old_state="listening", new_state="speaking"))
    now += spoken
    caller.follow(UserStateChangedEvent(old_state="speaking", new_state="listening"))
    now += 5

    assert (caller.seconds_unheard(99.0) > 5) is unheard
    assert caller.seconds_unheard(now) == 0.0, "it was heard in the end"


async def test_who_hangs_up_in_the_middle_is_replaced() -> None:
    class HangsUp(Listener):
        def stream(self, **options: Any) -> Any:
            inner = super().stream(**options)
            inner.end_input()
            return inner

    models: dict[str, Listener] = {"a": HangsUp([]), "b": Listener(["heard"])}
    call = Call(stage(lineup("Stt", *models), lambda plan: models[plan.name]))
    await call.say(5)
    await call.end()

    assert call.written == ["heard"]


async def test_when_all_are_down_the_tape_runs_until_one_is_back() -> None:
    models, set_stage = listeners(a=[[DOWN], [DOWN], [0.05, "at last"]], b=[[DOWN], [DOWN], [DOWN]])
    call = Call(set_stage)

    await call.say(10)
    await asyncio.sleep(0.1)
    await call.end()

    assert call.written == ["at last"]
    assert models["a"].heard[-1] == list(range(1, 11))


async def test_nobody_is_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_GIVE_UP_SECONDS", 0.1)
    _, set_stage = listeners(a=[[DOWN]] * 99)

    async with HearingInTurn(set_stage.switch, CallerSpeaks()).stream() as stream, asyncio.timeout(5):
        with pytest.raises(APIConnectionError, match="nobody can be asked"):
            await anext(stream)


def speaks(call: Call) -> None:
    call.caller.follow(UserStateChangedEvent(old_state="listening", new_state="speaking"))


def errors(set_stage: Stage) -> int:
    return set_stage.reporter._report.provider_errors


async def test_deaf_is_who_was_silent_over_what_another_one_has_heard() -> None:
    _, set_stage = listeners(a=[[10.0]], b=[[5, "heard", 10.0]])
    call = Call(set_stage)
    await call.say(5)
    speaks(call)
    async with asyncio.timeout(5):
        while not (errors(set_stage) and call.written):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    assert call.written == ["heard"]
    await call.stream.aclose()


async def test_over_noise_everybody_is_silent_and_nobody_is_to_blame() -> None:
    """Music on hold is speech for who tells speech from silence, and has no words."""
    models, set_stage = listeners(a=[[10.0]] * 9, b=[[10.0]] * 9)
    call = Call(set_stage)
    await call.say(5)
    speaks(call)
    await asyncio.sleep(1.5)

    assert errors(set_stage) == 0
    assert len(models["a"].heard) + len(models["b"].heard) == 3, "once with each, and then it stays with one"
    await call.stream.aclose()


async def test_that_somebody_begins_to_speak_is_no_word() -> None:
    """A recogniser of whole utterances has that from our own ear, and may be down all the same."""
    begins = stt.SpeechEvent(type=stt.SpeechEventType.START_OF_SPEECH)
    _, set_stage = listeners(a=[[begins, DOWN]] * 200, b=[[begins, DOWN]] * 200)
    call = Call(set_stage)
    await call.say(5)
    await asyncio.sleep(0.3)

    report = set_stage.reporter._report
    assert report.provider_requests == report.provider_errors
    assert report.provider_requests < 40, "who dies at once is not dialed without end"
    await call.stream.aclose()


def test_who_was_heard_for_a_while_begins_with_fresh_patience() -> None:
    patient = Patience()
    (plan,) = lineup("Stt", "a").plans
    assert patient.begin_anew(0.0)
    patient.note_failure(plan, lasted_seconds=60.0)

    assert patient.begin_anew(100.0)
    assert not patient.begin_anew(121.0)


async def test_whoever_is_tried_again_is_played_all_of_it() -> None:
    models = {"a": Listener([8, LOST], [20, "all of it"])}
    lineup_of_one = lineup("Stt", "a")
    patient = replace(lineup_of_one.plans[0], retries=1)
    set_stage = stage(replace(lineup_of_one, plans=(patient,)), lambda plan: models[plan.name])
    call = Call(set_stage)
    await call.say(20)
    await call.end()

    assert call.written == ["all of it"]
    assert models["a"].heard[1] == list(range(1, 21))


async def test_a_stream_counts_as_in_use_until_it_is_over() -> None:
    _, set_stage = listeners(a=[["heard"]])

    def in_use() -> int:
        (candidate,) = set_stage.health.candidates(set_stage.switch.lineup)
        return candidate.in_use

    call = Call(set_stage)
    await call.say(2)
    assert in_use() == 1
    await call.end()
    assert in_use() == 0


async def test_the_tape_forgets_what_nobody_waits_for_any_more() -> None:
    tape = Tape()
    for number in range(400):
        tape.record(sound(number))

    kept = [frame.data[0] for frame in tape]
    assert (kept[0], kept[-1], len(kept)) == (100, 399, 300)
    assert tape.begin_seconds == pytest.approx(10.0)


async def test_without_a_time_the_last_of_what_was_heard_is_kept() -> None:
    tape = Tape()
    for number in range(20):
        tape.record(sound(number))
    tape.written_down(None)

    assert [frame.data[0] for frame in tape] == [17, 18, 19]


async def test_a_call_that_is_older_than_its_key_is_heard_with_the_new_one_from_its_first_word_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(under_test, "_TRY_AGAIN_SECONDS", 60.0)
    rotating = Rotating()
    models = {1: Listener([8, REFUSED]), 2: Listener([20, "all of it"])}
    build = rotating.building(models.__getitem__)
    call = Call(stage(lineup("Stt", "only", silence_seconds=0.2), build, rotating.of))

    await call.say(4)
    rotating.key = 2
    await call.say(16)
    await call.end()

    assert call.written == ["all of it"]
    assert models[2].heard == [list(range(1, 21))]
