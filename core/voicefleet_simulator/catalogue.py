"""Everything that can be compared, by name: our policy, and the baselines as shipped and as tuned."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

from voicefleet_simulator.baselines.buffers import AgonesBuffer, Buffer, PipecatRule, fixed, percentage
from voicefleet_simulator.baselines.deployment import StaticPeak
from voicefleet_simulator.baselines.erlang_b import ErlangB
from voicefleet_simulator.baselines.hpa import Hpa, by_calls_per_pod, by_total
from voicefleet_simulator.baselines.knative import Kpa
from voicefleet_simulator.baselines.predictive import Predictive
from voicefleet_simulator.dispatch import Dispatch
from voicefleet_simulator.ours import Voicefleet
from voicefleet_simulator.policy import Policy
from voicefleet_simulator.trace import Trace
from voicefleet_simulator.world import World

OURS = "voicefleet"
# A worker that holds as many calls as it has slots uses 70 % of its CPU; so 17.2 calls would be all of it at 12 slots.
CPU_AT_FULL = 12 / 17.2
HEADROOMS = (0.84, 1.28, 1.65, 2.0, 2.33, 2.7, 3.09, 3.7)


Build = Callable[[World, Trace], Policy]


@dataclass(frozen=True, slots=True)
class Contender:
    """One policy with one way of dispatch."""

    name: str
    dispatch: Dispatch
    about: str
    build: Build
    on_request: bool = False
    """Played only when its name was asked for: it differs from another one in details."""


def _ours() -> Iterator[Contender]:
    packed, spread = "packing by the loads that workers report", "with LiveKit's own spread"
    yield Contender(OURS, Dispatch.PACKED, f"this operator, {packed}", _voicefleet(Dispatch.PACKED))
    yield Contender(
        OURS, Dispatch.LIVEKIT, f"this operator's size and cordons, {spread}", _voicefleet(Dispatch.LIVEKIT)
    )


def _voicefleet(dispatch: Dispatch, headroom: float | None = None) -> Build:
    return lambda world, trace: Voicefleet(world, trace, dispatch, headroom=headroom)


def _hpa_by_cpu() -> Iterator[Contender]:
    for percent in (50, 60, 70):
        build = _hpa(percent / 100 / CPU_AT_FULL)
        yield Contender(f"hpa-cpu-{percent}", Dispatch.LIVEKIT, f"HPA on CPU at {percent} %", build)


def _hpa_by_sessions() -> Iterator[Contender]:
    for percent, costs, grace in product((50, 70, 80, 90), (False, True), (600, 1260, 3600)):
        build = _hpa(percent / 100, deletion_cost=costs, grace_seconds=float(grace))
        name = f"hpa-sessions-{percent}{'-cost' if costs else ''}{f'-grace-{grace}' if grace != 600 else ''}"
        about = f"HPA on sessions at {percent} % of the slots, grace {grace} s{', deletion cost' if costs else ''}"
        yield Contender(name, Dispatch.LIVEKIT, about, build, on_request=grace != 600)


def _hpa(share: float, *, deletion_cost: bool = False, grace_seconds: float = 600.0) -> Build:
    return lambda world, _: Hpa(
        by_calls_per_pod(share * world.slots), deletion_cost=deletion_cost, grace_seconds=grace_seconds
    )


def _keda() -> Iterator[Contender]:
    # A target as large as a worker is what the documentation suggests; within the tolerance it stops growing.
    for name, share in (("keda-full", 1.0), ("keda-83", 10 / 12)):
        about = f"KEDA: calls and two workers' slots, over {share:.0%} of a worker's slots"
        yield Contender(name, Dispatch.LIVEKIT, about, _keda_over(share))


def _keda_over(share: float) -> Build:
    return lambda world, _: Hpa(by_total(share * world.slots, 2.0 * world.slots))


def _knative() -> Iterator[Contender]:
    yield Contender("kpa", Dispatch.LIVEKIT, "Knative KPA as shipped", lambda world, _: Kpa(world.slots))
    yield Contender(
        "kpa-delay-10m",
        Dispatch.LIVEKIT,
        "Knative KPA, scale-down delay 10 min",
        lambda world, _: Kpa(world.slots, down_delay_seconds=600.0),
    )


def _agones() -> Iterator[Contender]:
    for dispatch in (Dispatch.LIVEKIT, Dispatch.BEST_FIT):
        for percent in (5, 8, 12, 16, 20):
            about = f"Agones, {percent} % of the slots free"
            yield Contender(f"agones-{percent}-percent", dispatch, about, _agones_with(percentage(percent)))
        for slots in (24, 36, 60):
            yield Contender(
                f"agones-{slots}-slots", dispatch, f"Agones, {slots} slots free", _agones_with(fixed(slots))
            )


def _agones_with(buffer: Buffer) -> Build:
    return lambda world, _: AgonesBuffer(buffer, world.slots)


def _others() -> Iterator[Contender]:
    yield Contender(
        "pipecat",
        Dispatch.BEST_FIT,
        "Pipecat Cloud's rule: as many warm as active",
        lambda world, _: PipecatRule(world.slots),
    )
    yield Contender(
        "erlang-b",
        Dispatch.BEST_FIT,
        "Erlang-B on the offered load one start-up ahead",
        lambda world, _: ErlangB(world),
    )
    yield Contender(
        "aws-predictive",
        Dispatch.LIVEKIT,
        "AWS predictive scaling beside an HPA on CPU at 50 %; from the second day of a trace on",
        lambda world, _: Predictive(50 / 100 / CPU_AT_FULL * world.slots),
    )
    yield Contender(
        "static-peak",
        Dispatch.LIVEKIT,
        "workers for the day's peak, all day",
        lambda world, trace: StaticPeak(trace.peak, world.slots),
    )


def frontier() -> tuple[Contender, ...]:
    """Return our policy at fixed headrooms, in standard deviations, for the curve of cost against loss."""
    return tuple(
        Contender(
            f"{OURS} z={headroom}",
            Dispatch.PACKED,
            f"this operator at a headroom of {headroom} standard deviations",
            _voicefleet(Dispatch.PACKED, headroom),
        )
        for headroom in HEADROOMS
    )


CONTENDERS = (*_ours(), *_hpa_by_cpu(), *_hpa_by_sessions(), *_keda(), *_knative(), *_agones(), *_others())


def pick(patterns: list[str]) -> tuple[Contender, ...]:
    """Return the contenders whose names match any of the patterns, such as `hpa-*`; without one, the usual ones."""
    if not patterns:
        return tuple(c for c in CONTENDERS if not c.on_request)
    return tuple(c for c in CONTENDERS if any(fnmatchcase(c.name, pattern) for pattern in patterns))
