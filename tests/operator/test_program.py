"""One run of the operator: what its probes say on the way to the lead, and in which order it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from voicefleet_operator import program
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import Ports
from voicefleet_operator.pulse import LastWord, Pulse
from voicefleet_operator.settings import parse_arguments
from voicefleet_operator.sight.sight import Sight
from voicefleet_operator.turns.workqueue import Key, QueueClosed

KEY = Key("VoiceAgent", "voice", "desk")
SETTINGS = parse_arguments(
    ("--all-namespaces", "--worker-image", "worker:1", "--own-namespace", "op", "--no-probes"), {"POD_NAME": "operator"}
)


class Run:
    """One run, with an outside that lets it go on when a test says so; what happens is noted in order."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.may_connect, self.may_lead, self.may_list = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.listens, self.turn_began, self.turn_may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.stop = asyncio.Event()
        self.sight: Sight
        self.client: TestClient[web.Request, web.Application]
        self.task: asyncio.Task[int]

    async def begin(self) -> None:
        """Start it."""
        self.task = asyncio.create_task(program.run(SETTINGS))
        await asyncio.wait_for(self.listens.wait(), 5)

    async def lead(self) -> None:
        """Start it, and let nothing keep it from the lead."""
        for permission in (self.may_connect, self.may_lead, self.may_list):
            permission.set()
        await self.begin()
        await self.until("/livez", "lease renewed")
        await self.until("/readyz", "ok")

    async def take_a_turn(self) -> None:
        """Have it begin a turn."""
        self.sight.queue.add(KEY)
        await asyncio.wait_for(self.turn_began.wait(), 5)

    async def turn(self, _key: Key, _ports: Ports) -> timedelta | None:
        """Take a turn that lasts for as long as a test wants."""
        self.turn_began.set()
        try:
            await self.turn_may_end.wait()
        finally:
            self.noted.append("the last turn has ended")
        return None

    async def until_no_turn_begins(self) -> None:
        """Wait until its queue hands out nothing more, and for what it would do at once after that."""
        with pytest.raises(QueueClosed):
            await asyncio.wait_for(self.sight.queue.get(), 5)
        await asyncio.sleep(0.1)

    async def ask(self, path: str) -> tuple[int, str]:
        """Ask its own port."""
        async with self.client.get(path) as answer:
            return answer.status, await answer.text()

    async def until(self, path: str, text: str) -> None:
        """Wait until the port says so."""
        async with asyncio.timeout(5):
            while text not in (await self.ask(path))[1]:  # noqa: ASYNC110 - the answer comes over a socket
                await asyncio.sleep(0.01)


