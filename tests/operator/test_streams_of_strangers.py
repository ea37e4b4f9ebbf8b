"""Who is not believed: what a worker says makes no sense, has no end, or comes from another."""

import pytest

from tests.operator.control_port import ADDRESS, KEY, Worker, calls, line, until
from voicefleet_operator.ports import Address
from voicefleet_operator.workers.streams import WorkerStreams


async def test_a_line_that_makes_no_sense_is_passed_over(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.lines.put_nowait(b"{nonsense\n")
    worker.says(calls=3)

    await until(lambda: calls(streams) == 3)
    assert worker.connections == 1


async def test_a_worker_that_refuses_the_token_is_not_heard(worker: Worker, streams: WorkerStreams) -> None:
    worker.says(calls=1)
    streams.follow(KEY, {"uid": Address("voice", "desk-rev-0", "127.0.0.1", "wrong")})

    await streams.settle(5)

    assert calls(streams) is None
    assert streams.problem("uid") == (
        "it answers 'HTTP/1.1 401 Unauthorized' to the operator's token: its own follows from another control key"
    )


async def test_a_worker_that_sends_us_elsewhere_is_not_followed(worker: Worker, streams: WorkerStreams) -> None:
    worker.elsewhere = "/elsewhere"
    streams.follow(KEY, {"uid": ADDRESS})

    await streams.settle(5)

    assert worker.commands == []
    assert calls(streams) is None


@pytest.mark.parametrize(
    ("uid", "words"),
    [
        pytest.param("another", "another pod answers in its place", id="another pod"),
        pytest.param("", "whoever answers does not say which pod it is", id="one that hides who it is"),
    ],
)
async def test_another_pod_at_the_same_address_is_not_believed(
    worker: Worker, streams: WorkerStreams, uid: str, words: str
) -> None:
    """That it is closed and holds no call would let the pod be deleted that has the calls."""
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=0, cordoned=True, pod_uid=uid)
    await until(lambda: worker.connections > 1)
    assert calls(streams) is None
    assert streams.problem("uid") == words

    worker.says(calls=1, pod_uid="uid")
    await until(lambda: calls(streams) == 1)


@pytest.mark.parametrize("uid", ["another", ""])
async def test_what_another_pod_answers_to_a_command_is_not_believed(
    worker: Worker, streams: WorkerStreams, uid: str
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.says(calls=3)
    await until(lambda: calls(streams) == 3)
    worker.answer = line(calls=0, cordoned=True, sequence=2, pod_uid=uid)

    await streams.cordon("uid")

    assert worker.commands == ["/v1/cordon"]
    assert calls(streams) == 3


async def test_a_line_without_end_does_not_make_us_deaf(worker: Worker, streams: WorkerStreams) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.lines.put_nowait(b"x" * 1_000_000)
    worker.lines.put_nowait(b"")
    await until(worker.lines.empty)
    await until(lambda: streams.problem("uid") == "it sends a line without end")
    worker.says(calls=3)

    await until(lambda: calls(streams) == 3)
    assert worker.connections > 1
    assert streams.problem("uid") is None


async def test_a_worker_that_talks_nonsense_for_ever_does_not_fill_the_log(
    worker: Worker, streams: WorkerStreams, caplog: pytest.LogCaptureFixture
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    for _ in range(50):
        worker.lines.put_nowait(b"{nonsense\n")
    worker.says(calls=3)

    await until(lambda: calls(streams) == 3)

    complaints = [record for record in caplog.records if "cannot be read" in record.message]
    assert len(complaints) == 3
    assert complaints[-1].__dict__["no_more_of_this"] is True


async def test_a_worker_that_talks_without_end_is_named_in_the_log_and_dialed_again(
    worker: Worker, streams: WorkerStreams, caplog: pytest.LogCaptureFixture
) -> None:
    streams.follow(KEY, {"uid": ADDRESS})
    worker.lines.put_nowait(line(calls=1) * 5_000)
    await until(lambda: worker.connections == 2)

    complaints = [record.__dict__ for record in caplog.records if record.message == "a worker is not understood"]
    assert [(said["pod"], said["error"]) for said in complaints] == [(ADDRESS.pod, "it sends lines without end")]
    assert calls(streams) == 1
