"""A worker's part in the fleet's picture, with Redis there, away, back, and forgetful."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.worker.failover.scripted import plan
from voicefleet.api.providerpool.providers import Quota
from voicefleet.providers.breaker import Cause, State
from voicefleet.providers.leases import LEASE_SECONDS
from voicefleet.providers.routing import Refusal
from voicefleet.providers.sharing import Counts, Figures, Record
from voicefleet_worker.desk.reports import ProviderNews
from voicefleet_worker.failover.board import BoardReader, Entry, HealthBoard
from voicefleet_worker.failover.leases import HeldLeases, TakenLeases
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.sharing.ledger import Ask, AwayError, Ledger, Picture, ProbeWish, Told
from voicefleet_worker.sharing.sharer import Mode, Sharer, sharing

PROVIDERS = [plan("few", "Llm", quota=Quota(concurrent=4)).provider, plan("many", "Stt").provider]
NOW = 1_790_000_000.0
# The clock of Redis is ahead by so much.
AHEAD = 50.0


@dataclass
class Meeting:
    """A ledger as a test wants it; it grants what it is told to."""

    asked: list[dict[str, Ask]] = field(default_factory=list)
    away: Exception | None = None
    is_settled: bool = True
    grants: int = 0
    may_probe: bool = False
    others: Figures = field(default_factory=Figures)
    breaker: Record | None = None
    closed: int = 0
    has_left: bool = False
    now: float = NOW
    is_heard: asyncio.Event = field(default_factory=asyncio.Event)

    def connect(self) -> Ledger:
        if isinstance(self.away, BadInputError):
            raise self.away
        return self

    async def exchange(self, asks: Sequence[Ask]) -> Picture:
        if self.away is not None:
            raise self.away
        self.asked.append({ask.provider: ask for ask in asks})
        self.is_heard.set()
        return Picture(self.now + AHEAD, self.is_settled, 2, tuple(map(self._told, asks)))

    def _told(self, ask: Ask) -> Told:
        own = ask.figures
        sums = [a + b for a, b in zip((*own.counts, *own.latency), _numbers(self.others), strict=True)]
        granted = min(self.grants, max(0, ask.wanted - own.counts.held)) if ask.quota else 0
        sums[0] += granted
        return Told(granted, self.may_probe, self.breaker or ask.breaker, Figures.of(sums))

    async def leave(self, asks: Sequence[Ask] = ()) -> None:
        self.asked.append({ask.provider: ask for ask in asks})
        self.has_left = True

    async def aclose(self) -> None:
        self.closed += 1


def _numbers(figures: Figures) -> tuple[int, ...]:
    return (*figures.counts, *figures.latency)


@dataclass
class Scene:
    meeting: Meeting
    board: HealthBoard
    leases: HeldLeases
    call: TakenLeases
    sharer: Sharer
    reader: BoardReader
    told: list[bool]
    seconds: float = 0.0

    async def exchange(self, after_seconds: float = 1.0, times: int = 1) -> None:
        for _ in range(times):
            self.seconds += after_seconds
            self.meeting.now = NOW + self.seconds
            await self.sharer.exchange()

    def learn(self, provider: str = "many", **news: object) -> None:
        self.board.learn(ProviderNews(job_id="AJ_1", provider=provider, **news))  # type: ignore[arg-type]


def build(folder: Path) -> Scene:
    board = HealthBoard(folder / "health", PROVIDERS, clock=lambda: NOW + scene.seconds)
    leases, meeting, told = HeldLeases(folder / "leases", PROVIDERS), Meeting(), list[bool]()
    sharer = Sharer(
        board,
        leases,
        meeting.connect,
        told.append,
        clock=lambda: NOW + scene.seconds,
        monotonic=lambda: scene.seconds,
    )
    scene = Scene(
        meeting, board, leases, TakenLeases.open(leases.path, PROVIDERS), sharer, BoardReader.open(board.path), told
    )
    return scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = build(tmp_path)
    yield scene
    scene.call.close()
    scene.leases.close()
    scene.board.close()


async def test_what_the_others_have_hangs_on_the_board_beside_what_is_ones_own(scene: Scene) -> None:
    scene.meeting.others = Figures(Counts(in_use=5, requests=7, tokens=900), (0,) * 20 + (3,) + (0,) * 18)
    scene.learn(begun=True, began_at=NOW, in_use=1, tokens=100)
    await scene.exchange(times=3)

    entry = scene.reader.entries()["many"]
    assert (entry.in_use, entry.begun_last_minute, entry.tokens_last_minute) == (6, 8, 1000)
    assert entry.typical_seconds == pytest.approx(0.02 * 1.2**20, rel=0.1)
    assert scene.told[-1]


async def test_a_breaker_that_others_opened_is_open_by_ones_own_clock(scene: Scene) -> None:
    since, until = (NOW + AHEAD) * 1000, (NOW + AHEAD + 30) * 1000
    scene.meeting.breaker = Record(int(since), 1, int(until), 1, 1)
    await scene.exchange()

    entry = scene.reader.entries()["many"]
    assert (entry.state, entry.cause) == (State.OPEN, Cause.FAILURES)
    assert entry.until == pytest.approx(NOW + 30)


async def test_a_breaker_that_opens_here_is_told_by_the_clock_of_redis(scene: Scene) -> None:
    await scene.exchange()
    scene.learn(outcome="CredentialsRefused", began_at=NOW)
    await scene.exchange()

    record = scene.meeting.asked[-1]["many"].breaker
    assert record is not None
    assert (record.state, record.since) == (1, round((NOW + 1 + AHEAD) * 1000))


async def test_a_refusal_of_another_key_than_ones_own_hangs_on_no_board(scene: Scene) -> None:
    scene.board.take_keys({"many": 2})
    scene.meeting.breaker = Record(int((NOW + AHEAD) * 1000), 1, int((NOW + AHEAD + 300) * 1000), 1, 3, key=1)
    await scene.exchange()
    assert scene.reader.entries().get("many", Entry()).state is State.CLOSED

    scene.meeting.breaker = scene.meeting.breaker._replace(key=2)
    await scene.exchange()
    assert scene.reader.entries()["many"].state is State.OPEN


async def test_a_refused_key_is_told_to_the_fleet_and_so_is_that_there_is_another(scene: Scene) -> None:
    scene.board.take_keys({"many": 1})
    await scene.exchange()
    scene.learn(outcome="CredentialsRefused", began_at=NOW, key=1)
    await scene.exchange()
    refused = scene.meeting.asked[-1]["many"].breaker
    scene.board.take_keys({"many": 2})
    await scene.exchange()
    forgiven = scene.meeting.asked[-1]["many"].breaker

    assert refused is not None
    assert forgiven is not None
    assert (refused.state, refused.key) == (1, 1)
    assert (forgiven.state, forgiven > refused) == (0, True)


async def test_failures_that_others_have_seen_fill_the_window(scene: Scene) -> None:
    scene.meeting.others = Figures(Counts(failures=4, successes=1))
    await scene.exchange()
    assert scene.board.entries()["many"].state is State.CLOSED
    scene.learn(outcome="Failures", began_at=NOW)

    assert scene.board.entries()["many"].state is State.OPEN


async def test_a_worker_that_has_just_begun_has_no_lease_until_redis_gives_it_one(scene: Scene) -> None:
    scene.meeting.grants = 1
    assert scene.call.take("few", probing=False) is Refusal.FULL
    await scene.exchange(times=2)

    assert scene.leases.held("few") == 1
    assert scene.call.take("few", probing=False) is None


async def test_what_was_just_granted_is_not_taken_for_anothers(scene: Scene) -> None:
    scene.meeting.grants, scene.meeting.others = 4, Figures(Counts(held=2))
    for _ in range(4):
        await scene.exchange()
        assert scene.board.known["few"].elsewhere.counts.held == 2
    assert scene.leases.held("few") == 2


async def test_what_nobody_uses_is_given_back_when_another_worker_lacks_it(scene: Scene) -> None:
    scene.meeting.grants = 4
    await scene.exchange(times=2)
    assert scene.leases.held("few") == 2
    scene.learn("few", in_use=1, begun=True, began_at=NOW)
    scene.call.take("few", probing=False)
    scene.meeting.others = Figures(Counts(in_use=3, lacking=1))
    await scene.exchange(times=2)

    assert scene.meeting.asked[-1]["few"].figures.counts.held == 1


async def test_a_call_that_was_refused_makes_its_worker_lack_a_lease_for_a_while(scene: Scene) -> None:
    scene.learn("few", refusal="Full")
    await scene.exchange()
    assert scene.meeting.asked[-1]["few"].figures.counts.lacking == 1
    await scene.exchange(after_seconds=6)
    assert scene.meeting.asked[-1]["few"].figures.counts.lacking == 0


async def test_a_probe_is_asked_for_when_a_call_would_make_one(scene: Scene) -> None:
    scene.learn(outcome="Failures", began_at=NOW)
    await scene.exchange()
    scene.learn(outcome="Throttled", began_at=NOW, rest_seconds=5)
    scene.learn(refusal="Probed")
    await scene.exchange()
    assert scene.meeting.asked[-1]["many"].probe is ProbeWish.NONE, "it rests"

    scene.meeting.may_probe = True
    await scene.exchange(after_seconds=6)
    assert scene.meeting.asked[-1]["many"].probe is ProbeWish.WANTED
    assert scene.call.take("many", probing=True) is None
    scene.meeting.may_probe = False
    await scene.exchange()
    assert scene.meeting.asked[-1]["many"].probe is ProbeWish.HELD
    scene.call.end_probe("many")
    await scene.exchange()
    assert scene.call.take("many", probing=True) is Refusal.PROBED


async def test_without_redis_from_the_beginning_a_worker_decides_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.meeting.away = AwayError("ConnectionError")
    with caplog.at_level(logging.INFO):
        await scene.exchange(times=3)

    assert [record.message for record in caplog.records] == ["Redis is away"]
    assert set(scene.told) == {False}
    assert scene.leases.held("few") == 4
    assert scene.call.take("few", probing=True) is None


async def test_redis_that_goes_leaves_a_worker_what_it_holds_and_then_to_itself(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.meeting.grants, scene.meeting.others = 1, Figures(Counts(in_use=2, failures=4))
    await scene.exchange(times=2)
    scene.meeting.away = AwayError("ConnectionError")
    with caplog.at_level(logging.INFO):
        await scene.exchange()
        assert (scene.leases.held("few"), scene.told[-1]) == (1, False)
        assert scene.reader.entries()["many"].in_use == 2
        await scene.exchange(after_seconds=LEASE_SECONDS)
        assert scene.leases.held("few") == 4
        assert scene.reader.entries()["many"].in_use == 0

        scene.meeting.away = None
        await scene.exchange(times=2)
    assert scene.told[-1]
    assert [record.message for record in caplog.records] == ["Redis is away", "Redis is back"]
    assert scene.leases.held("few") < 4


async def test_while_redis_does_not_know_who_holds_what_a_worker_stays_alone(scene: Scene) -> None:
    scene.meeting.away = AwayError("ConnectionError")
    await scene.exchange()
    scene.meeting.away, scene.meeting.is_settled = None, False
    await scene.exchange(times=2)
    assert scene.sharer.mode is Mode.ALONE
    assert (scene.leases.held("few"), scene.told[-1]) == (4, False)

    scene.meeting.is_settled = True
    await scene.exchange(times=2)
    assert scene.sharer.mode is Mode.SHARING
    assert scene.leases.held("few") == 2


async def test_what_a_call_uses_outlives_the_time_alone(scene: Scene) -> None:
    scene.meeting.away = AwayError("ConnectionError")
    await scene.exchange()
    for _ in range(3):
        scene.call.take("few", probing=False)
    scene.meeting.away, scene.meeting.others = None, Figures(Counts(in_use=4))
    await scene.exchange(times=3)

    assert scene.meeting.asked[-1]["few"].figures.counts.held == 3


async def test_a_secret_that_cannot_be_read_is_redis_that_is_away(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.meeting.away = BadInputError("spec.redis", "secret is empty")
    with caplog.at_level(logging.INFO):
        await scene.exchange()

    assert [record.message for record in caplog.records] == ["Redis is away"]
    assert scene.sharer.mode is Mode.ALONE


async def test_news_are_told_at_once_and_the_word_is_taken_back_in_the_end(scene: Scene) -> None:
    meeting = scene.meeting
    async with sharing(meeting.connect, scene.board, scene.leases, scene.told.append):
        async with asyncio.timeout(5):
            while len(meeting.asked) < 2:
                meeting.is_heard.clear()
                await meeting.is_heard.wait()
            scene.learn(outcome="CredentialsRefused", began_at=NOW)
            while not (meeting.asked[-1]["many"].breaker):
                meeting.is_heard.clear()
                await meeting.is_heard.wait()

    assert meeting.has_left
    assert meeting.closed == 1


async def test_a_bug_in_sharing_costs_no_call_its_provider(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Ledger:
        raise RuntimeError("a bug")

    await Sharer(scene.board, scene.leases, broken, scene.told.append).run()

    assert scene.told == [False]
    assert scene.call.take("few", probing=True) is None
    assert "nothing is shared any more" in caplog.text


async def test_without_a_redis_a_worker_has_everything(scene: Scene) -> None:
    async with sharing(None, scene.board, scene.leases, scene.told.append):
        assert scene.call.take("few", probing=True) is None

    assert not scene.told
