"""One record of every call, whatever became of its process."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.api.providerpool.providers import PriceBook
from voicefleet.records.ends import Disposition, End
from voicefleet.records.journal import (
    Answered,
    Began,
    Billed,
    Ended,
    Entered,
    Entry,
    ProviderFailed,
    ProviderUsed,
    Said,
    Stages,
    ToolUsed,
    read_journal,
)
from voicefleet.records.life import State
from voicefleet.records.making import Circumstances, PricedProvider, Verdict, make_record
from voicefleet.records.record import CallRecord, RecordedAgent
from voicefleet.records.usage import Usage, cost_of

AROUND = Circumstances(
    agent=RecordedAgent(namespace="front", name="desk", revision="r1", prompt="p1"),
    worker="pod-1",
    providers={
        "llm-a": PricedProvider("Llm", PriceBook(per_million_input_tokens=2.0, per_million_output_tokens=8.0)),
        "stt-a": PricedProvider("Stt", PriceBook(per_audio_minute=0.006)),
        "tts-a": PricedProvider("Tts", PriceBook()),
    },
    currency="EUR",
    keeps_transcript=True,
    keeps_tool_calls=True,
)
CALL: tuple[Entry, ...] = (
    Began(at=1000.0, id="AJ_1", dispatch_id="AD_1", room="call-1", room_id="RM_1"),
    Billed(account="shop-7"),
    Answered(at=1002.0),
    Entered(at=1002.0, state=State.TALKING),
    Said(at=1003.0, who="Agent", text="Hello!"),
    Said(at=1006.0, who="Caller", text="My order?", stages=Stages(hearing_seconds=0.2, deciding_seconds=0.5)),
    ProviderFailed(at=1006.5, provider="llm-b", problem="timed out"),
    ProviderUsed(provider="llm-a", usage=Usage(requests=1, input_tokens=1000, output_tokens=100)),
    ToolUsed(at=1007.0, tool="look_up", arguments='{"id": 7}', result="shipped"),
    Said(
        at=1009.0,
        who="Agent",
        text="It was shi-",
        interrupted=True,
        stages=Stages(thinking_seconds=0.4, speaking_seconds=0.1, total_seconds=1.2),
    ),
    ProviderUsed(provider="stt-a", usage=Usage(requests=1, audio_seconds=30.0)),
    ProviderUsed(provider="tts-a", usage=Usage(requests=1, characters=17)),
    Entered(at=1012.0, state=State.ENDED),
    Ended(at=1012.0, reason="caller left"),
)
VERDICT = Verdict("AJ_1", 1015.0)


def lines(entries: tuple[Entry, ...]) -> list[bytes]:
    return [entry.model_dump_json(by_alias=True, exclude_none=True).encode() for entry in entries]


def test_a_call_that_went_well() -> None:
    record = make_record(CALL, VERDICT, AROUND)

    assert (record.disposition, record.reason) == (Disposition.CALLER_HUNG_UP, "caller left")
    assert (record.account, record.agent.revision, record.worker) == ("shop-7", "r1", "pod-1")
    assert (record.began_at, record.answered_at, record.ended_at) == (
        "1970-01-01T00:16:40.000Z",
        "1970-01-01T00:16:42.000Z",
        "1970-01-01T00:16:52.000Z",
    )
    assert (record.talk_seconds, record.interruptions, record.tool_calls, record.tool_failures) == (10.0, 1, 1, 0)


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        (CALL, State.TALKING),
        (CALL[:4], State.TALKING),
        ((*CALL[:4], Entered(at=1003.0, state=State.DIALING)), State.DIALING),
        (CALL[:1], None),
    ],
    ids=["it ended", "it crashed", "it crashed while a phone rang", "it never got into the room"],
)
def test_what_the_call_was_doing_when_it_ended(entries: tuple[Entry, ...], state: State | None) -> None:
    assert make_record(entries, VERDICT, AROUND).ended_while is state


def test_a_turn_has_the_stages_of_both_sides_and_a_greeting_answers_nobody() -> None:
    greeting, answer = make_record(CALL, VERDICT, AROUND).turns

    assert greeting.stages == Stages()
    assert answer.at_seconds == 9.0
    assert answer.stages == Stages(
        hearing_seconds=0.2, deciding_seconds=0.5, thinking_seconds=0.4, speaking_seconds=0.1, total_seconds=1.2
    )


def test_what_is_used_costs_what_the_price_book_says() -> None:
    record = make_record(CALL, VERDICT, AROUND)

    assert [(use.provider, use.role, use.cost, use.failures) for use in record.usage] == [
        ("llm-a", "Llm", 0.0028, 0),
        ("llm-b", "", 0.0, 1),
        ("stt-a", "Stt", 0.003, 0),
        ("tts-a", "Tts", 0.0, 0),
    ]
    assert (record.cost, record.currency) == (0.0058, "EUR")


def test_the_transcript_is_what_was_said_and_done() -> None:
    transcript = make_record(CALL, VERDICT, AROUND).transcript

    assert transcript is not None
    assert [(line.who, line.text, line.tool) for line in transcript] == [
        ("Agent", "Hello!", ""),
        ("Caller", "My order?", ""),
        ("Tool", "shipped", "look_up"),
        ("Agent", "It was shi-", ""),
    ]


@pytest.mark.parametrize(
    ("entries", "seen", "disposition"),
    [
        ((), End.CRASHED, Disposition.CRASHED),
        (CALL[:-1], End.CRASHED, Disposition.CRASHED),
        (CALL[:-1], End.CUT, Disposition.CUT),
        (CALL, End.CUT, Disposition.CALLER_HUNG_UP),
        ((*CALL, Ended(at=1020.0, reason="session failed")), End.CRASHED, Disposition.CALLER_HUNG_UP),
        ((CALL[0], Ended(at=1001.0, reason="what no release says yet")), End.CRASHED, Disposition.ROOM_CLOSED),
    ],
    ids=["no journal", "killed", "cut", "ended and then cut", "ended twice", "ended for a reason that is news"],
)
def test_how_it_ended_is_what_the_call_said_first_and_else_what_was_seen(
    entries: tuple[Entry, ...], seen: End, disposition: Disposition
) -> None:
    record = make_record(entries, Verdict("AJ_1", 1015.0, seen), AROUND)

    assert (record.id, record.disposition) == ("AJ_1", disposition)


def test_whatever_can_end_a_call_has_a_disposition() -> None:
    assert {end.disposition for end in End} == set(Disposition)


def test_a_line_that_a_dying_process_left_half_written_costs_that_line() -> None:
    whole = lines(CALL)

    assert read_journal(whole) == CALL
    assert read_journal([*whole[:3], whole[3][:20]]) == CALL[:3]
    assert read_journal([b"", b"\xff\x00", b"[]", b'{"kind": "next year"}']) == ()


@given(st.integers(0, len(CALL)), st.floats(0, 1e10, allow_nan=False))
def test_wherever_a_process_dies_there_is_one_record_and_it_can_be_read(written: int, at: float) -> None:
    record = make_record(read_journal(lines(CALL[:written])), Verdict("AJ_1", at), AROUND)

    assert CallRecord.model_validate_json(record.model_dump_json(by_alias=True)) == record
    assert record.ended_at >= record.began_at
    assert record.talk_seconds >= 0


few = st.integers(0, 10**8)


@st.composite
def bills(draw: st.DrawFn) -> Usage:
    """Draw a bill that adds up: no more is from the cache, or sound, than there is."""
    words, sound, cached_words, cached_sound, written, said = (draw(few) for _ in range(6))
    return Usage(
        requests=draw(st.integers(0, 10**6)),
        input_tokens=words + sound + cached_words + cached_sound,
        input_audio_tokens=sound + cached_sound,
        cached_input_tokens=cached_words + cached_sound,
        cached_input_audio_tokens=cached_sound,
        output_tokens=written + said,
        output_audio_tokens=said,
        characters=draw(st.integers(0, 10**9)),
        audio_seconds=draw(st.floats(0, 1e6)),
    )


amounts = st.builds(
    Usage,
    input_tokens=few,
    input_audio_tokens=few,
    cached_input_tokens=few,
    cached_input_audio_tokens=few,
    output_tokens=few,
    output_audio_tokens=few,
)
prices = st.none() | st.floats(0, 1000).map(lambda price: round(price, 4))
books = st.builds(
    PriceBook,
    per_audio_minute=prices,
    per_million_input_tokens=prices,
    per_million_input_audio_tokens=prices,
    per_million_cached_input_tokens=prices,
    per_million_output_tokens=prices,
    per_million_output_audio_tokens=prices,
    per_million_characters=prices,
    per_request=prices,
)


@given(bills(), bills(), books)
def test_two_bills_cost_what_they_cost_together(one: Usage, two: Usage, book: PriceBook) -> None:
    apart, together = cost_of(one, book) + cost_of(two, book), cost_of(one.plus(two), book)

    assert abs(apart - together) <= Decimal("0.000002")
    assert together >= 0


@pytest.mark.parametrize(
    ("cached_price", "cost"), [(None, "3"), (0.5, "2"), (0.0, "1")], ids=["price not known", "half", "free"]
)
def test_cached_tokens_cost_their_own_price_where_it_is_known(cached_price: float | None, cost: str) -> None:
    book = PriceBook(per_million_input_tokens=1.0, per_million_cached_input_tokens=cached_price)

    assert cost_of(Usage(input_tokens=3_000_000, cached_input_tokens=2_000_000), book) == Decimal(cost)


@given(amounts, books)
def test_whatever_a_provider_says_no_token_is_paid_twice_or_less_than_nothing(usage: Usage, book: PriceBook) -> None:
    reading = (book.per_million_input_tokens, book.per_million_input_audio_tokens, book.per_million_cached_input_tokens)
    writing = (book.per_million_output_tokens, book.per_million_output_audio_tokens)
    highest = usage.input_tokens * max(p or 0 for p in reading) + usage.output_tokens * max(p or 0 for p in writing)

    assert 0 <= cost_of(usage, book) <= Decimal(str(highest)) / 1_000_000 + Decimal("0.001")


SPOKEN = Usage(
    input_tokens=5_000_000,
    input_audio_tokens=4_000_000,
    cached_input_tokens=2_000_000,
    cached_input_audio_tokens=1_000_000,
    output_tokens=3_000_000,
    output_audio_tokens=2_000_000,
)


@pytest.mark.parametrize(
    ("book", "cost"),
    [
        ({"input": 1, "input_audio": 10, "cached_input": 0.5, "output": 2, "output_audio": 20}, 30 + 1 + 42),
        ({"input": 1, "input_audio": 10, "output": 2, "output_audio": 20}, 1 + 40 + 42),
        ({"input": 1, "output": 2}, 5 + 6),
        ({"input": 1, "input_audio": 0, "output": 2, "output_audio": 0}, 1 + 2),
        ({"input_audio": 10}, 40),
    ],
    ids=["each its own", "cached as others", "sound as words", "sound is free", "words are free"],
)
def test_sound_costs_its_own_price_where_it_is_known(book: dict[str, float], cost: int) -> None:
    prices = PriceBook(**{f"per_million_{kind}_tokens": price for kind, price in book.items()})

    assert cost_of(SPOKEN, prices) == cost


@pytest.mark.parametrize(("cached", "cost"), [(1_000_000, 40), (2_000_000, 30)], ids=["enough words", "too few"])
def test_who_does_not_tell_what_was_cached_had_words_in_the_cache_as_far_as_there_are_any(
    cached: int, cost: int
) -> None:
    book = PriceBook(
        per_million_input_tokens=1.0, per_million_input_audio_tokens=10.0, per_million_cached_input_tokens=0.0
    )
    untold = SPOKEN.model_copy(update={"cached_input_tokens": cached, "cached_input_audio_tokens": 0})

    assert cost_of(untold, book) == cost
