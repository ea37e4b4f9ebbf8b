"""A courier gives nobody up: not the sink, and not the record that the sink does not want."""

import asyncio
import errno
from pathlib import Path

import pytest

from tests.core.test_records import AROUND, CALL
from tests.worker.records.at_work import FOR_EVER, Sink, at_work, finish, until
from voicefleet.records.ends import End
from voicefleet.records.making import Verdict, make_record
from voicefleet.records.record import CallRecord
from voicefleet_worker.records import pauses
from voicefleet_worker.records.clerk import Desks
from voicefleet_worker.records.outbox import Outbox

THREE = ["AJ_0", "AJ_1", "AJ_2"]


def record(number: int) -> CallRecord:
    return make_record(CALL, Verdict(f"AJ_{number}", 0), AROUND)


def fill(desks: Desks, count: int) -> list[Path]:
    """Leave so many records in the outbox, as a process does that has ended."""
    outbox = Outbox(desks.outbox)
    for number in range(count):
        outbox.put(record(number))
    return sorted(desks.outbox.glob("*.json"))


def files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.glob("*"))


async def test_a_sink_that_is_away_in_the_middle_gets_the_rest_and_nothing_twice(desks: Desks) -> None:
    await asyncio.to_thread(fill, desks, 3)

    class Tired(Sink):
        async def take(self, records: object) -> None:  # type: ignore[override]
            if len(self.taken) == 1 and self.asked.count("AJ_1") < 4:
                self.away = 1
            await super().take(records)  # type: ignore[arg-type]

    sink = Tired(at_once=1)
    async with at_work(desks, sink) as clerk:
        await finish(clerk)

    assert sink.ids == THREE
    assert sink.asked.count("AJ_0") == 1


async def test_a_record_that_is_refused_for_good_is_put_aside_and_the_others_go_on_in_order(
    desks: Desks, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(fill, desks, 3)
    sink = Sink(unwanted=["AJ_1"], at_once=1)
    async with at_work(desks, sink) as clerk:
        (courier,) = clerk.couriers
        await until(lambda: courier.pending == 0)
        assert courier.refused == 1
        assert sink.asked == ["AJ_0", *["AJ_1"] * 5, "AJ_2"], "once is not for good"
        assert await asyncio.to_thread(files, desks.outbox / "refused") == 1
        await finish(clerk)

    assert sink.ids == ["AJ_0", "AJ_2"]
    refused = [log.__dict__["id"] for log in caplog.records if "was refused" in log.message]
    assert refused[0] == "AJ_1"
    assert [log.__dict__["records"] for log in caplog.records if log.message == "call records were refused"] == [1]


async def test_a_worker_that_leaves_asks_once_more_about_what_was_refused(desks: Desks) -> None:
    """A receiver that was mended meanwhile gets all; the disk with the folder may go with the pod."""
    await asyncio.to_thread(fill, desks, 3)
    sink = Sink(unwanted=THREE, at_once=1)
    async with at_work(desks, sink) as clerk:
        await until(lambda: clerk.couriers[0].refused == 3)
        sink.unwanted = ["AJ_1"]
        await finish(clerk)
        assert (clerk.couriers[0].pending, clerk.couriers[0].refused) == (0, 1)

    assert sink.ids == ["AJ_0", "AJ_2"]


async def test_what_was_refused_is_still_there_for_the_next_process(desks: Desks) -> None:
    await asyncio.to_thread(fill, desks, 1)
    async with at_work(desks, Sink(unwanted=["AJ_0"], at_once=1)) as clerk:
        await until(lambda: clerk.couriers[0].refused == 1)
    async with at_work(desks, Sink()) as clerk:
        assert (clerk.couriers[0].pending, clerk.couriers[0].refused) == (0, 1)


async def test_whatever_a_sink_raises_ends_nobodys_work(desks: Desks, caplog: pytest.LogCaptureFixture) -> None:
    records, transcripts = Sink(), Sink()
    records.bugs = [KeyError("a bug"), ValueError("another")]
    async with at_work(desks, records, transcripts=transcripts) as clerk:
        clerk.close_books(["AJ_0", "AJ_1"], lambda _: End.CRASHED)
        await until(lambda: len(transcripts.taken) == 2)
        await finish(clerk)

    assert records.ids == ["AJ_0", "AJ_1"]
    assert [log.exc_info[0] for log in caplog.records if log.exc_info] == [KeyError, ValueError]


async def test_a_worker_that_leaves_wakes_a_courier_from_a_long_pause(
    desks: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []

    def pause(_failures: int, longest_seconds: float) -> float:
        rests.append(longest_seconds)
        return longest_seconds / 100 if longest_seconds < 30 else 3600

    monkeypatch.setattr(pauses, "pause_seconds", pause)
    sink = Sink(away=4)
    async with at_work(desks, sink) as clerk:
        clerk.close_books(["AJ_0"], lambda _: End.CRASHED)
        await until(lambda: rests == [30])
        await finish(clerk)

    assert sink.ids == ["AJ_0"]
    assert rests == [30, 1, 1, 1], "after the first it rests for a second and no longer"


async def test_a_courier_with_nothing_to_bring_keeps_nobody(desks: Desks) -> None:
    async with at_work(desks, Sink(away=FOR_EVER)) as clerk:
        async with asyncio.timeout(3):
            await finish(clerk, 3600)


async def test_a_file_that_is_no_record_is_put_aside_and_said(desks: Desks, caplog: pytest.LogCaptureFixture) -> None:
    first, *_ = await asyncio.to_thread(fill, desks, 3)
    await asyncio.to_thread(first.write_text, "{")
    sink = Sink()
    async with at_work(desks, sink) as clerk:
        await finish(clerk)
        assert clerk.couriers[0].pending == 0

    assert sink.ids == ["AJ_1", "AJ_2"]
    said = [(log.levelname, log.__dict__["file"]) for log in caplog.records if "is no record" in log.message]
    assert said == [("ERROR", first.name)]
    assert await asyncio.to_thread(first.with_suffix(".unreadable").exists)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO], ids=["too many open files", "a disk that fails"])
async def test_a_file_that_cannot_be_read_now_is_read_later_and_in_its_turn(
    desks: Desks, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    kept = await asyncio.to_thread(fill, desks, 3)
    read, failures = Path.read_bytes, 3

    def fail(path: Path) -> bytes:
        nonlocal failures
        if path == kept[1] and failures:
            failures -= 1
            raise OSError(number, "not now")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    sink = Sink()
    async with at_work(desks, sink) as clerk:
        await finish(clerk)

    assert sink.ids == THREE
    assert failures == 0


def test_what_a_full_disk_has_no_room_for_does_not_fill_it(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    outbox = Outbox(desks.outbox)
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        outbox.put(record(0))

    assert list(desks.outbox.iterdir()) == []