class FakeLead:
    """A lead that is there for whoever may have it, for as long as they want."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def acquire(self, _on_return: Callable[[], None]) -> bool:
        return await self._run.may_lead.wait()

    async def release(self) -> None:
        self._run.noted.append("the lead is given away")

    def is_valid(self) -> bool:
        return True

    def age_seconds(self) -> float | None:
        return 2.0 if self._run.may_lead.is_set() else None


def sight_of(run: Run) -> type[Sight]:
    """Return a sight of a cluster in which there is nothing, and that can be listed when a test says so."""

    class FakeSight(Sight):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            run.sight = self

        @asynccontextmanager
        async def kept(self, _changed: object) -> AsyncIterator[None]:
            yield

        async def catch_up(self) -> None:
            await run.may_list.wait()

    return FakeSight


async def listen(run: Run, app: web.Application) -> SimpleNamespace:
    """Serve the probes under any port."""
    run.client = TestClient(TestServer(app))
    await run.client.start_server()
    run.listens.set()
    return SimpleNamespace(cleanup=run.client.close)


async def watch(*, ready_flag: asyncio.Event, stop_flag: asyncio.Event, **_: object) -> None:
    """Stand in for kopf, to which nothing happens."""
    ready_flag.set()
    await stop_flag.wait()


@pytest.fixture
async def run(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    run = Run()

    async def connect(*_: object) -> None:
        await run.may_connect.wait()

    async def read_key(*_: object) -> bytes:
        return b"k" * 32

    @asynccontextmanager
    async def lead_of(*_: object, **__: object) -> AsyncIterator[FakeLead]:
        yield FakeLead(run)

    async def close() -> None:
        run.noted.append("the connections are closed")

    outside = {
        "load_configuration": connect,
        "Kube": lambda *_: SimpleNamespace(close=close),
        "serve": lambda app, *_: listen(run, app),
        "keep_apart": lead_of,
        "Sight": sight_of(run),
        "_control_key": read_key,
        "HANDLERS": {"VoiceAgent": run.turn},
        "_stop_on_signals": lambda stop: setattr(run, "stop", stop),
        # What is measured of one process is none of the others' business.
        "gc": SimpleNamespace(set_threshold=lambda *_: None, collect=lambda: None, freeze=lambda: None),
    }
    for name, value in outside.items():
        monkeypatch.setattr(program, name, value)
    monkeypatch.setattr(program.kopf, "operator", watch)
    yield run
    run.task.cancel()
    with suppress(asyncio.CancelledError):
        await run.task


async def test_readyz_names_what_is_waited_for_on_the_way_to_the_lead(run: Run) -> None:
    await run.begin()
    assert await run.ask("/readyz") == (503, "starting\n")

    run.may_connect.set()
    await run.until("/readyz", "ok")
    assert "lease" not in (await run.ask("/livez"))[1]

    run.may_lead.set()
    await run.until("/readyz", "listing")
    assert await run.ask("/readyz") == (503, "listing\n")

    run.may_list.set()
    await run.until("/readyz", "ok")
    assert await run.ask("/readyz") == (200, "ok\n")


async def test_livez_tells_how_it_is_and_why_a_new_process_would_do_better(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run.lead()
    status, text = await run.ask("/livez")
    assert (status, text.splitlines()[0]) == (200, "ok")
    assert "lease renewed 2.0 s ago" in text.splitlines()

    monkeypatch.setattr(run.sight.resync, "why_stale", lambda: "nothing could be listed")

    status, text = await run.ask("/livez")
    assert (status, text.splitlines()[0]) == (503, "nothing could be listed")
    assert "lease renewed 2.0 s ago" in text.splitlines()


def aged(seconds: float | None, *, stale: str | None = None) -> Any:
    return SimpleNamespace(age_seconds=lambda: seconds, why_stale=lambda: stale)


def test_what_was_not_done_yet_has_no_age() -> None:
    metrics = Metrics()
    state = program._State(Pulse(metrics), metrics)
    assert list(state.tell()) == ["event loop 0.000 s late"]

    state.lead, state.resync = aged(None), aged(None)
    assert list(state.tell()) == ["event loop 0.000 s late"]

    seconds = [5.0]
    state.lead, state.resync, state.watched = aged(1.5), aged(62.04), LastWord(clock=lambda: seconds[0])
    state.watched.note()
    seconds[0] = 8.0
    state.pulse.beat(0.25)
    assert list(state.tell()) == [
        "event loop 0.250 s late",
        "lease renewed 1.5 s ago",
        "everything listed 62.0 s ago",
        "last word of a watch 3.0 s ago",
    ]


def test_a_loop_that_is_held_up_is_named_before_lists_that_fail_for_it() -> None:
    metrics = Metrics()
    state = program._State(Pulse(metrics), metrics)
    assert state.why_dead() is None

    state.resync = aged(None, stale="nothing could be listed")
    assert state.why_dead() == "nothing could be listed"

    for _ in range(3):
        state.pulse.beat(6)
    assert state.why_dead() == "the event loop was more than 5 seconds late 3 times in a row"


IN_ORDER = [
    "the last turn has ended",
    "the lead is given away",
    "the connections are closed",
]


async def test_the_lead_is_kept_until_the_last_turn_has_ended(run: Run) -> None:
    """Whoever is given it decides at once, while what this process still writes was decided before."""
    await run.lead()
    await run.take_a_turn()

    run.stop.set()
    await run.until_no_turn_begins()
    assert (run.noted, run.task.done()) == ([], False)

    run.turn_may_end.set()
    assert await asyncio.wait_for(run.task, 5) == 0
    assert run.noted == IN_ORDER


async def test_a_turn_that_hangs_is_ended_before_the_lead_is_given_away(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_FINISH_SECONDS", 0.05)
    await run.lead()
    await run.take_a_turn()

    run.stop.set()

    assert await asyncio.wait_for(run.task, 5) == 0
    assert run.noted == IN_ORDER


async def test_who_has_never_led_gives_nothing_away(run: Run) -> None:
    run.may_connect.set()
    await run.begin()
    await run.until("/readyz", "ok")

    run.stop.set()

    assert await asyncio.wait_for(run.task, 5) == 0
    assert run.noted == ["the connections are closed"]
