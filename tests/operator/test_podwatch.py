"""The watch of pods goes on, whatever the server says and whenever it stops saying anything."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from voicefleet_operator import pulse
from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.apiserver.kube import PODS, Body
from voicefleet_operator.errors import ApiError
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.pulse import LastWord
from voicefleet_operator.sight import podwatch as module
from voicefleet_operator.sight.podwatch import Changed, PodWatch
from voicefleet_operator.sight.resync import Resync
from voicefleet_operator.turns.workqueue import Key, WorkQueue

Script = Sequence[Body | Exception]


def pod(name: str, version: int) -> Body:
    metadata = {"namespace": "voice", "name": name, "uid": name, "labels": {"voicefleet.dev/agent": "desk"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> Body:
    return {"type": kind, "object": pod(name, version)}


BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "90"}}}


class Kube:
    """A server that tells what it was given to tell, one watch after another, and then nothing more."""

    def __init__(self, *watches: Script, opens_the_last: bool = True) -> None:
        self.watches = list(watches)
        self.opens_the_last = opens_the_last
        self.asked: list[str] = []
        self.done = asyncio.Event()

    async def pages(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        self.asked.append("list")
        assert (path, query) == ("/api/v1/pods", {"labelSelector": "app.kubernetes.io/managed-by=voicefleet"})
        yield {"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "50"}, "items": [pod("old", 40)]}

    async def watch(
        self, _path: str, *, version: str, opened: Callable[[], None], **_query: str
    ) -> AsyncGenerator[Body]:
        self.asked.append(version)
        if not self.watches:
            if self.opens_the_last:
                opened()
            self.done.set()
            await asyncio.Event().wait()
        for each in self.watches.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each


@asynccontextmanager
async def watching(
    kube: Kube, changed: Changed = lambda _key, _body: None, cache: Cache | None = None
) -> AsyncIterator[tuple[Cache, WorkQueue]]:
    """Let a watch run until it has heard all that there is."""
    cache, queue = cache or Cache(), WorkQueue()
    resync = Resync(kube, cache, queue, (), Metrics())  # type: ignore[arg-type]
    running = asyncio.create_task(PodWatch(kube, cache, queue, resync, LastWord()).run(changed))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        await kube.done.wait()
    yield cache, queue
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.0)


def names(cache: Cache) -> set[str]:
    return {body["metadata"]["name"] for body in cache.pods}


async def test_what_happens_after_the_list_is_taken_in_and_concerns_the_agent() -> None:
    kube = Kube([event("ADDED", "new", 51), event("DELETED", "old", 52)])

    async with watching(kube) as (cache, queue):
        assert names(cache) == {"new"}
        assert queue.take() == Key("VoiceAgent", "voice", "desk")


async def test_whoever_hears_pods_is_told_of_those_that_come_and_change_and_of_none_that_goes() -> None:
    kube = Kube([event("ADDED", "new", 51), event("MODIFIED", "new", 52), BOOKMARK, event("DELETED", "old", 91)])
    told: list[tuple[Key, str, str]] = []

    def note(key: Key, body: Body) -> None:
        told.append((key, body["metadata"]["name"], body["metadata"]["resourceVersion"]))

    async with watching(kube, note):
        desk = Key("VoiceAgent", "voice", "desk")
        assert told == [(desk, "old", "40"), (desk, "new", "51"), (desk, "new", "52")]


async def test_a_pod_that_is_known_by_another_way_is_told_of_as_it_is_known() -> None:
    kube = Kube([event("MODIFIED", "old", 51)], [ApiError(410, "Expired", "too old resource version")])
    told: list[str] = []
    cache = Cache()
    # The answer to a write of ours was faster than the watch.
    cache.observe(PODS, pod("old", 60))

    async with watching(kube, lambda _key, body: told.append(body["metadata"]["resourceVersion"]), cache):
        # With the first list, with an event that is older, and with the list after the server has forgotten.
        assert told == ["60", "60", "60"]


async def test_a_watch_that_ends_goes_on_from_the_last_word_without_a_list() -> None:
    kube = Kube([event("ADDED", "new", 51)], [BOOKMARK], [])

    async with watching(kube):
        assert kube.asked == ["list", "50", "51", "90", "90"]


async def test_a_server_out_of_reach_is_asked_again_from_the_same_moment() -> None:
    kube = Kube([event("ADDED", "new", 51), ApiError(0, "ServerDisconnectedError", "")], [ApiError(503, "", "")])

    async with watching(kube):
        assert kube.asked == ["list", "50", "51", "51"]


async def test_a_server_that_has_forgotten_the_moment_is_asked_for_a_list() -> None:
    kube = Kube([event("ADDED", "lost", 45), ApiError(410, "Expired", "too old resource version")])

    async with watching(kube) as (cache, _):
        assert kube.asked == ["list", "50", "list", "50"]
        # Older than the list and not in it.
        assert names(cache) == {"old"}


async def test_an_event_that_nobody_expected_is_stepped_over_by_a_list() -> None:
    kube = Kube([{"type": "ADDED", "object": {}}, event("ADDED", "never", 53)], [event("ADDED", "new", 54)])

    async with watching(kube) as (cache, _):
        assert kube.asked == ["list", "50", "list", "50", "54"]
        assert names(cache) == {"old", "new"}


async def test_a_server_that_ends_every_watch_at_once_is_not_asked_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[int] = []

    async def pause(failures: int) -> None:
        pauses.append(failures)

    monkeypatch.setattr(module, "_pause", pause)
    kube = Kube([], [], [BOOKMARK], [])

    async with watching(kube):
        assert pauses == [1, 2, 0, 1]


@pytest.mark.parametrize(
    ("opens", "is_old"),
    [
        pytest.param(False, True, id="that does not come back"),
        pytest.param(True, False, id="that is open again, and of which nothing happens"),
    ],
)
async def test_what_is_known_of_pods_is_old_behind_a_watch(
    opens: bool, is_old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "_BROKEN_SECONDS", -1.0)
    kube = Kube([event("ADDED", "new", 51), ApiError(503, "", "")], opens_the_last=opens)
    cache, queue = Cache(), WorkQueue()
    resync = Resync(kube, cache, queue, (), Metrics())  # type: ignore[arg-type]
    watch = PodWatch(kube, cache, queue, resync, LastWord())  # type: ignore[arg-type]
    running = asyncio.create_task(watch.run(lambda _key, _body: None))
    async with asyncio.timeout(5):
        await kube.done.wait()

    assert watch.is_old("voice") is is_old

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_only_namespaces_that_are_watched_can_be_known_of_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "QUIET_SECONDS", -1.0)
    resync = Resync(Kube(), Cache(), WorkQueue(), ("a", "b"), Metrics())  # type: ignore[arg-type]
    watch = PodWatch(Kube(), Cache(), WorkQueue(), resync, LastWord())  # type: ignore[arg-type]

    assert [watch.is_old(namespace) for namespace in ("a", "b", "nobody's")] == [True, True, False]
