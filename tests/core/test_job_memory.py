"""How much memory one call may take."""

import pytest

from voicefleet.api.voiceagent.worker import Worker
from voicefleet.job_memory import find_want_of_memory, job_memory_limit_mebibytes
from voicefleet.quantities import bytes_of


@pytest.mark.parametrize(
    ("memory", "asked_for", "limit"),
    [
        pytest.param("8Gi", None, 2048, id="a quarter of the worker"),
        pytest.param("1Gi", None, 512, id="never so little that a healthy call would be ended"),
        pytest.param("8G", None, 1907, id="whole mebibytes of a size in decimal units"),
        pytest.param("8Gi", 300, 300, id="what was asked for, less"),
        pytest.param("8Gi", 4000, 4000, id="what was asked for, more"),
    ],
)
def test_a_call_may_take_so_much(memory: str, asked_for: int | None, limit: int) -> None:
    worker = Worker.model_validate({"resources": {"memory": memory}, "jobMemoryLimitMebibytes": asked_for})

    assert job_memory_limit_mebibytes(worker) == limit


def test_by_default_one_that_grows_leaves_the_others_their_memory() -> None:
    worker = Worker()
    room = (bytes_of(worker.resources.memory) >> 20) - job_memory_limit_mebibytes(worker)

    assert room / (worker.sessions_per_worker - 1) > 400, "MiB for each of the other calls"


@pytest.mark.parametrize(
    ("memory", "slots", "fits"),
    [
        pytest.param("8Gi", 12, True, id="the default"),
        pytest.param("2Gi", 12, True, id="the demo"),
        pytest.param("577Mi", 1, True, id="just enough for one"),
        pytest.param("576Mi", 1, False, id="a little less"),
        pytest.param("512Mi", 12, False, id="a worker of which every call was killed"),
        pytest.param("8Gi", 200, False, id="room for a hundred of two hundred"),
    ],
)
def test_a_worker_whose_calls_do_not_fit_is_told_of_before_they_are_killed(
    memory: str, slots: int, *, fits: bool
) -> None:
    words = find_want_of_memory(Worker.model_validate({"resources": {"memory": memory}, "sessionsPerWorker": slots}))

    assert (words is None) == fits
    assert fits or "worker.sessionsPerWorker" in str(words)
