"""What a policy is to the simulation: it looks every so often, and acts on the workers."""

from collections.abc import Sequence
from typing import Protocol

from voicefleet_simulator.pod import Pod


class Controls(Protocol):
    """What a policy may see and do."""

    @property
    def pods(self) -> Sequence[Pod]:
        """Workers that are not on their way out, the oldest first."""

    @property
    def calls_now(self) -> int:
        """Calls that are held, on whichever worker."""

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""

    def call_seconds(self, now: float) -> float:
        """Return the seconds of calls up to now, all added up."""

    def create(self, count: int) -> None:
        """Create workers."""

    def delete(self, pod: Pod) -> None:
        """Send SIGTERM: no new call, and the end when its calls or its grace are over."""


class Policy:
    """Decides about the fleet. Those who learn from single calls override what they listen to."""

    period_seconds: float = 15.0
    grace_seconds: float = 600.0
    hurries: bool = False
    """Wants to look at once when a call finds no slot or calls come in a burst."""

    def act(self, controls: Controls, now: float) -> None:
        """Look at the fleet and act."""
        raise NotImplementedError

    def wants_to_look(self, now: float) -> bool:  # noqa: ARG002 - for those who hurry
        """Tell whether calls come so fast that the next look should not wait."""
        return False

    def on_began(self, pod: Pod, now: float, *, campaign: bool) -> None:
        """Hear that a call was answered."""

    def on_ended(self, pod: Pod, began_at: float, now: float) -> None:
        """Hear that a call ended."""

    def on_ready(self, pod: Pod, now: float) -> None:
        """Hear that a worker takes calls."""

    def on_blocked(self, now: float) -> None:
        """Hear that a call was lost for want of a slot."""
