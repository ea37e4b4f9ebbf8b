"""No record is lost, whoever dies and whoever does not listen, and they come in order."""

import asyncio
import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.core.test_records import AROUND
from tests.worker.records.at_work import FOR_EVER, Sink, at_work, finish, no_file_longer_than, until, write_journal
from voicefleet.records.ends import Disposition, End
from voicefleet.records.journal import Entry
from voicefleet.records.making import Circumstances, Verdict, make_record
from voicefleet.records.record import CallRecord
from voicefleet_worker.records import clerk as clerking
from voicefleet_worker.records.clerk import Desks
from voicefleet_worker.records.outbox import Outbox
from voicefleet_worker.records.sinks import FileSink, NotTakenError


async def test_a_call_that_is_over_has_one_record_and_its_journal_is_gone(desks: Desks) -> None:
    write_journal(desks, "AJ_1")
    sink = Sink()
    async with at_work(desks, sink) as clerk:
        # What lies there when the clerk begins is what another process left.
        await finish(clerk)

    assert [(record.id, record.disposition) for record in sink.taken] == [("AJ_1", Disposition.CALLER_HUNG_UP)]
    assert await asyncio.to_thread(lambda: [*desks.journals.iterdir(), *desks.outbox.iterdir()]) == []


async def test_a_clerk_is_not_done_while_its_disk_holds_a_record_that_nobody_has(desks: Desks) -> None:
    sink = Sink(away=FOR_EVER)
    async with at_work(desks, sink) as clerk:
        assert clerk.is_done
        clerk.close_books(["AJ_1"], lambda _: End.CRASHED)
        assert not clerk.is_done, "not even before it is made"
        await until(lambda: bool(sink.asked))
        assert not clerk.is_done
        sink.away = 0
        await finish(clerk)

        assert clerk.is_done


async def test_a_clerk_is_not_done_while_a_refused_record_waits_for_a_person(desks: Desks) -> None:
    sink = Sink(unwanted=["AJ_1"])
    async with at_work(desks, sink) as clerk:
        clerk.close_books(["AJ_1"], lambda _: End.CRASHED)
        await finish(clerk)

        assert clerk.couriers[0].pending == 0
        assert not clerk.is_done


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
        await finish(clerk)

    assert [(record.id, record.disposition) for record in sink.taken] == [("AJ_9", disposition)]


async def test_records_wait_for_a_sink_that_is_away_and_come_in_order(desks: Desks) -> None:
    sink = Sink(away=3)
    async with at_work(desks, sink) as clerk:
        for number in range(5):
            clerk.close_books([f"AJ_{number}"], lambda _: End.CRASHED)
        await finish(clerk)

    assert sink.ids == [f"AJ_{number}" for number in range(5)]


async def test_a_store_of_transcripts_that_is_away_holds_up_no_record_and_gets_its_own_later(desks: Desks) -> None:
    records = Sink()
    async with at_work(desks, records, transcripts=Sink(away=FOR_EVER)) as clerk:
        clerk.close_books(["AJ_1", "AJ_2"], lambda _: End.CRASHED)
        await until(lambda: clerk.couriers[0].pending == 0)
        await finish(clerk, 0.05)
        assert [(courier.cargo, courier.pending) for courier in clerk.couriers] == [("records", 0), ("transcripts", 2)]
    transcripts = Sink()
    async with at_work(desks, records, transcripts=transcripts) as clerk:
        await finish(clerk)

    assert records.ids == ["AJ_1", "AJ_2"], "none was sent a second time"
    assert transcripts.ids == ["AJ_1", "AJ_2"]


async def test_records_that_nobody_took_are_sent_by_the_next_process_before_its_own(desks: Desks) -> None:
    async with at_work(desks, Sink(away=FOR_EVER)) as clerk:
        clerk.close_books(["AJ_1", "AJ_2"], lambda _: End.CRASHED)
        # What waits may be counted twice for a moment: found on the disk, and told of after that. And a record whose
        # journal is still there would be made, and sent, a second time.
        await until(lambda: clerk.couriers[0].owed == 0 and not any(desks.journals.iterdir()))
        await finish(clerk, 0)

    sink = Sink()
    async with at_work(desks, sink) as clerk:
        clerk.close_books(["AJ_3"], lambda _: End.CRASHED)
        await finish(clerk)

    assert sink.ids == ["AJ_1", "AJ_2", "AJ_3"]


class Stumble:
    """Makes records, but that of one call only when it has failed for so many times."""

    def __init__(self, job_id: str, times: int) -> None:
        self.job_id = job_id
        self.times = times

    def __call__(self, entries: Sequence[Entry], verdict: Verdict, around: Circumstances) -> CallRecord:
        if verdict.id == self.job_id and self.times:
            self.times -= 1
            raise RuntimeError
        return make_record(entries, verdict, around)


async def test_a_record_that_cannot_be_made_is_tried_again_and_does_not_keep_the_others(
    desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clerking, "make_record", Stumble("AJ_1", 3))
    sink = Sink()
    async with at_work(desks, sink) as clerk:
        clerk.close_books(["AJ_1", "AJ_2"], lambda _: End.CRASHED)
        await finish(clerk)

    assert sink.ids == ["AJ_2", "AJ_1"]


