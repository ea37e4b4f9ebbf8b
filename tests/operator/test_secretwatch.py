"""When Secrets are written is seen, where that is allowed, and what they hold is never asked for."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from tests.operator.agent_turns import World
from tests.support.fleet import NOW
from voicefleet_operator.apiserver.cache import Cache
from voicefleet_operator.apiserver.kube import PODS, SECRETS, Body, Kube
from voicefleet_operator.errors import ApiError
from voicefleet_operator.handlers.voiceagent import reconcile_voice_agent
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.sight import secretwatch as module
from voicefleet_operator.sight.secretwatch import SecretWatch, Writes
from voicefleet_operator.turns.workqueue import Key, WorkQueue

DESK = Key("VoiceAgent", "voice", "desk")
BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "55"}, "rows": []}}


def row(kind: str, name: str, version: int = 60) -> Body:
    """Return what a watch of tables tells of one Secret."""
    table = {"metadata": {"resourceVersion": str(version)}, "rows": [{"cells": [name, "Opaque", 1, "5m"]}]}
    return {"type": kind, "object": table}


def pod(*secrets: str, namespace: str = "voice") -> Body:
    volumes = [{"name": name, "secret": {"secretName": name}} for name in secrets]
    labels = {"voicefleet.dev/agent": "desk"}
    metadata = {"namespace": namespace, "name": "desk-r-0", "uid": "1", "resourceVersion": "1", "labels": labels}
    return {"metadata": metadata, "spec": {"volumes": [*volumes, {"name": "tmp", "emptyDir": {}}]}, "status": {}}


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_of_several_secrets_the_last_write_counts_and_those_of_others_do_not() -> None:
    writes = Writes()
    assert writes.written_at(pod("openai")) is None
    writes.note("voice", "livekit", at(1))
    writes.note("other", "openai", at(2))
    writes.note("voice", "unused", at(3))

    assert writes.written_at(pod("openai", "livekit")) == at(1)
    assert writes.written_at(pod("openai")) is None


def test_where_only_names_are_told_a_write_counts_in_every_namespace() -> None:
    writes = Writes()
    writes.note(None, "openai", at(1))

    assert [writes.written_at(pod("openai", namespace=each)) for each in ("voice", "other")] == [at(1), at(1)]


def test_a_write_that_every_kubelet_knows_of_is_forgotten() -> None:
    writes = Writes()
    writes.note("voice", "openai", at(0))
    writes.note("voice", "livekit", at(100))
    assert writes.written_at(pod("openai")) == at(0)

    writes.note("voice", "livekit", at(101))
    assert writes.written_at(pod("openai")) is None


class Server:
    """A server that tells what it was given to tell, one watch after another, and then nothing more."""

    def __init__(self, *watches: Sequence[Body] | Exception) -> None:
        self.watches = list(watches)
        self.began_at: list[str] = []
        self.done = asyncio.Event()

    async def version_of(self, _path: str) -> str:
        return "50"

    async def watch_names(self, _path: str, *, version: str) -> AsyncGenerator[Body]:
        self.began_at.append(version)
        if not self.watches:
            self.done.set()
            await asyncio.Event().wait()
        watch = self.watches.pop(0)
        if isinstance(watch, Exception):
            raise watch
        for event in watch:
            yield event


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)


async def keys_after(server: Server, *pods: Body, scope: str | None = "voice") -> list[Key]:
    """Return who is to be reconciled once the server has told all that it has."""
    cache, queue = Cache(), WorkQueue(pace_seconds=0)
    for body in pods:
        cache.observe(PODS, body)
    watching = asyncio.create_task(SecretWatch(server, cache, queue, [scope]).run())  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        await server.done.wait()
    watching.cancel()
    keys = []
    while (key := queue.take()) is not None:
        keys.append(key)
    return keys


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
async def test_whoever_mounts_a_secret_that_is_written_or_made_anew_is_reconciled(kind: str) -> None:
    assert await keys_after(Server([BOOKMARK, row(kind, "openai")]), pod("openai")) == [DESK]


@pytest.mark.parametrize(
    ("mounts", "event"),
    [
        (pod("other"), row("MODIFIED", "openai")),
        (pod("openai", namespace="other"), row("MODIFIED", "openai")),
        (pod("openai"), row("DELETED", "openai")),
        (pod("openai"), BOOKMARK),
    ],
    ids=["another Secret", "another namespace's", "a deletion", "a bookmark"],
)
async def test_nobody_else_is(mounts: Body, event: Body) -> None:
    assert await keys_after(Server([event]), mounts) == []


async def test_of_a_watch_of_all_namespaces_everybody_is_who_mounts_one_of_that_name() -> None:
    elsewhere = Key("VoiceAgent", "other", "desk")

    assert await keys_after(Server([row("MODIFIED", "openai")]), pod("openai", namespace="other"), scope=None) == [
        elsewhere
    ]


async def test_a_watch_goes_on_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)
    server = Server(
        [row("MODIFIED", "openai", 60)], [BOOKMARK], ApiError(0, "", "gone away"), ApiError(410, "Gone", "")
    )

    await keys_after(server)

    assert server.began_at == ["50", "60", "55", "55", "50"]


async def test_what_nobody_expected_ends_no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)

    assert await keys_after(Server([{"type": "MODIFIED"}], [row("MODIFIED", "openai")]), pod("openai")) == [DESK]


async def test_a_right_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_REFUSED_SECONDS", 0.0)

    await keys_after(Server(ApiError(403, "Forbidden", "secrets is forbidden")))

    assert [vars(record)["hint"] for record in caplog.records] == ["grant list and watch on secrets"]


async def test_nothing_but_a_table_without_objects_is_asked_for() -> None:
    asked: set[tuple[str, str]] = set()

    async def answer(request: web.Request) -> web.Response:
        asked.add((request.headers["Accept"], request.query["includeObject"]))
        return web.json_response({"metadata": {"resourceVersion": "1"}})

    app = web.Application()
    app.router.add_get("/api/v1/secrets", answer)
    async with TestServer(app) as server:
        configuration = client.Configuration()
        configuration.host = str(server.make_url("")).rstrip("/")
        kube = Kube(configuration, Metrics())
        try:
            assert await kube.version_of(SECRETS.path(None)) == "1"
            async for _event in kube.watch_names(SECRETS.path(None), version="1"):
                pass
        finally:
            await kube.close()

    assert asked == {("application/json;as=Table;g=meta.k8s.io;v=v1", "None")}


async def test_a_worker_whose_secret_was_written_has_its_kubelet_look_a_moment_later(world: World) -> None:
    await world.run()

    async def turn(written_seconds_ago: float) -> timedelta | None:
        world.cluster.writes.clear()
        written_at = NOW - timedelta(seconds=written_seconds_ago)
        return await reconcile_voice_agent(DESK, replace(world.ports, secrets_written_at=lambda _pod: written_at))

    assert await turn(0.3) == timedelta(seconds=0.8)
    assert not [write for write in world.cluster.writes if write.startswith("annotate")]
    await turn(1)
    assert [write for write in world.cluster.writes if write.startswith("annotate desk-")]


async def test_an_agent_that_is_being_deleted_is_not_turned_about_without_end(world: World) -> None:
    """Nobody has its kubelets look any more."""
    await world.run()
    world.everybody_says(calls=1)
    world.delete()

    wait = await reconcile_voice_agent(
        DESK, replace(world.ports, secrets_written_at=lambda _pod: NOW - timedelta(seconds=2))
    )

    assert wait is not None
    assert wait > timedelta(seconds=1)
