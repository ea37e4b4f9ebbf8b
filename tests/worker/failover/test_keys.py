"""A key that is replaced while the worker runs: who refused the one before is asked again, and nobody else."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.worker.failover.scripted import lineup, plan, unread
from voicefleet.api.references import SecretKeyRef
from voicefleet.providers.breaker import Cause, Outcome, State
from voicefleet_worker.access.secret_files import SecretFiles, fingerprint
from voicefleet_worker.desk.reports import ProviderNews, Reporter
from voicefleet_worker.failover import keys as under_test
from voicefleet_worker.failover.board import BoardReader, Entry, HealthBoard
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.keys import KeyWatch, watching_keys

NOW = 1000.0
REF = SecretKeyRef(name="a", key="api-key")
KEYED, KEYLESS = plan("keyed", "Llm", api_key=REF), plan("keyless", "Llm")
BOTH = replace(lineup("Llm", "keyed", "keyless"), plans=(KEYED, KEYLESS))


class Worker:
    """A worker's board beside the files of its keys."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.told = 0
        self.file = folder / "a" / "api-key"
        self.file.parent.mkdir()
        self.board = HealthBoard(folder / "health", [KEYED.provider, KEYLESS.provider], clock=lambda: self.now)
        self.board.urgent = self.note_urgent
        self.reader = BoardReader.open(self.board.path)
        self.secrets = SecretFiles(folder)
        self.watch = KeyWatch(self.board, self.secrets)
        self.replace("old")

    def note_urgent(self) -> None:
        self.told += 1

    def replace(self, key: str) -> None:
        """Put another file in the place of the old one, as the kubelet does."""
        fresh = self.file.with_name("fresh")
        fresh.write_text(f"{key}\n")
        fresh.rename(self.file)

    def refuse(self, key: str = "old", provider: str = "keyed", cause: str = "CredentialsRefused") -> None:
        news = {"outcome": cause, "began_at": self.now, "key": fingerprint(key) if key else 0}
        self.board.learn(ProviderNews(job_id="AJ_1", provider=provider, **news))  # type: ignore[arg-type]

    async def look(self, after: float = 2.0) -> State:
        """Look some time later, and return what calls read."""
        self.now += after
        await self.watch.look()
        return self.state()

    def state(self, provider: str = "keyed") -> State:
        return self.reader.entries().get(provider, Entry()).state


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    worker.board.close()


async def test_a_provider_that_refused_the_key_before_is_asked_again(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    await worker.look()
    worker.refuse()
    assert await worker.look() is State.OPEN
    told = worker.told
    worker.replace("new")
    with caplog.at_level(logging.INFO):
        assert await worker.look() is State.CLOSED

    assert worker.told == told + 1, "the fleet hears of it at once"
    assert [(record.message, record.__dict__["provider"]) for record in caplog.records] == [
        ("provider has another key and is asked again", "keyed")
    ]
    assert await worker.look() is State.CLOSED


async def test_a_new_key_that_is_refused_as_well_stays_refused(worker: Worker) -> None:
    worker.replace("new")
    await worker.look()
    worker.refuse("new")

    assert [await worker.look() for _ in range(3)] == [State.OPEN] * 3


async def test_a_key_that_was_replaced_before_the_old_one_was_refused_is_tried(worker: Worker) -> None:
    """Calls keep the client that they began with, and with it the key."""
    worker.replace("new")
    await worker.look()
    worker.refuse("old")
    assert worker.state() is State.OPEN

    assert await worker.look() is State.CLOSED


async def test_a_file_that_is_written_anew_with_the_same_key_changes_nothing(worker: Worker) -> None:
    worker.refuse()
    worker.replace("old")

    assert await worker.look() is State.OPEN


async def test_a_key_that_could_not_be_read_is_tried_once_it_can_be(worker: Worker) -> None:
    worker.file.unlink()
    await worker.look()
    worker.refuse(key="")
    assert await worker.look() is State.OPEN
    worker.replace("old")

    assert await worker.look() is State.CLOSED


@pytest.mark.parametrize("cause", ["Throttled", "CredentialsRefused"])
async def test_a_new_key_is_no_matter_for_who_was_not_refused_one(worker: Worker, cause: str) -> None:
    worker.refuse(key="", provider="keyless", cause=cause)
    await worker.look()
    worker.replace("new")
    await worker.look()

    assert worker.state("keyless") is State.OPEN


async def test_the_very_call_that_was_refused_asks_again(worker: Worker) -> None:
    health = CallHealth(BOTH.plans, Reporter("AJ_1", None), unread(), worker.reader, clock=lambda: worker.now)
    health.begin("keyed", worker.now)
    health.learn("keyed", Outcome(worker.now, Cause.CREDENTIALS, key=fingerprint("old")))
    worker.refuse()
    worker.replace("new")
    await worker.look()

    (keyed, _) = health.candidates(BOTH)
    assert keyed.breaker.state is State.CLOSED


async def test_keys_are_looked_at_for_as_long_as_the_worker_runs(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "LOOK_SECONDS", 0.01)
    async with watching_keys(worker.board, worker.secrets):
        assert worker.board.known["keyed"].key == fingerprint("old"), "before anything is heard of others"
        worker.refuse()
        worker.now += 1
        await asyncio.to_thread(worker.replace, "new")
        async with asyncio.timeout(5):
            while worker.state() is not State.CLOSED:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


def test_a_fingerprint_tells_keys_apart_and_tells_nothing_of_them() -> None:
    known = {fingerprint(f"key-{number}") for number in range(1000)}

    assert len(known) == 1000
    assert all(0 < number < 2**48 for number in known), "Redis and JSON keep it exactly"
