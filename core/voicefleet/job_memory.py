"""How much memory a single call may take before it is ended for the sake of all others in its worker."""

from voicefleet.api.voiceagent.worker import Worker
from voicefleet.quantities import bytes_of

# A call takes some hundred MiB; a limit near that would end healthy ones.
_LEAST_MEBIBYTES = 512
_PART_OF_WORKER = 4


def job_memory_limit_mebibytes(worker: Worker) -> int:
    """Return what was asked for, or a quarter of the worker's memory.

    A container that runs out of memory loses all its processes at once (the kubelet sets `memory.oom.group`), and so
    all its calls; the one that grows and grows has to go before that.
    """
    if worker.job_memory_limit_mebibytes is not None:
        return worker.job_memory_limit_mebibytes
    return max(_LEAST_MEBIBYTES, (bytes_of(worker.resources.memory) >> 20) // _PART_OF_WORKER)
