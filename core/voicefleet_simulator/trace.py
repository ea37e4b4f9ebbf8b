"""The calls of a day, as they would come if every one of them were answered at once."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from voicefleet.autoscaling.load import KnownCalls


@dataclass(frozen=True, slots=True)
class Trace:
    """Calls in order of their starts; time begins at 0."""

    name: str
    starts: tuple[float, ...]
    durations: tuple[float, ...]
    seconds: float
    """How long the day is: what runs after it is neither billed nor bounded."""
    known: tuple[KnownCalls, ...] = ()
    """What the policy may know ahead."""
    campaign_calls: frozenset[int] = field(default=frozenset(), repr=False)
    """Which calls belong to what is known ahead, by their place in the order."""

    @property
    def changes(self) -> list[tuple[float, int]]:
        """Return each moment at which the number of calls changes; at one moment, ends come first."""
        spans = [(start, start + d) for start, d in zip(self.starts, self.durations, strict=True)]
        # A call too short to move the clock would end before it starts.
        changes = [change for start, end in spans if end > start for change in ((start, 1), (end, -1))]
        changes.sort()
        return changes

    @property
    def peak(self) -> int:
        """Return the highest number of calls at once."""
        now = peak = 0
        for _, change in self.changes:
            now += change
            peak = max(peak, now)
        return peak

    def between(self, begin: float, end: float) -> "Trace":
        """Return the part of the day whose calls start within this span, as a day of its own."""
        calls = (
            Call(start - begin, duration, place in self.campaign_calls)
            for place, (start, duration) in enumerate(zip(self.starts, self.durations, strict=True))
            if begin <= start < end
        )
        known = tuple(replace(known, begins_at=known.begins_at - begin) for known in self.known)
        return build_trace(self.name, calls, seconds=end - begin, known=known)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a trace in the making."""

    start: float
    duration: float
    campaign: bool = False


def build_trace(
    name: str, calls: Iterable[Call], *, seconds: float | None = None, known: tuple[KnownCalls, ...] = ()
) -> Trace:
    """Put calls in order; without a length of the day, it ends with the last call."""
    ordered = sorted(calls, key=lambda call: call.start)
    end = max((call.start + call.duration for call in ordered), default=0.0)
    return Trace(
        name=name,
        starts=tuple(call.start for call in ordered),
        durations=tuple(call.duration for call in ordered),
        seconds=end if seconds is None else seconds,
        known=known,
        campaign_calls=frozenset(place for place, call in enumerate(ordered) if call.campaign),
    )
