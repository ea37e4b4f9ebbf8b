"""What a simulated world is like, apart from the calls and the policy."""

from dataclasses import dataclass

from voicefleet.api.voiceagent.scaling import Scaling

# Out of reach: no real fleet has as many.
NO_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class World:
    """The same for every policy that is compared."""

    slots: int = 12
    startup_seconds: float = 45.0
    startup_sigma: float = 0.2
    """Spread of the start-ups: the standard deviation of their logarithm."""
    hold_seconds: float = float(Scaling().hold_seconds)
    """How long a call that found no slot is tried again before it counts as blocked."""
    target_blocked: float = 0.001
    max_workers: int = NO_LIMIT
    expected_call_seconds: float = 180.0
    """What the spec says about the length of calls before any was measured."""
    target_load: float = 0.7
    """LiveKit's `agents.target_load`, as it is by default."""
    campaigns_known: bool = True
    seed: int = 1


STATUS_SECONDS = 2.5
"""How often a LiveKit worker reports its load."""
PUSH_SECONDS = 0.2
"""How long the operator's word takes to reach a worker, and a worker's refusal to reach the server."""
