"""The clairvoyant bound: what nobody who answers every call can undercut, knowing the whole day ahead.

Calls may even move between workers at will. Then the workers are levels: the j-th is needed while there are more than
(j-1) * slots calls. Each level is a ski rental of its own: over a gap it stays when the gap is shorter than a
start-up, and leaves and starts anew otherwise. The levels nest, so all of them can be at their best at once.
"""

from voicefleet_simulator.trace import Trace


def bound_pod_hours(trace: Trace, *, slots: int, startup_seconds: float) -> float:
    """Return the least pod-hours with which every call of a trace could be answered."""
    needed_seconds = start_seconds = 0.0
    left_at: list[float] = []
    calls = level = 0
    last = 0.0
    for at, change in trace.changes:
        if at >= trace.seconds:
            break
        calls += change
        # 25 calls at 12 a worker: ceil(25 / 12) = 3.
        now_needed = -(-calls // slots)
        if now_needed == level:
            continue
        needed_seconds += level * (at - last)
        last = at
        for place in range(level, now_needed):
            start_seconds += _cost_of_return(left_at, place, at, startup_seconds)
        for place in range(now_needed, level):
            left_at[place] = at
        level = now_needed
    needed_seconds += level * (trace.seconds - last)
    return (needed_seconds + start_seconds) / 3600


def _cost_of_return(left_at: list[float], place: int, at: float, startup_seconds: float) -> float:
    if place == len(left_at):
        left_at.append(at)
        return startup_seconds
    return min(at - left_at[place], startup_seconds)
