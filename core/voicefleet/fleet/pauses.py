"""When to look at an agent again to which nothing happens."""

from datetime import datetime, timedelta

from voicefleet.fleet.callers import next_look
from voicefleet.fleet.size import CLOCK_TICK, decides_by_load
from voicefleet.fleet.steps import AgentSeen, AgentSteps, scene_of

# Demand is looked at again so often while it may fall or rise by time alone; calls that come and go are told at once.
_TICK = timedelta(seconds=5)


def look_again_after(seen: AgentSeen, steps: AgentSteps, *, now: datetime) -> timedelta | None:
    """Return when time alone may change the decision."""
    looks = [steps.fleet.look_again_after, steps.rollout.next_look if steps.rollout else None]
    looks += [seen.ended_lately.look_again_after, steps.lookout.look_again_after]
    if seen.agent.metadata.deletion_timestamp is None:
        looks.append(_next_look(seen, steps, now))
    if steps.size is not None and decides_by_load(seen.agent.spec):
        least = seen.agent.spec.scaling.min
        moving = seen.fleet.calls(now) > 0 or steps.size.keep > least or len(seen.fleet.workers) > least
        # Without a worker or a watchman, a call would not be seen: one worker starts as soon as that is sure.
        looks.append(_TICK if moving or (seen.watched and seen.lookout.watchman is None) else None)
        by_clock = seen.agent.spec.scaling.schedules or seen.agent.spec.scaling.budget
        looks.append(CLOCK_TICK if by_clock else None)
    times = [look for look in looks if look is not None]
    return min(times, default=None)


def _next_look(seen: AgentSeen, steps: AgentSteps, now: datetime) -> timedelta | None:
    looked = seen.callers.with_look(now, steps.look.pod.uid) if steps.look else seen.callers
    return next_look(scene_of(seen, looked), now)
