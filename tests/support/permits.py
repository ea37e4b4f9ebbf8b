"""Workers that share a quota of a minute, by one clock: their boards and permits, their calls, and what they send."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, Self

from hypothesis import strategies as st

from voicefleet.api.providerpool.providers import Provider, Quota
from voicefleet.providers.routing import Refusal
from voicefleet_worker.desk.reports import ProviderNews
from voicefleet_worker.failover.board import HealthBoard
from voicefleet_worker.failover.leases import HeldLeases, TakenLeases
from voicefleet_worker.sharing.ledger import Ask, AwayError, Picture
from voicefleet_worker.sharing.sharer import Mode, Sharer

MINUTE_SECONDS = 60.0
# So that a lease ends in two steps, and a minute between two and three.
PASSING_SECONDS = 57
STANDING_STILL_SECONDS = 4.9
NOW = 1_790_000_000.0
Fate = Literal["Heard", "Lost", "Late"]
"""Of an exchange: answered; heard, and its answer lost; or heard after the worker has given it up."""


class Store(Protocol):
    """What stands for Redis: the real one, or a picture of it."""

    async def exchange(self, worker: str, turn: int, asks: Sequence[Ask], now: float) -> Picture:
        """Hear a worker's word."""

    async def leave(self, worker: str, turn: int, asks: Sequence[Ask], now: float) -> None:
        """Hear its last."""


@dataclass
class Fleet:
    """Workers of one pool, and every request that any of them has begun under a permit."""

    folder: Path
    store: Store
    quota: int
    now: float = NOW
    workers: dict[str, "Worker"] = field(default_factory=dict)
    begun: list[float] = field(default_factory=list)
    under_way: list[Callable[[], Awaitable[object]]] = field(default_factory=list)
    """Exchanges that nobody waits for any more and Redis has not heard yet."""
    _born: int = 0

    def clock(self) -> float:
        return self.now

    def provider(self) -> Provider:
        return Provider(name="llm", role="Llm", plugin="openai", quota=Quota(requests_per_minute=self.quota))

    async def join(self, name: str) -> "Worker":
        """Let a worker begin, in the place of another one of that name if there was one."""
        self._born += 1
        self.workers[name] = await asyncio.to_thread(Worker, self, f"{name}{self._born}")
        return self.workers[name]

    def within_a_minute(self) -> int:
        """Return how many requests were begun within the 60 seconds that end now."""
        return sum(self.now - MINUTE_SECONDS < at for at in self.begun)

    async def arrive(self) -> None:
        """Let Redis hear, the latest first, what was under way."""
        while self.under_way:
            await self.under_way.pop()()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with AsyncExitStack() as stack:
            for worker in self.workers.values():
                stack.callback(worker.close)


class Worker:
    """One worker and its calls, which have opened its files as they do in processes of their own."""

    def __init__(self, fleet: Fleet, instance: str) -> None:
        folder = fleet.folder / instance
        folder.mkdir()
        self.fleet, self.instance, self.fate = fleet, instance, "Heard"
        providers = [fleet.provider()]
        self.board = HealthBoard(folder / "health", providers, clock=fleet.clock)
        self.leases = HeldLeases(folder / "leases", providers)
        self.call = TakenLeases.open(self.leases.path, providers, monotonic=fleet.clock)
        self.sharer = Sharer(
            self.board, self.leases, lambda: _Line(self), lambda _: None, clock=fleet.clock, monotonic=fleet.clock
        )
        self.turn = 0

    async def exchange(self, fate: Fate = "Heard") -> None:
        """Say the worker's word, and take in the answer if there is one."""
        self.fate = fate
        await self.sharer.exchange()

    def request(self) -> bool:
        """Begin a request of a call, if it may."""
        is_alone = self.sharer.mode is Mode.ALONE
        refusal = self.call.take("llm", probing=False)
        if refusal is None and not is_alone:
            self.fleet.begun.append(self.fleet.now)
        assert refusal in (None, Refusal.USED_UP)
        self.board.learn(
            ProviderNews(job_id="AJ_1", provider="llm", begun=refusal is None, began_at=self.fleet.now, refusal=refusal)
        )
        return refusal is None

    def held(self) -> int:
        """Return how many requests its calls may begin at once."""
        return self.leases.permits.keep("llm", 1_000_000)

    async def leave(self) -> None:
        """End as a worker does."""
        self.fate = "Heard"
        await self.sharer._leave()

    def close(self) -> None:
        """Let go of the files."""
        self.call.close()
        self.leases.close()
        self.board.close()


