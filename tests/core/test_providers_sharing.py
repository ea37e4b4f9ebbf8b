"""Words of many workers become one picture, in whatever order and however often they are heard."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.providers.breaker import Breaker, Cause, State, Window, forgive
from voicefleet.providers.sharing import Counts, Figures, Published, Record, adopt, bare, publish

LARGEST_CLOCK_ERROR = 1e6
NOW = 1_790_000_000.0
OPEN = Breaker(State.OPEN, NOW, NOW + 30, Cause.FAILURES, 1)
OLD, NEW = 7, 2**48 - 1

counts = st.integers(min_value=0, max_value=10**9)
moments = st.floats(min_value=1e8, max_value=1e10)
ahead = st.floats(min_value=-LARGEST_CLOCK_ERROR, max_value=LARGEST_CLOCK_ERROR)
figures = st.builds(
    Figures, st.builds(Counts, *[counts] * len(Counts._fields)), st.lists(counts, min_size=39, max_size=39).map(tuple)
)
breakers = st.builds(
    Breaker, st.sampled_from(State), moments, moments, st.sampled_from([None, *Cause]), st.integers(1, 1000)
)
records = st.builds(Record, counts, st.integers(0, 2), counts, counts, st.integers(0, 3), st.integers(0, 3))


def plus(one: Figures, two: Figures) -> Figures:
    """Add up as Redis does: number by number."""
    return Figures.of([a + b for a, b in zip(padded(one), padded(two), strict=True)])


def padded(one: Figures) -> list[int]:
    return [*one.counts, *one.latency]


class Redis:
    """Keeps the greater record, as the real one does."""

    def __init__(self) -> None:
        self.kept: Record | None = None

    def exchange(self, told: Published | None) -> Record | None:
        candidates = [each for each in (self.kept, told.record if told else None) if each is not None]
        self.kept = max(candidates, default=None)
        return self.kept


class Worker:
    """A worker whose clock is off by some time, and who has a key."""

    def __init__(self, redis: Redis, ahead_seconds: float, breaker: Breaker, key: int = 0) -> None:
        self.redis, self.ahead, self.breaker, self.key = redis, ahead_seconds, breaker, key
        self.published: Published | None = None

    def exchange(self) -> None:
        self.published = publish(self.breaker, self.published, ahead_seconds=self.ahead)
        answer = self.redis.exchange(self.published)
        self.breaker, self.published = adopt(
            self.breaker, self.published, answer, ahead_seconds=self.ahead, key=self.key
        )


@given(figures)
def test_figures_are_read_as_they_were_written(one: Figures) -> None:
    assert Figures.of(one.numbers()) == one


@given(figures, figures)
def test_without_its_own_a_sum_is_what_the_others_have(mine: Figures, others: Figures) -> None:
    assert plus(mine, others).without(mine) == others


@given(figures, figures)
def test_nobody_has_less_than_nothing(one: Figures, two: Figures) -> None:
    assert min(padded(one.without(two))) >= 0


@pytest.mark.parametrize("numbers", [None, {}, "1", [-1], [float("nan")], [True], [None], [1e300], [[1]]])
def test_what_is_no_count_counts_as_none(numbers: object) -> None:
    assert Figures.of(numbers) == Figures()


@given(breakers, ahead)
def test_a_record_is_read_as_it_was_written(breaker: Breaker, ahead_seconds: float) -> None:
    record = Record.of(breaker, ahead_seconds=ahead_seconds)
    again = Record.read(record.text())

    assert again == record
    back = record.breaker(ahead_seconds=ahead_seconds)
    assert (back.state, back.cause, back.openings) == (breaker.state, breaker.cause, breaker.openings)
    assert back.since == pytest.approx(breaker.since, abs=0.002)
    assert back.until == pytest.approx(breaker.until, abs=0.002)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "[1, 2, 3, 4]", "[1, 3, 1, 1, 0]", "[1, 0, 1, 1, 4]", "[1, 0, 1, 1, 1, 7, 7]", "null", "7"),
        *("[9007199254740991, 1, 1, 1, 1]", "[1, 1, 9007199254740991, 1, 1]"),
    ],
)
def test_a_record_that_is_none_is_nobodys_word(text: str) -> None:
    assert Record.read(text) is None


@given(st.lists(records, min_size=1, max_size=6), st.randoms())
def test_the_newest_record_wins_in_any_order_and_however_often(said: list[Record], chance: object) -> None:
    newest = max(said)
    again = [*said, *said]
    chance.shuffle(again)  # type: ignore[attr-defined]
    redis = Redis()
    for record in again:
        redis.exchange(Published(Breaker(), record))

    assert redis.kept == newest
    assert newest.since == max(record.since for record in said)


@given(st.lists(st.tuples(ahead, breakers), min_size=1, max_size=5))
def test_workers_whose_clocks_differ_come_to_go_by_the_same(those: list[tuple[float, Breaker]]) -> None:
    redis = Redis()
    workers = [Worker(redis, *each) for each in those]
    for _ in range(2):
        for worker in workers:
            worker.exchange()

    kept = redis.kept
    assert {Record.of(worker.breaker, ahead_seconds=worker.ahead)[1] for worker in workers} == {kept and kept.state}
    for worker in workers:
        assert kept is not None
        assert worker.breaker.until + worker.ahead == pytest.approx(kept.until / 1000, abs=0.002)


@given(breakers, st.lists(ahead, min_size=1, max_size=5))
def test_a_moment_that_is_published_stays_what_it_was(breaker: Breaker, readings: list[float]) -> None:
    """A clock that is read a little differently each time makes no news."""
    worker = Worker(Redis(), readings[0], breaker)
    worker.exchange()
    first = worker.redis.kept
    for reading in readings:
        worker.ahead = reading
        worker.exchange()

    assert worker.redis.kept == first
    assert worker.breaker == breaker


def test_what_a_worker_sees_while_it_asks_is_not_lost() -> None:
    answer = Record.of(OPEN, ahead_seconds=0.0)
    closed = Breaker(since=NOW + 5, window=Window(NOW, 3))

    assert adopt(closed, None, answer, ahead_seconds=0.0) == (closed, None)


def test_who_is_well_for_one_is_well_for_all() -> None:
    redis = Redis()
    opens, waits = Worker(redis, 0.0, OPEN), Worker(redis, -40.0, Breaker(window=Window(NOW, 7, 2)))
    opens.exchange()
    waits.exchange()
    assert waits.breaker == replace(OPEN, since=NOW + 40, until=NOW + 70)

    opens.breaker = Breaker(since=NOW + 31)
    opens.exchange()
    waits.exchange()
    assert waits.breaker.state is State.CLOSED


def test_a_longer_wish_for_rest_is_news_of_the_same_moment() -> None:
    redis = Redis()
    one, two = Worker(redis, 0.0, OPEN), Worker(redis, 0.0, Breaker())
    one.exchange()
    two.exchange()
    one.breaker, one.ahead = replace(OPEN, until=NOW + 90), -0.004
    one.exchange()
    two.exchange()

    assert two.breaker.until == pytest.approx(NOW + 90, abs=0.01)


def test_a_breaker_that_never_changed_is_not_published() -> None:
    assert publish(Breaker(window=Window(NOW, 5, 1)), None, ahead_seconds=0.0) is None


@given(breakers)
def test_a_window_stays_with_its_worker(breaker: Breaker) -> None:
    assert bare(replace(breaker, window=Window(NOW, 1, 1))) == breaker


def refused(key: int, *, since: float = NOW) -> Breaker:
    return Breaker(State.OPEN, since, since + 300, Cause.CREDENTIALS, 1, refused_key=key)


def test_without_a_key_a_record_is_one_that_older_workers_read() -> None:
    record = Record.of(OPEN, ahead_seconds=0.0)

    assert record.text() == f"[{NOW * 1000:.0f}, 1, {(NOW + 30) * 1000:.0f}, 1, 1]"
    keyed = Record.of(refused(NEW), ahead_seconds=0.0)
    assert Record.read(keyed.text()) == keyed


def test_a_key_that_is_refused_is_refused_to_all_who_have_it_and_to_nobody_else() -> None:
    redis = Redis()
    told, same, other = (
        Worker(redis, 0.0, refused(OLD), OLD),
        *(Worker(redis, 0.0, Breaker(), key) for key in (OLD, NEW)),
    )
    for worker in (told, same, other, told):
        worker.exchange()

    assert [worker.breaker.state for worker in (told, same, other)] == [State.OPEN, State.OPEN, State.CLOSED]


def test_a_new_key_ends_a_refusal_for_all_and_no_word_of_an_old_one_brings_it_back() -> None:
    redis = Redis()
    first, late = Worker(redis, 0.0, refused(OLD), OLD), Worker(redis, -40.0, Breaker(), OLD)
    for worker in (first, late):
        worker.exchange()
    assert late.breaker.state is State.OPEN

    first.key, first.breaker = NEW, forgive(first.breaker, NEW, NOW + 50)
    for worker in (first, late):
        worker.exchange()
    assert late.breaker.state is State.CLOSED

    # A key reaches nodes one after another.
    late.breaker = refused(OLD, since=NOW + 100)
    for worker in (late, first, late, first):
        worker.exchange()
    joins = Worker(redis, 0.0, Breaker(), NEW)
    joins.exchange()
    assert [worker.breaker.state for worker in (first, joins, late)] == [State.CLOSED, State.CLOSED, State.OPEN]


def test_what_is_forgiven_while_redis_is_asked_is_not_taken_back_by_its_answer() -> None:
    published = publish(refused(OLD), None, ahead_seconds=0.0)
    assert published is not None
    forgiven = forgive(refused(OLD), NEW, NOW + 5)

    assert adopt(forgiven, published, published.record, ahead_seconds=0.0, key=NEW)[0] == forgiven
