"""Nothing that a call left is lost as long as the worker lives: a store that is away is waited for."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from voicefleet_worker.keeping import keeper as keeping
from voicefleet_worker.keeping.files import CallFiles
from voicefleet_worker.keeping.keeper import Keeper
from voicefleet_worker.keeping.metrics import KeepingCollector
from voicefleet_worker.keeping.stores import NotKeptError


@dataclass
class Store:
    """A store that is away now and then."""

    is_away: bool = False
    bug: Exception | None = None
    slow: asyncio.Event | None = None
    kept: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def put(self, path: Path, name: str) -> None:
        self.asked.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.slow is not None:
                await self.slow.wait()
            if self.bug is not None:
                raise self.bug
            if self.is_away:
                raise NotKeptError("away")
            self.kept[name] = await asyncio.to_thread(path.read_bytes)
        finally:
            self.at_once -= 1


class Clock:
    """Minutes pass with every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 60
        return self.now


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_LOOK_SECONDS", 0.01)


@pytest.fixture
def files(tmp_path: Path) -> CallFiles:
    made = CallFiles(tmp_path, limit_bytes=1 << 30)
    made.make()
    for number in range(5):
        (made.live / f"AJ_{number}.ogg").write_bytes(b"%d" % number)
    return made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it changes where no event is
            await asyncio.sleep(0.01)


async def running(keeper: Keeper, condition: Callable[[], bool]) -> None:
    task = asyncio.create_task(keeper.run())
    try:
        await until(condition)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def never() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    """There is no time."""


async def test_files_are_kept_and_only_then_forgotten(files: CallFiles) -> None:
    store = Store()
    keeper = Keeper(files, store, lambda: {"AJ_4"}, clock=Clock())
    await running(keeper, lambda: keeper.kept == 4)

    assert store.kept == {f"AJ_{number}.ogg": b"%d" % number for number in range(4)}
    assert await asyncio.to_thread(files.waiting) == {}
    assert await asyncio.to_thread((files.live / "AJ_4.ogg").exists)


@pytest.mark.parametrize("trouble", [{"is_away": True}, {"bug": ValueError("a bug")}])
async def test_a_store_that_is_away_is_asked_until_it_is_back(files: CallFiles, trouble: dict[str, object]) -> None:
    store = Store(**trouble)  # type: ignore[arg-type]
    keeper = Keeper(files, store, frozenset, clock=Clock())
    task = asyncio.create_task(keeper.run())
    await until(lambda: len(store.asked) > 20)
    assert len(await asyncio.to_thread(files.waiting)) == 5
    store.is_away, store.bug = False, None
    await until(lambda: keeper.kept == 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert len(store.kept) == 5
    assert keeper.failed > 10


async def test_it_is_done_when_all_is_kept_that_calls_left_and_not_before_it_has_looked(files: CallFiles) -> None:
    still = {f"AJ_{number}" for number in range(5)}
    store = Store(is_away=True)
    keeper = Keeper(files, store, lambda: still, clock=Clock())
    task = asyncio.create_task(keeper.run())
    await asyncio.sleep(0.05)
    assert keeper.is_done

    still.remove("AJ_0")
    keeper.expect(["AJ_0"])
    assert not keeper.is_done, "nobody has looked yet"
    await until(lambda: bool(store.asked))
    assert not keeper.is_done, "the store is away"
    store.is_away = False
    await until(lambda: keeper.is_done)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert list(store.kept) == ["AJ_0.ogg"]


async def test_a_call_that_left_nothing_keeps_nobody_waiting(files: CallFiles) -> None:
    keeper = Keeper(files, Store(), lambda: {f"AJ_{number}" for number in range(5)}, clock=Clock())
    keeper.expect(["AJ_9"])
    await running(keeper, lambda: keeper.is_done)

    assert keeper.kept == 0


async def test_a_call_that_ends_during_a_look_is_looked_for_once_more(files: CallFiles) -> None:
    still = {f"AJ_{number}" for number in range(5)}
    looks: list[bool] = []

    def running_now() -> set[str]:
        looks.append(keeper.is_done)
        before = set(still)
        if len(looks) == 1:
            still.remove("AJ_0")
            keeper.expect(["AJ_0"])
        return before

    keeper = Keeper(files, Store(is_away=True), running_now, clock=Clock())
    await running(keeper, lambda: len(looks) > 1)

    assert looks[:2] == [True, False]


async def test_no_more_than_two_files_are_sent_at_once(files: CallFiles) -> None:
    store = Store(slow=asyncio.Event())
    keeper = Keeper(files, store, frozenset, clock=Clock())
    task = asyncio.create_task(keeper.run())
    await until(lambda: len(keeper.waiting) == 5)
    await asyncio.sleep(0.1)
    assert store.slow is not None
    store.slow.set()
    await until(lambda: keeper.kept == 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert store.most_at_once == 2


async def test_a_worker_that_leaves_keeps_what_the_last_call_left(files: CallFiles) -> None:
    store = Store()
    keeper = Keeper(files, store, lambda: {"AJ_4"}, clock=Clock())
    await keeper.finish(never())

    assert len(store.kept) == 5


async def test_a_worker_that_leaves_does_not_wait_for_the_end_of_a_long_pause(files: CallFiles) -> None:
    store, now = Store(is_away=True), [0.0]
    keeper = Keeper(files, store, frozenset, clock=lambda: now[0])
    for _ in range(10):
        await running(keeper, lambda failed=keeper.failed: keeper.failed >= failed + 5)
        now[0] += 60
    store.is_away = False
    # Each of them rests for a minute, of which two seconds are over.
    now[0] -= 58
    async with asyncio.timeout(5):
        await keeper.finish(never())

    assert len(store.kept) == 5


async def test_what_could_not_be_kept_in_time_is_named(files: CallFiles, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(files, Store(is_away=True), frozenset, clock=Clock())
    await running(keeper, lambda: keeper.failed > 5)
    caplog.clear()
    await keeper.finish(at_once())

    lost = [record.__dict__["file"] for record in caplog.records if record.message.startswith("not kept, and lost")]
    assert lost == [f"AJ_{number}.ogg" for number in range(5)]
    assert len(await asyncio.to_thread(files.waiting)) == 5


async def test_what_waits_is_a_metric(files: CallFiles) -> None:
    keeper = Keeper(files, Store(is_away=True), frozenset, clock=Clock())
    await running(keeper, lambda: keeper.failed > 0)
    registry = CollectorRegistry()
    registry.register(KeepingCollector(keeper))

    text = generate_latest(registry).decode()
    assert "voicefleet_worker_uploads_pending 5.0" in text
    assert "voicefleet_worker_uploads_pending_bytes 5.0" in text
    assert "voicefleet_worker_uploads_kept_total 0.0" in text
