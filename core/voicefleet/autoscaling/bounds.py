"""From slots to whole workers, between the floors and the ceilings of the spec."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from voicefleet.autoscaling.census import Census
from voicefleet.autoscaling.erlang import blocking
from voicefleet.autoscaling.load import Ceiling, Outlook, Rules, Size
from voicefleet.wording import plural

_MOST_REASONS = 14
_LAST_REASONS = 8
"""The last ones say what binds and what that costs; what gives way are floors, of which there may be dozens."""


@dataclass(frozen=True, slots=True)
class Need:
    """What is wanted before bounds: slots, slots that may stay, workers, and what asks for them."""

    slots: int
    keep_slots: int
    workers: int
    limit: str
    reasons: tuple[str, ...]

    def raised(self, *, reason: str, slots: int = 0, workers: int = 0, limit: str | None = None) -> "Need":
        """Return the same with at least so many slots or workers."""
        return Need(
            slots=max(self.slots, slots),
            keep_slots=max(self.keep_slots, slots),
            workers=max(self.workers, workers),
            limit=limit or self.limit,
            reasons=(*self.reasons, reason),
        )


def bound(need: Need, rules: Rules, census: Census, outlook: Outlook, load: float) -> Size:
    """Return the size that the need comes to; load is the calls held on average, for the cost of a ceiling."""
    by_slots = _workers_for(need.slots, census, rules.slots_per_worker)
    keep = _workers_for(need.keep_slots, census, rules.slots_per_worker)
    reasons = [*need.reasons, *_explain(need, by_slots, census, rules)]
    limit, desired = need.limit, by_slots
    if need.workers > desired:
        limit, desired = "Schedule", need.workers
    if rules.min_workers > desired:
        limit, desired = "Min", rules.min_workers
        reasons.append(f"scaling.min asks for {rules.min_workers}")
    size = Size(desired, limit, tuple(reasons), keep=max(desired, keep), slots=need.slots)
    size = _below_ceilings(size, rules, census, outlook, load)
    return replace(size, surplus=census.open > size.keep)


def shorten(reasons: tuple[str, ...]) -> tuple[str, ...]:
    """Return a chain of reasons that is not too long to be read, with its beginning and its end."""
    if len(reasons) <= _MOST_REASONS:
        return reasons
    first = reasons[: _MOST_REASONS - _LAST_REASONS - 1]
    left_out = len(reasons) - len(first) - _LAST_REASONS
    return (*first, f"{left_out} more reasons", *reasons[-_LAST_REASONS:])


def _workers_for(slots: int, census: Census, slots_per_worker: int) -> int:
    """Return how many workers hold so many slots, silent and overdue ones on top."""
    # A silent worker holds its calls and takes no more, so its calls need no other slot.
    rest = slots - census.silent_calls
    extra = census.silent + census.replaced
    if all(size == slots_per_worker for size in census.sizes):
        return extra + max(0, math.ceil(rest / slots_per_worker))
    needed, index = 0, 0
    while rest > 0 and index < len(census.sizes):
        rest -= census.sizes[index]
        needed, index = needed + 1, index + 1
    return extra + needed + max(0, math.ceil(rest / slots_per_worker))


def _explain(need: Need, by_slots: int, census: Census, rules: Rules) -> Sequence[str]:
    yield_ = [f"{need.slots} slots at {rules.slots_per_worker} a worker need {by_slots}"]
    if census.silent:
        yield_.append(f"{census.silent} silent workers are among them, which count as full")
    if census.overdue:
        yield_.append(f"{plural(census.overdue, 'worker')} should take calls by now; standing in: {census.replaced}")
    return yield_


def lowest_ceiling(rules: Rules, outlook: Outlook) -> Ceiling:
    """Return the ceiling that would bind first."""
    ceilings = (Ceiling("Max", rules.max_workers, f"scaling.max allows {rules.max_workers}"), *outlook.ceilings)
    return min(ceilings, key=lambda ceiling: ceiling.workers)


def _below_ceilings(size: Size, rules: Rules, census: Census, outlook: Outlook, load: float) -> Size:
    lowest = lowest_ceiling(rules, outlook)
    # Also below the workers that hold calls: they end their calls closed. Were those to count, each new worker of a
    # rollout would raise the ceiling as soon as it has a call, and a fleet that is never idle would never come down.
    allowed = lowest.workers
    if allowed >= size.desired:
        return replace(size, keep=max(size.desired, min(size.keep, lowest.workers)))
    refused = blocking(load, allowed * rules.slots_per_worker)
    reasons = [*size.reasons, lowest.reason]
    if beyond := max(0, census.busy - allowed):
        takes = "takes no new ones, and goes" if beyond == 1 else "take no new ones, and go"
        reasons.append(f"{beyond} of {plural(census.busy, 'worker')} with calls {takes} after the last")
    if refused > rules.target_blocked:
        reasons.append(f"at this rate about {refused:.2%} of calls will find no slot")
    return replace(size, desired=allowed, keep=allowed, limit=lowest.limit, reasons=tuple(reasons))
