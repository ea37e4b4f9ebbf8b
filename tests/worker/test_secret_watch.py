"""Mounted Secrets that change under a worker: it says so at once, and says nothing else of them."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from livekit.agents import AgentServer

from voicefleet_worker.access import secret_watch as under_test
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.access.secret_watch import SecretWatch
from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.failover.board import HealthBoard
from voicefleet_worker.run import _following_secrets
from voicefleet_worker.settings import Settings


class Volumes:
    """The directory of mounted Secrets, written as a kubelet writes it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writes = 0

    def write(self, secret: str, value: str) -> None:
        """Write a new directory, and put a link to it in the place of the one before."""
        self.writes += 1
        volume, fresh = self.directory / secret, f"..2026_{self.writes}"
        (volume / fresh).mkdir(parents=True)
        (volume / fresh / "api-key").write_text(value)
        (volume / "..fresh").symlink_to(fresh)
        (volume / "..fresh").rename(volume / "..data")
        if not (volume / "api-key").is_symlink():
            (volume / "api-key").symlink_to("..data/api-key")


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    volumes = Volumes(tmp_path / "secrets")
    volumes.write("openai", "old")
    volumes.write("livekit", "old")
    return volumes


async def test_each_change_is_told_once_and_what_was_never_seen_before_is_none(volumes: Volumes) -> None:
    told: list[str] = []
    watch = SecretWatch(volumes.directory, lambda: told.append("changed"))
    await watch.look()
    await watch.look()
    assert told == []

    volumes.write("openai", "new")
    await watch.look()
    await watch.look()
    assert len(told) == 1
    assert (volumes.directory / "openai" / "api-key").read_text() == "new"

    volumes.write("openai", "newer")
    volumes.write("livekit", "new")
    await watch.look()
    assert len(told) == 2

    volumes.write("deepgram", "its first")
    await watch.look()
    assert len(told) == 2


async def test_a_folder_that_no_kubelet_writes_changes_unnoticed_and_hides_no_other(volumes: Volumes) -> None:
    told: list[str] = []
    watch = SecretWatch(volumes.directory, lambda: told.append("changed"))
    by_hand = volumes.directory / "deepgram"
    (by_hand / "..data").mkdir(parents=True)
    await watch.look()
    (by_hand / "api-key").write_text("new")
    await watch.look()
    assert told == []

    volumes.write("openai", "new")
    await watch.look()
    assert told == ["changed"]


@pytest.mark.parametrize("name", ["nowhere", "n" * 300], ids=["that is not there", "that cannot be read"])
async def test_a_directory_without_secrets_is_no_problem(tmp_path: Path, name: str) -> None:
    told: list[str] = []
    watch = SecretWatch(tmp_path / name, lambda: told.append("changed"))
    await watch.look()

    assert told == []


async def test_a_volume_that_is_away_for_a_moment_and_comes_back_changed_has_changed(volumes: Volumes) -> None:
    told: list[str] = []
    watch = SecretWatch(volumes.directory, lambda: told.append("changed"))
    await watch.look()
    (volumes.directory / "openai").rename(volumes.directory.with_name("away"))
    await watch.look()
    assert told == []

    volumes.directory.with_name("away").rename(volumes.directory / "openai")
    volumes.write("openai", "new")
    await watch.look()
    assert told == ["changed"]


async def test_a_running_worker_says_at_once_how_long_ago_its_secrets_changed(
    volumes: Volumes, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "LOOK_SECONDS", 0.01)
    settings = replace(settings, secrets=SecretFiles(volumes.directory))
    clock = [100.0]
    desk = Desk(slots=1, identity=Identity("r1"), clock=lambda: clock[0])
    heard, server, board = desk.listen(), cast("AgentServer", object()), HealthBoard(tmp_path / "health", [])
    async with _following_secrets(settings, server, board, desk):
        await asyncio.sleep(0.1)
        assert not heard.is_set()
        assert desk.next_state().secrets_changed_seconds_ago is None

        volumes.write("openai", "new")
        async with asyncio.timeout(5):
            await heard.wait()
        clock[0] += 7
        assert desk.next_state().secrets_changed_seconds_ago == 7.0
    board.close()
