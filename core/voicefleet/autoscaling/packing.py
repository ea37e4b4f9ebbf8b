"""Which load each worker reports to LiveKit, so that the fullest worker with room is filled first and others empty.

LiveKit picks at random with weight 1 - load, and asks another worker when one refuses. A load far below zero is
therefore a preference, and grades of it are an order.
"""

from collections.abc import Sequence

from voicefleet.autoscaling.load import Lessons, Standing, WorkerLoad

GRADES = (-1e12, -1e10, -1e8, -1e6, -1e4)
"""Loads of the workers to be filled first, second and so on; a hundred to one is as good as always."""
REST = 0.0
"""Load of all others; still below whatever threshold a server knows."""
LAG_SECONDS = 0.5
"""How long calls may go to a worker after it should no longer be the first: a turn, a word to it, its word on."""


def plan_loads(workers: Sequence[WorkerLoad], lessons: Lessons, now: float) -> dict[str, float]:
    """Return the load that each open worker should report.

    A full one is told as well: the server hears of its next free slot from itself, and has it filled before any other.
    """
    del now
    free_slots = [(worker.free, worker.since, worker.name) for worker in workers if worker.standing is Standing.OPEN]
    free_slots.sort()
    # A grade must hold the calls that arrive before the server hears of a change, or they are refused one by one.
    room = lessons.arrivals.per_second * LAG_SECONDS
    loads: dict[str, float] = {}
    grade, taken = 0, 0
    for free, _, name in free_slots:
        loads[name] = GRADES[grade] if grade < len(GRADES) else REST
        taken += free
        if taken > room:
            grade, taken = grade + 1, 0
    return loads
