"""How much memory one call may take."""

import pytest

from voicefleet.api.voiceagent.worker import Worker
from voicefleet.job_memory import job_memory_limit_mebibytes
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
