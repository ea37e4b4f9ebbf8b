"""Files are kept while a worker serves, and in what is left of its grace."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from tests.worker.files import AGENT, Mounted
from voicefleet_worker import grace as grace_module
from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.grace import Orders, rest_of_grace
from voicefleet_worker.keeping import keeper as keeping
from voicefleet_worker.keeping.service import keep_files
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.settings import Settings, load_settings


@pytest.fixture
def recorded(mounted: Mounted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(keeping, "_LOOK_SECONDS", 0.01)
    body = copy.deepcopy(AGENT)
    body["spec"]["recording"] = {"enabled": True}
    mounted.write("agent.json", body)
    settings = load_settings(mounted.flags, {"WORKER_FILES_DIRECTORY": str(tmp_path / "files")})
    settings.keeping.files.make()
    (settings.keeping.files.live / "AJ_1.ogg").write_bytes(b"OggS")
    return settings


@pytest.fixture
def desk() -> Desk:
    return Desk(slots=2, identity=Identity("r1"), clock=lambda: 0.0)


@asynccontextmanager
async def keep_files_of(settings: Settings, desk: Desk, metrics: Metrics, orders: Orders) -> AsyncIterator[None]:
    """Keep files as a worker does."""
    async with (
        rest_of_grace(orders, settings.drain_grace_seconds) as grace,
        keep_files(settings, desk, metrics, grace),
    ):
        yield


def kept(settings: Settings) -> list[str]:
    return [path.name for path in settings.keeping.files.kept.iterdir()]


async def test_a_call_that_is_on_the_line_is_kept_when_the_worker_leaves(recorded: Settings, desk: Desk) -> None:
    desk.answer("AJ_1")
    metrics, orders = Metrics(desk), Orders()
    async with keep_files_of(recorded, desk, metrics, orders):
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(kept, recorded) == []
        assert b"voicefleet_worker_uploads_pending 0.0" in generate_latest(metrics.registry)
        orders.go()

    assert await asyncio.to_thread(kept, recorded) == ["AJ_1.ogg"]


async def test_a_worker_that_fails_leaves_files_to_the_next_one_at_once(recorded: Settings, desk: Desk) -> None:
    desk.answer("AJ_1")
    async with asyncio.timeout(20), keep_files_of(recorded, desk, Metrics(desk), Orders()):
        pass

    assert await asyncio.to_thread((recorded.keeping.files.live / "AJ_1.ogg").exists)


async def test_a_store_that_is_away_keeps_no_worker_beyond_its_grace(
    recorded: Settings, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(recorded.keeping.files.kept.rmdir)
    orders = Orders()
    short = replace(recorded, drain_grace_seconds=grace_module._LAST_WORDS_SECONDS)
    async with asyncio.timeout(20), keep_files_of(short, desk, Metrics(desk), orders):
        await asyncio.sleep(0.2)
        orders.go()

    assert [r.__dict__["file"] for r in caplog.records if r.message.startswith("not kept, and lost")] == ["AJ_1.ogg"]


async def test_a_worker_without_recordings_keeps_nothing(settings: Settings, desk: Desk) -> None:
    metrics = Metrics(desk)
    async with keep_files_of(settings, desk, metrics, Orders()):
        assert b"uploads" not in generate_latest(metrics.registry)
