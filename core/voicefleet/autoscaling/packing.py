"""Which load each worker reports to LiveKit, so that the fullest worker with room is filled first and others empty.

LiveKit picks at random with weight 1 - load, and asks another worker when one refuses. A load far below zero is
therefore a preference, and grades of it are an order. A server that takes loads below zero for zero sees no order
among them; there only what the others report above zero makes a difference, and that may not be much.
"""

import math
from collections.abc import Sequence

from voicefleet.autoscaling.load import Lessons, Standing, WorkerLoad

GRADES = (-1e12, -1e10, -1e8, -1e6, -1e4)
"""Loads of the workers to be filled first, second and so on; a hundred to one is as good as always."""
REST = 0.0
"""Load of all others."""
OWN_FORMULA = -1.0
"""The least that a worker reports by itself while it is told nothing: empty."""
LAG_SECONDS = 0.5
"""How long calls may go to a worker after it should no longer be the first: a turn, a word to it, its word on."""
_JUST_UNDER = 0.98
"""LiveKit takes a worker at its target load for one without room, and loses the call if there is no other."""
_MOST_GRADES_IF_IGNORED = 3


def choose_rest(lessons: Lessons, target_load: float) -> float:
    """Return the load of those that should get a call only if nobody else has a slot.

    Where loads below zero are ignored it is as high as the server's `agents.target_load` lets it be: at 0.7 a worker
    at rest gets 0.314 calls for each one that a favourite gets, at 1.0 it gets 0.02, and at zero it would get 1.
    """
    return _JUST_UNDER * target_load if lessons.loads_ignored else REST


def plan_loads(workers: Sequence[WorkerLoad], lessons: Lessons, now: float, *, rest: float = REST) -> dict[str, float]:
    """Return the load that each open worker should report.

    A full one is told as well: the server hears of its next free slot from itself, and has it filled before any other.
    """
    del now
    free_slots = [(worker.free, worker.since, worker.name) for worker in workers if worker.standing is Standing.OPEN]
    free_slots.sort()
    # A grade must hold the calls that arrive before the server hears of a change, or they are refused one by one.
    room = lessons.arrivals.per_second * LAG_SECONDS
    grades = _few_grades(sum(free > 0 for free, _, _ in free_slots)) if lessons.loads_ignored else GRADES
    loads: dict[str, float] = {}
    grade, taken = 0, 0
    for free, _, name in free_slots:
        loads[name] = grades[grade] if grade < len(grades) else rest
        taken += free
        if taken > room:
            grade, taken = grade + 1, 0
    return loads


def _few_grades(with_room: int) -> Sequence[float]:
    """Return the grades for a server that sees no difference between them: whoever asks takes calls from the fullest.

    Measured at peaks of 30, 120 and 560 calls: one is best for three workers, three for ten and more.
    """
    return GRADES[: max(1, min(_MOST_GRADES_IF_IGNORED, math.ceil(with_room / 3)))]
