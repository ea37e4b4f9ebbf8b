"""One trace, one world, many policies: their figures side by side, and beside the bound."""

from collections.abc import Iterable
from dataclasses import dataclass

from voicefleet_simulator.bound import bound_pod_hours
from voicefleet_simulator.catalogue import Contender
from voicefleet_simulator.outcome import Outcome
from voicefleet_simulator.simulation import simulate
from voicefleet_simulator.trace import Trace
from voicefleet_simulator.world import World


@dataclass(frozen=True, slots=True)
class Figures:
    """What one policy made of the trace."""

    contender: Contender
    outcome: Outcome
    ratio: float | None
    """Pod-hours as a multiple of the bound; nothing when there was nothing to do."""


def bound(trace: Trace, world: World) -> float:
    """Return the clairvoyant bound in pod-hours."""
    return bound_pod_hours(trace, slots=world.slots, startup_seconds=world.startup_seconds)


def play(contender: Contender, trace: Trace, world: World) -> Figures:
    """Run one policy over the trace."""
    outcome = simulate(trace, world, contender.build(world, trace), contender.dispatch)
    least = bound(trace, world)
    return Figures(contender, outcome, outcome.pod_hours / least if least > 0 else None)


def compare(contenders: Iterable[Contender], trace: Trace, world: World) -> list[Figures]:
    """Run each policy over the same trace."""
    return [play(contender, trace, world) for contender in contenders]


def describe(figures: Figures) -> dict[str, object]:
    """Return the figures under the names that the command's JSON uses."""
    outcome = figures.outcome
    return {
        "name": figures.contender.name,
        "dispatch": figures.contender.dispatch.value,
        "pod_hours": round(outcome.pod_hours, 3),
        "ratio": None if figures.ratio is None else round(figures.ratio, 5),
        "blocked_fraction": outcome.blocked_fraction,
        "waited_fraction": outcome.waited_fraction,
        "calls_cut": outcome.cut,
        "p99_wait_seconds": round(outcome.p99_wait_seconds, 3),
        "pods_created": outcome.pods_created,
        "calls": outcome.calls,
        "calls_blocked": outcome.blocked,
        "worst_quarter_hour_blocked_fraction": outcome.worst_quarter_hour,
        "p999_wait_seconds": round(outcome.p999_wait_seconds, 3),
        "peak_pods": outcome.peak_pods,
    }
