"""One worker works in a folder, and leaves it in order."""

import asyncio
import logging
from pathlib import Path

import pytest

from tests.core.test_records import AROUND
from tests.worker.records.at_work import FOR_EVER, Sink
from voicefleet.api.voiceagent.records import Store, Transcript
from voicefleet.records.ends import End
from voicefleet.records.plan import RecordPlan, ToFiles, ToStore
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.grace import Orders, rest_of_grace
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.records import office as offices
from voicefleet_worker.records.clerk import Desks
from voicefleet_worker.records.courier import Courier
from voicefleet_worker.records.office import Office, finish_records
from voicefleet_worker.records.outbox import Outbox

PLAN = RecordPlan(AROUND, ToFiles(), Transcript())


class Stuck(Sink):
    """A sink that does not let go."""

    async def aclose(self) -> None:
        raise TimeoutError


def appoint(monkeypatch: pytest.MonkeyPatch, *sinks: Sink) -> None:
    """Have these sinks in place of those that a plan wants."""

    def couriers(_plan: object, _secrets: object, _directory: object, desks: Desks) -> tuple[Courier, ...]:
        folders = (desks.outbox, desks.transcripts)
        return tuple(Courier(folder.name, Outbox(folder), sink) for folder, sink in zip(folders, sinks, strict=False))

    monkeypatch.setattr(offices, "appoint_couriers", couriers)


def office(directory: Path) -> Office:
    return Office(directory, "pod-1", "r1", "p1")


def test_two_workers_do_not_share_a_folder(tmp_path: Path) -> None:
    held = offices._lock(tmp_path)
    with pytest.raises(BadInputError, match="another worker"):
        offices._lock(tmp_path)
    held.close()
    offices._lock(tmp_path).close()


async def test_a_sink_that_cannot_be_closed_keeps_no_other_open_nor_the_folder_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = Sink()
    appoint(monkeypatch, Stuck(), other)
    async with office(tmp_path).open(PLAN, SecretFiles(tmp_path), lambda _: None):
        pass

    assert other.is_closed
    assert [log.__dict__["problem"] for log in caplog.records if "could not be closed" in log.message] == [
        "TimeoutError"
    ]
    (await asyncio.to_thread(offices._lock, tmp_path)).close()


async def test_records_have_the_rest_of_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten seconds were too few, and a sink that comes back late in the grace is still in time."""
    sink, orders = Sink(away=FOR_EVER), Orders()
    appoint(monkeypatch, sink)

    async def come_back() -> None:
        await asyncio.sleep(0.3)
        sink.away = 0

    async with (
        asyncio.timeout(20),
        asyncio.TaskGroup() as tasks,
        office(tmp_path).open(PLAN, SecretFiles(tmp_path), lambda _: None) as clerk,
        rest_of_grace(orders, 3600) as grace,
        finish_records(clerk, grace),
    ):
        clerk.close_books(["AJ_1"], lambda _: End.CRASHED)
        orders.go()
        tasks.create_task(come_back())

    assert sink.ids == ["AJ_1"]
    assert not [log for log in caplog.records if log.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("leaves", "lost"), [(True, [1]), (False, [])], ids=["at the end of the grace", "a worker that fails"]
)
async def test_records_keep_no_worker_beyond_its_grace_and_none_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, leaves: bool, lost: list[int]
) -> None:
    orders = Orders()
    appoint(monkeypatch, Sink(away=FOR_EVER))
    async with (
        asyncio.timeout(20),
        office(tmp_path).open(PLAN, SecretFiles(tmp_path), lambda _: None) as clerk,
        rest_of_grace(orders, 5) as grace,
        finish_records(clerk, grace),
    ):
        clerk.close_books(["AJ_1"], lambda _: End.CRASHED)
        if leaves:
            orders.go()

    said = [log.__dict__["records"] for log in caplog.records if log.message == "call records could not be sent"]
    assert said == lost


async def test_stores_are_given_what_they_keep_and_nothing_is_written_beside_the_outboxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full of records must be emptied without room on it."""
    monkeypatch.setattr("voicefleet_worker.keeping.stores.STORES_DIRECTORY", str(tmp_path / "stores"))
    await asyncio.to_thread((tmp_path / "stores" / "calls").mkdir, parents=True)
    plan = RecordPlan(AROUND, ToStore(Store(claim_name="calls")), Transcript(store=Store(claim_name="calls")))
    data, orders = tmp_path / "data", Orders()
    async with (
        office(data).open(plan, SecretFiles(tmp_path), lambda _: None) as clerk,
        rest_of_grace(orders, 60) as grace,
        finish_records(clerk, grace),
    ):
        clerk.close_books(["AJ_1"], lambda _: End.CRASHED)
        orders.go()

    left = await asyncio.to_thread(lambda: [path.name for path in data.rglob("*") if path.is_file()])
    assert left == ["lock"]
    assert await asyncio.to_thread(lambda: [*(tmp_path / "stores").rglob("AJ_1.record.json")])