class _Line:
    """A worker's line to Redis, with the fate that its worker has at the time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def exchange(self, asks: Sequence[Ask]) -> Picture:
        worker, fleet = self._worker, self._worker.fleet
        worker.turn += 1
        if worker.fate == "Late":
            fleet.under_way.append(lambda turn=worker.turn: self._hear(turn, asks))  # type: ignore[misc]
            raise AwayError("no answer")
        picture = await self._hear(worker.turn, asks)
        if worker.fate == "Lost":
            raise AwayError("no answer")
        return picture

    async def _hear(self, turn: int, asks: Sequence[Ask]) -> Picture:
        fleet = self._worker.fleet
        return await fleet.store.exchange(self._worker.instance, turn, asks, fleet.now)

    async def leave(self, asks: Sequence[Ask] = ()) -> None:
        worker = self._worker
        worker.turn += 1
        await worker.fleet.store.leave(worker.instance, worker.turn, asks, worker.fleet.now)

    async def aclose(self) -> None:
        """Nothing is to be closed."""


Step = tuple[str, Sequence[str]]
"""What happens: to which workers, or, where all have their turn to ask, with what fate of each, `Silent` for none."""
NAMES = "abc"
_AS_MANY_AS_GO = 30
HEARD: Step = ("Ask", ["Heard"] * 3)

some = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
fates = st.sampled_from(["Heard"] * 4 + ["Lost", "Late", "Silent"])
happenings = st.one_of(
    st.tuples(st.just("Ask"), st.tuples(fates, fates, fates)),
    st.tuples(st.sampled_from(["Requests", "Requests", "StandStill", "Pass", "Arrive", "Die", "Leave"]), some),
)


async def play(fleet: Fleet, steps: Sequence[Step]) -> None:
    """Let things happen to a fleet of three; never are more requests begun within a minute than the quota has."""
    for name in NAMES:
        await fleet.join(name)
    for what, which in [HEARD] * 4 + list(steps):
        await _happen(fleet, what, which)
        assert fleet.within_a_minute() <= fleet.quota


async def _happen(fleet: Fleet, what: str, which: Sequence[str]) -> None:
    if what == "Ask":
        await _ask(fleet, which)
    elif what == "Pass":
        for _ in range(PASSING_SECONDS // 3):
            fleet.now += 3
            for name in which:
                await fleet.workers[name].exchange()
    elif what == "StandStill":
        fleet.now += STANDING_STILL_SECONDS
    elif what == "Arrive":
        await fleet.arrive()
    elif what == "Requests":
        for worker in [fleet.workers[name] for name in which] * _AS_MANY_AS_GO:
            worker.request()
    else:
        for name in which:
            await _end(fleet, name, has_last_words=what == "Leave")


async def _ask(fleet: Fleet, fates: Sequence[str]) -> None:
    fleet.now += 1
    for name, fate in zip(NAMES, fates, strict=True):
        if fate != "Silent":
            await fleet.workers[name].exchange(fate)  # type: ignore[arg-type]


async def _end(fleet: Fleet, name: str, *, has_last_words: bool) -> None:
    """Let a worker die or leave, and another one begin in its place."""
    worker = fleet.workers[name]
    if has_last_words:
        await worker.leave()
    worker.close()
    await fleet.join(name)


def rounds(fleet: Fleet, seconds: int, each: Callable[["Fleet"], None]) -> Awaitable[None]:
    """Let all workers exchange once a second, and something happen ten times in it."""
    return _rounds(fleet, seconds, partial(each, fleet))


async def _rounds(fleet: Fleet, seconds: int, act: Callable[[], None]) -> None:
    for _ in range(seconds):
        for tenth in range(10):
            fleet.now += 0.1
            for place, worker in enumerate(fleet.workers.values()):
                # Workers do not ask all at once.
                if place % 10 == tenth:
                    await worker.exchange()
            act()