async def test_a_record_that_was_never_made_is_counted_and_its_loss_is_said(
    desks: Desks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clerking, "make_record", Stumble("AJ_1", FOR_EVER))
    async with at_work(desks, Sink()) as clerk:
        clerk.close_books(["AJ_1"], lambda _: End.CRASHED)
        await finish(clerk, 0.3)
        assert clerk.couriers[0].pending == 1

    lost = [log.__dict__["records"] for log in caplog.records if log.message.endswith("could not be sent")]
    assert lost == [1]
    tries = [log.__dict__["tries"] for log in caplog.records if log.message.endswith("cannot be kept yet")]
    assert tries[:3] == [1, 2, 4], "it is said at once, and then more and more rarely"


class FullDisk:
    """Lets nobody keep anything in some folder until there is room again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.is_full = True
        keep = Outbox.put

        def put(outbox: Outbox, record: CallRecord) -> None:
            if self.is_full and outbox._directory == folder:
                raise OSError(errno.ENOSPC, "No space left on device")
            keep(outbox, record)

        monkeypatch.setattr(Outbox, "put", put)


async def test_a_disk_that_has_no_room_for_one_copy_holds_up_no_other_and_gets_its_own_later(
    desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, transcripts, registry = Sink(), Sink(), CollectorRegistry()
    disk = FullDisk(monkeypatch, desks.transcripts)
    async with at_work(desks, records, registry, transcripts=transcripts) as clerk:
        await asyncio.to_thread(write_journal, desks, "AJ_1")
        clerk.close_books(["AJ_1"], lambda _: End.CRASHED)
        await until(lambda: clerk.couriers[0].pending == 0)
        assert records.ids == ["AJ_1"]
        assert [(courier.cargo, courier.pending) for courier in clerk.couriers] == [("records", 0), ("transcripts", 1)]
        assert await asyncio.to_thread(lambda: [*desks.journals.iterdir()]), "it goes last"
        disk.is_full = False
        await finish(clerk)

    assert (records.ids, transcripts.ids) == (["AJ_1"], ["AJ_1"])
    assert await asyncio.to_thread(lambda: [*desks.journals.iterdir()]) == []
    assert registry.get_sample_value("voicefleet_worker_calls_total", {"disposition": "CallerHungUp"}) == 1


@pytest.mark.parametrize("written", [0, 5], ids=["died before it wrote a word", "killed in the middle of a line"])
async def test_a_record_that_the_next_process_makes_again_is_the_same_one(
    desks: Desks, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Whoever counts money by id must not find two stories under it."""
    records, transcripts = Sink(), Sink()
    disk = FullDisk(monkeypatch, desks.transcripts)
    async with at_work(desks, records, transcripts=transcripts) as clerk:
        if written:
            await asyncio.to_thread(write_journal, desks, "AJ_1", written)
            await asyncio.to_thread(tear_last_line, desks)
        clerk.close_books(["AJ_1"], lambda _: End.CUT)
        await until(lambda: len(records.taken) == 1)
    disk.is_full = False
    async with at_work(desks, records, transcripts=transcripts) as clerk:
        await finish(clerk)

    # The first process may have died before it noted that it was taken.
    first, *again = records.taken
    assert first.disposition == Disposition.CUT
    assert again == [first] * len(again) != []
    assert transcripts.taken == [first]


def tear_last_line(desks: Desks) -> None:
    """Leave it as a process does that is killed while it writes."""
    (journal,) = desks.journals.iterdir()
    journal.write_bytes(journal.read_bytes()[:-9])


async def test_what_records_add_up_to_names_nobody(desks: Desks) -> None:
    registry = CollectorRegistry()
    write_journal(desks, "AJ_1")
    async with at_work(desks, Sink(), registry) as clerk:
        await finish(clerk)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"voicefleet_worker_{name}", labels)

    assert value("calls_total", disposition="CallerHungUp") == 1
    assert value("calls_total", disposition="Crashed") == 0
    assert value("tool_calls_total", outcome="done") == 1
    assert value("tokens_total", provider="llm-a", role="Llm", direction="input") == 1000
    assert value("interruptions_total") == 1
    assert value("characters_total", provider="tts-a", role="Tts") == 17
    assert value("audio_seconds_total", provider="stt-a", role="Stt") == 30
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


async def test_what_a_full_disk_has_torn_costs_no_record_that_comes_after(tmp_path: Path) -> None:
    sink, file = FileSink(tmp_path / "records"), tmp_path / "records" / "calls-000001.jsonl"
    first, second = (
        CallRecord.model_validate(
            {"id": id_, "agent": AROUND.agent, "beganAt": "", "endedAt": "", "disposition": "Crashed", "reason": ""}
        )
        for id_ in ("AJ_1", "AJ_2")
    )
    await sink.take([first])
    whole = await asyncio.to_thread(file.read_bytes)
    with no_file_longer_than(len(whole) + 20), pytest.raises(NotTakenError):
        await sink.take([second])
    torn = await asyncio.to_thread(file.read_bytes)
    await sink.take([second])

    assert len(torn) == len(whole) + 20, "the disk has taken a part of it"
    lines = (await asyncio.to_thread(file.read_bytes)).splitlines()
    assert [json.loads(line)["id"] for line in lines if line.endswith(b"}")] == ["AJ_1", "AJ_2"]
