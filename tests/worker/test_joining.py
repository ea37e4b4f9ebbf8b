"""A worker that LiveKit does not know says why, and takes up a key that was put right."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit.agents import AgentServer

from tests.support.clock import Clock
from tests.worker.files import Mounted
from voicefleet.wire import Away
from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.desk.reports import ReportBox
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.serving import server as under_test
from voicefleet_worker.serving.joining import PATIENCE_SECONDS, Joining, listening
from voicefleet_worker.serving.offers import Offers
from voicefleet_worker.serving.server import build_server, renew_keys, take_stock
from voicefleet_worker.settings import Settings, load_settings


class Rooms:
    """As they should be."""

    async def is_wished_for(self, *_: str) -> bool:
        return True

    async def is_there(self, *_: str) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(mounted: Mounted) -> Settings:
    """Give the worker a secret that is long enough to sign with."""
    mounted.write("secrets/livekit/api-secret", "s" * 32)
    return load_settings(mounted.flags, {})


def tried(joining: Joining, *, status: int | None) -> None:
    """Let the SDK log that a try failed."""
    record = logging.LogRecord("livekit.agents", logging.WARNING, "", 0, "failed", (), None)
    record.retry_count = 1
    record.error = SimpleNamespace(status=status) if status else OSError()
    joining.emit(record)


def test_a_worker_that_has_hardly_begun_to_join_gives_no_reason(clock: Clock) -> None:
    joining = Joining(clock)
    tried(joining, status=401)
    assert joining.away(registered=False) is None

    clock.seconds = PATIENCE_SECONDS - 0.1
    assert joining.away(registered=False) is None


@pytest.mark.parametrize(
    ("status", "away"),
    [(401, Away.REFUSES), (403, Away.REFUSES), (502, Away.SILENT), (None, Away.SILENT)],
)
def test_the_last_try_tells_why_a_worker_cannot_join(clock: Clock, status: int | None, away: Away) -> None:
    joining = Joining(clock)
    assert joining.away(registered=False) is None
    clock.seconds = PATIENCE_SECONDS
    tried(joining, status=status)

    assert joining.away(registered=False) is away


def test_a_server_that_takes_the_connection_and_says_nothing_is_silent(clock: Clock) -> None:
    joining = Joining(clock)
    joining.away(registered=False)
    clock.seconds = PATIENCE_SECONDS

    assert joining.away(registered=False) is Away.SILENT


def test_whoever_joined_starts_over_when_the_connection_breaks(clock: Clock) -> None:
    joining = Joining(clock)
    tried(joining, status=401)
    assert joining.away(registered=True) is None
    clock.seconds = 1000.0
    assert joining.away(registered=False) is None

    clock.seconds += PATIENCE_SECONDS
    assert joining.away(registered=False) is Away.SILENT


@asynccontextmanager
async def refusing(settings: Settings) -> AsyncIterator[tuple[AgentServer, asyncio.Queue[str]]]:
    """Run the SDK's own tries against a server that refuses them all and notes by which key they came."""
    keys = asyncio.Queue[str]()

    async def refuse(request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        keys.put_nowait(jwt.decode(token, options={"verify_signature": False})["iss"])
        return web.Response(status=401)

    app = web.Application()
    app.router.add_get("/agent", refuse)
    desk = Desk(slots=1, identity=Identity("r1"), clock=lambda: 0.0)
    offers = Offers(settings.plan, desk, Metrics(desk), Rooms())
    async with TestServer(app) as livekit, aiohttp.ClientSession() as session:
        access = replace(settings.livekit, url=f"ws://127.0.0.1:{livekit.port}")
        server = build_server(replace(settings, livekit=access), desk, offers)
        server._http_session, server._closed = session, False
        server._proc_pool = cast("Any", SimpleNamespace(processes=[]))
        joining = asyncio.create_task(server._connection_task())
        yield server, keys
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)


async def test_the_sdk_tells_of_a_refusal_where_it_is_listened_for(settings: Settings, tmp_path: Path) -> None:
    clock = Clock()
    desk = Desk(slots=1, identity=Identity("r1"), clock=clock)
    with listening(clock) as joining, closing(ReportBox(tmp_path, desk.hear)) as box:
        async with refusing(settings) as (server, keys), asyncio.timeout(5):
            take_stock(server, desk, box, joining)
            # The second try begins when the first one was told of.
            await keys.get()
            await keys.get()
            clock.seconds = PATIENCE_SECONDS
            take_stock(server, desk, box, joining)

    state = desk.next_state()
    assert (state.registered, state.livekit_away) == (False, Away.REFUSES)


async def test_a_key_that_was_put_right_is_taken_up_by_a_worker_that_runs(
    settings: Settings, mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "LOOK_SECONDS", 0.01)
    async with refusing(settings) as (server, keys), asyncio.timeout(10):
        renewing = asyncio.create_task(renew_keys(server, settings.livekit))
        assert await keys.get() == settings.livekit.api_key
        mounted.write("secrets/livekit/api-key", "the-right-one")
        while await keys.get() != "the-right-one":
            pass
        renewing.cancel()


def test_a_pair_that_cannot_be_read_stays_as_it_was(settings: Settings, mounted: Mounted) -> None:
    (mounted.folder / "secrets" / "livekit" / "api-secret").unlink()
    mounted.write("secrets/livekit/api-key", "half-a-pair")

    assert settings.livekit.renewed() == settings.livekit


def test_a_pair_from_the_environment_stays_whatever_the_files_say(mounted: Mounted) -> None:
    given = load_settings(mounted.flags, {"LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s"}).livekit
    mounted.write("secrets/livekit/api-key", "another")

    assert (given.renewed().api_key, given.renewed().api_secret) == ("k", "s")
