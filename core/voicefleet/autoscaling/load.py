"""What sizing and packing look at: workers reduced to their calls, the rules, what was learned, what is known ahead.

All moments are seconds of one clock, whichever; the operator and the simulator each bring their own.
"""

from dataclasses import dataclass
from enum import StrEnum

from voicefleet.autoscaling.arrivals import ArrivalRate
from voicefleet.autoscaling.survival import Survival


class Standing(StrEnum):
    """Whether a worker takes calls."""

    OPEN = "open"
    CLOSED = "closed"
    """Cordoned and able to be opened again; its free slots are a reserve that opens at once."""
    STARTING = "starting"


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker: what it holds and what it could hold."""

    name: str
    slots: int
    standing: Standing
    since: float
    """When it was created."""
    calls: tuple[float, ...] = ()
    """When each of its calls began."""
    known: bool = True
    """False: it has fallen silent, and counts as full."""

    @property
    def free(self) -> int:
        """Calls that it could take."""
        return max(0, self.slots - len(self.calls)) if self.known else 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What the spec says about size."""

    slots_per_worker: int
    min_workers: int = 1
    max_workers: int = 10
    target_blocked: float = 0.001
    warm_slots: int = 0
    """Free slots kept at any time on top of what load demands."""
    scale_to_zero: bool = False
    hold_seconds: float = 0.0
    """How long a call that we dispatch may wait for a slot."""
    scale_down_delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Startup:
    """How long a worker takes from its creation to its first call, as measured."""

    mean: float
    q95: float
    q99: float


LOADS_IGNORED = "LiveKit ignores loads below zero: calls are packed as far as that allows, and cost more"
"""The reason that is given for as long as it is so."""
UNWATCHED = "one worker stays, since nobody else would see a call come: "
"""How the reason begins that goes on with why."""
NEWS = (LOADS_IGNORED, UNWATCHED)
"""Beginnings of reasons that are worth being told as soon as they come up."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What the past of a fleet taught, at one moment."""

    arrivals: ArrivalRate
    survival: Survival
    startup: Startup
    headroom: float
    """Standard deviations of headroom (z), as the online correction left it."""
    burst_until: float = float("-inf")
    """Until then a burst is under way: size by the burst's own rate, take nothing away."""
    burst_rate: float = 0.0
    """Calls per second during the burst."""
    seasonal: float = 1.0
    """Expected change of the arrival rate over the next lead, as a factor."""
    fell_at: float | None = None
    """Since when the demand has allowed fewer workers than there are, without a break."""
    loads_ignored: bool = False
    """LiveKit ignores loads below zero: then workers are packed less well, and a canary's share does not hold."""


@dataclass(frozen=True, slots=True)
class KnownCalls:
    """Calls that are known ahead, such as a campaign's: so many, spread evenly over a span."""

    begins_at: float
    seconds: float
    calls: float


@dataclass(frozen=True, slots=True)
class Floor:
    """A schedule's floor that holds now or begins within one lead."""

    name: str
    workers: int = 0
    free_slots: int = 0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A number of workers that may not be exceeded, and what says so: Budget, ProviderQuota."""

    limit: str
    workers: int
    reason: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known besides the calls themselves."""

    known_calls: tuple[KnownCalls, ...] = ()
    waiting: int = 0
    """Calls that wait for a slot at this moment."""
    dispatched: bool = False
    """Calls that waited were dispatched again a moment ago, and are about to begin."""
    watched: bool = False
    """Somebody sees callers who wait even while there is no worker."""
    unwatched: str = ""
    """Why nobody does, if so."""
    floors: tuple[Floor, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()


@dataclass(frozen=True, slots=True)
class Size:
    """How many workers there should be, what binds the number, and the chain of reasons."""

    desired: int
    """Fewer than this, cordoned and starting ones included, and more are opened or created."""
    limit: str
    reasons: tuple[str, ...] = ()
    keep: int = 0
    """More than this, and the surplus is cordoned; never below `desired`."""
    slots: int = 0
    """Slots wanted one lead ahead, before they became whole workers."""
    surplus: bool = False
    """Whether demand allows fewer open workers than there are, whatever delay holds them."""

    def settles_at(self, workers: int, *, starting: int) -> int:
        """Return what becomes of so many workers: fewer than wanted are made up for, more than may stay go.

        Those that start cannot be told to go; whether they may stay is seen when they have come up.
        """
        return max(self.desired, min(workers, max(self.keep, self.desired) + starting))
