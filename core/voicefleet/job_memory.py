"""How much memory calls take: what one may before it is ended for the sake of all others, and what all need."""

from voicefleet.api.voiceagent.worker import Worker
from voicefleet.quantities import bytes_of

# A call takes some hundred MiB; a limit near that would end healthy ones.
_LEAST_MEBIBYTES = 512
_PART_OF_WORKER = 4
# Measured, by `make bench-worker` and in a worker that was killed with 512 MiB at its first call.
_WITHOUT_CALLS_MEBIBYTES = 500
_PER_CALL_MEBIBYTES = 77


def job_memory_limit_mebibytes(worker: Worker) -> int:
    """Return what was asked for, or a quarter of the worker's memory.

    A container that runs out of memory loses all its processes at once (the kubelet sets `memory.oom.group`), and so
    all its calls; the one that grows and grows has to go before that.
    """
    if worker.job_memory_limit_mebibytes is not None:
        return worker.job_memory_limit_mebibytes
    return max(_LEAST_MEBIBYTES, (bytes_of(worker.resources.memory) >> 20) // _PART_OF_WORKER)


def find_want_of_memory(worker: Worker) -> str | None:
    """Say that a full worker does not fit into its memory: its processes are killed, and nothing else tells of that."""
    has, slots = bytes_of(worker.resources.memory) >> 20, worker.sessions_per_worker
    needs = _WITHOUT_CALLS_MEBIBYTES + _PER_CALL_MEBIBYTES * slots
    if has >= needs:
        return None
    return (
        f"{slots} calls at once take some {needs} MiB and worker.resources.memory is {has} MiB, "
        "so the kernel will end calls: make it larger, or worker.sessionsPerWorker smaller"
    )
