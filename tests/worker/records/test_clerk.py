"""No record is lost, whoever dies and whoever does not listen, and they come in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.core.test_records import AROUND, CALL, lines
from voicefleet.records.ends import Disposition, End
from voicefleet.records.journal import Entry
from voicefleet.records.making import Circumstances, Verdict, make_record
from voicefleet.records.record import CallRecord
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.records import clerk as clerking
from voicefleet_worker.records import courier as carrying
from voicefleet_worker.records.clerk import Clerk, Desks
from voicefleet_worker.records.courier import Courier
from voicefleet_worker.records.figures import Figures
from voicefleet_worker.records.journal import journal_path
from voicefleet_worker.records.office import _lock
from voicefleet_worker.records.outbox import Outbox
from voicefleet_worker.records.sinks import FileSink, NotTakenError


class Sink:
    """Takes records, and refuses as often as it was told."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.taken: list[CallRecord] = []

    async def take(self, records: Sequence[CallRecord]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise NotTakenError("not now")
        self.taken += records

    async def aclose(self) -> None:
        return


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "_FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def desks(tmp_path: Path) -> Desks:
    return Desks.below(tmp_path)


@asynccontextmanager
async def at_work(
    desks: Desks, sink: Sink, registry: CollectorRegistry | None = None, *, transcripts: Sink | None = None
) -> AsyncIterator[Clerk]:
    count = Figures(registry or CollectorRegistry()).count

    def begin() -> Clerk:
        couriers = [Courier("records", Outbox(desks.outbox), sink)]
        if transcripts is not None:
            couriers.append(Courier("transcripts", Outbox(desks.transcripts), transcripts))
        return Clerk(desks, AROUND, tuple(couriers), count)

    clerk = await asyncio.to_thread(begin)
    working = asyncio.create_task(clerk.work())
    try:
        yield clerk
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def write_journal(desks: Desks, job_id: str, length: int = len(CALL)) -> None:
    journal_path(desks.journals, job_id).write_bytes(b"\n".join(lines(CALL[:length])) + b"\n")


async def test_a_call_that_is_over_has_one_record_and_its_journal_is_gone(desks: Desks) -> None:
    write_journal(desks, "AJ_1")
    sink = Sink()
    async with at_work(desks, sink) as clerk:
        # What lies there when the clerk begins is what another process left.
        await clerk.finish(5)

    assert [(record.id, record.disposition) for record in sink.taken] == [("AJ_1", Disposition.CALLER_HUNG_UP)]
    assert await asyncio.to_thread(lambda: [*desks.journals.iterdir(), *desks.outbox.iterdir()]) == []


@pytest.mark.parametrize(
    ("written", "seen", "disposition"),
    [(5, End.CRASHED, Disposition.CRASHED), (5, End.CUT, Disposition.CUT), (0, End.CRASHED, Disposition.CRASHED)],
    ids=["killed in the middle", "cut at the limit", "died before it wrote a word"],
)
async def test_a_process_that_dies_leaves_a_record(
    desks: Desks, written: int, seen: End, disposition: Disposition
) -> None:
    sink = Sink()
    async with at_work(desks, sink) as clerk:
        if written:
            await asyncio.to_thread(write_journal, desks, "AJ_9", written)
        clerk.close_books(["AJ_9"], lambda _: seen)
        await clerk.finish(5)

    assert [(record.id, record.disposition) for record in sink.taken] == [("AJ_9", disposition)]


async def test_records_wait_for_a_sink_that_is_away_and_come_in_order(desks: Desks) -> None:
    sink = Sink(refusals=3)
    async with at_work(desks, sink) as clerk:
        for number in range(5):
            clerk.close_books([f"AJ_{number}"], lambda _: End.CRASHED)
        await clerk.finish(5)

    assert [record.id for record in sink.taken] == [f"AJ_{number}" for number in range(5)]


async def test_a_store_of_transcripts_that_is_away_holds_up_no_record_and_gets_its_own_later(desks: Desks) -> None:
    records = Sink()
    async with at_work(desks, records, transcripts=Sink(refusals=10_000)) as clerk:
        clerk.close_books(["AJ_1", "AJ_2"], lambda _: End.CRASHED)
        async with asyncio.timeout(5):
            while len(records.taken) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await clerk.finish(0.05)
        assert [(courier.cargo, courier.pending) for courier in clerk.couriers] == [("records", 0), ("transcripts", 2)]
    transcripts = Sink()
    async with at_work(desks, records, transcripts=transcripts) as clerk:
        await clerk.finish(5)

    assert [record.id for record in records.taken] == ["AJ_1", "AJ_2"], "none was sent a second time"
    assert [record.id for record in transcripts.taken] == ["AJ_1", "AJ_2"]


async def test_records_that_nobody_took_are_sent_by_the_next_process_before_its_own(desks: Desks) -> None:
    async with at_work(desks, Sink(refusals=10_000)) as clerk:
        clerk.close_books(["AJ_1", "AJ_2"], lambda _: End.CRASHED)
        async with asyncio.timeout(5):
            while clerk.couriers[0].pending < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await clerk.finish(0)

    sink = Sink()
    async with at_work(desks, sink) as clerk:
        clerk.close_books(["AJ_3"], lambda _: End.CRASHED)
        await clerk.finish(5)

    assert [record.id for record in sink.taken] == ["AJ_1", "AJ_2", "AJ_3"]


async def test_a_record_that_cannot_be_made_does_not_keep_the_others(
    desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(entries: Sequence[Entry], verdict: Verdict, around: Circumstances) -> CallRecord:
        if verdict.id == "AJ_1":
            raise RuntimeError
        return make_record(entries, verdict, around)

    monkeypatch.setattr(clerking, "make_record", stumble)
    sink = Sink()
    async with at_work(desks, sink) as clerk:
        clerk.close_books(["AJ_1", "AJ_2"], lambda _: End.CRASHED)
        await clerk.finish(5)

    assert [record.id for record in sink.taken] == ["AJ_2"]


async def test_a_file_in_the_outbox_that_nobody_can_read_does_not_hold_up_the_others(desks: Desks) -> None:
    def leave_rubbish() -> None:
        desks.outbox.mkdir()
        (desks.outbox / f"{1:020d}.json").write_text("{")

    await asyncio.to_thread(leave_rubbish)
    sink = Sink()
    async with at_work(desks, sink) as clerk:
        clerk.close_books(["AJ_1"], lambda _: End.CRASHED)
        await clerk.finish(5)

    assert [record.id for record in sink.taken] == ["AJ_1"]


async def test_what_records_add_up_to_names_nobody(desks: Desks) -> None:
    registry = CollectorRegistry()
    write_journal(desks, "AJ_1")
    async with at_work(desks, Sink(), registry) as clerk:
        await clerk.finish(5)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"voicefleet_worker_{name}", labels)

    assert value("calls_total", disposition="CallerHungUp") == 1
    assert value("calls_total", disposition="Crashed") == 0
    assert value("tool_calls_total", outcome="done") == 1
    assert value("tokens_total", provider="llm-a", role="Llm", direction="input") == 1000
    assert value("cost_total", provider="stt-a", role="Stt", currency="EUR") == 0.003
    assert value("stage_latency_seconds_count", stage="thinking") == 1
    assert value("stage_latency_seconds_sum", stage="total") == 1.2


async def test_files_on_the_workers_own_disk_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicefleet_worker.records.sinks._LONGEST_FILE_BYTES", 10)
    monkeypatch.setattr("voicefleet_worker.records.sinks._MOST_FILES", 3)
    sink = FileSink(tmp_path / "records")
    record = CallRecord.model_validate(
        {"id": "AJ_1", "agent": AROUND.agent, "beganAt": "", "endedAt": "", "disposition": "Crashed", "reason": ""}
    )
    for number in range(6):
        await sink.take([record.model_copy(update={"id": f"AJ_{number}"})])

    files = await asyncio.to_thread(lambda: sorted(path.name for path in (tmp_path / "records").iterdir()))
    assert files == ["calls-000004.jsonl", "calls-000005.jsonl", "calls-000006.jsonl"]


def test_two_workers_do_not_share_a_folder(tmp_path: Path) -> None:
    held = _lock(tmp_path)
    with pytest.raises(BadInputError, match="another worker"):
        _lock(tmp_path)
    held.close()
    _lock(tmp_path).close()
