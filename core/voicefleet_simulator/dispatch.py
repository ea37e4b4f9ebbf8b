"""How a call finds its worker: LiveKit's own way, the same way with the loads that we choose, or the ideal."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from random import Random

from voicefleet_simulator.pod import Pod
from voicefleet_simulator.world import PUSH_SECONDS

Choice = Callable[[Sequence[Pod], float], Pod | None]

_GLANCES = 16


class Dispatch(StrEnum):
    """Who decides where a call goes."""

    LIVEKIT = "livekit"
    """A stock server: at random, weighted by the room that each worker last reported."""
    PACKED = "packed"
    """The same server; workers report the loads that the operator chooses."""
    CLAMPED = "clamped"
    """Packed, on a server that takes loads below zero for zero."""
    BEST_FIT = "best-fit"
    """The fullest worker with room, without any delay: no server does this, it is for comparison."""


def build_dispatch(kind: Dispatch, random: Random) -> Choice:
    """Return the function that chooses among workers that are ready."""
    match kind:
        case Dispatch.LIVEKIT:
            return lambda pods, now: _draw_spread(pods, now, random)
        case Dispatch.PACKED:
            return lambda pods, now: _draw(pods, [_preference(pod, now) for pod in pods], now, random)
        case Dispatch.CLAMPED:
            return lambda pods, now: _draw(pods, [min(1.0, _preference(pod, now)) for pod in pods], now, random)
        case Dispatch.BEST_FIT:
            return _choose_fullest


def _spread(pod: Pod, now: float) -> float:
    if now >= pod.closed_at + PUSH_SECONDS:
        return 0.0
    return 1.0 - pod.shown_calls(now) / pod.slots


def _preference(pod: Pod, now: float) -> float:
    # A worker that is full or closed says so at once, and not only with its next status.
    if len(pod.calls) >= pod.slots or now >= pod.closed_at + PUSH_SECONDS or now < pod.room_since + PUSH_SECONDS:
        return 0.0
    return max(0.0, 1.0 - pod.shown_load(now))


def _draw_spread(pods: Sequence[Pod], now: float, random: Random) -> Pod | None:
    """Draw by the room that workers show.

    A glance at any one of them, which counts as often as its weight is large, draws by the very same odds as the
    weights of all; so these are asked for only where many glances found nobody.
    """
    refused = set[Pod]()
    for _ in range(_GLANCES if pods else 0):
        at = random.random() * len(pods)
        pod = pods[int(at)]
        if at % 1.0 < _spread(pod, now) and pod not in refused:
            if not pod.refuses(now):
                return pod
            refused.add(pod)
    return _draw(pods, [0.0 if pod in refused else _spread(pod, now) for pod in pods], now, random)


def _draw(pods: Sequence[Pod], weights: list[float], now: float, random: Random) -> Pod | None:
    """Draw by weight; whoever refuses is put aside and the draw repeated, as the server does."""
    while (total := sum(weights)) > 0:
        place = _find(weights, random.random() * total)
        if not pods[place].refuses(now):
            return pods[place]
        weights[place] = 0.0
    return None


def _find(weights: Sequence[float], left: float) -> int:
    last = 0
    for place, weight in enumerate(weights):
        if weight > 0:
            left -= weight
            last = place
            if left < 0:
                break
    return last


def _choose_fullest(pods: Sequence[Pod], now: float) -> Pod | None:
    fullest: Pod | None = None
    for pod in pods:
        if not pod.refuses(now) and (fullest is None or len(pod.calls) > len(fullest.calls)):
            fullest = pod
    return fullest
