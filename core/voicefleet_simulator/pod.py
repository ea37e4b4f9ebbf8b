"""One simulated worker, and what the LiveKit server believes about it."""

import math

from voicefleet.autoscaling.load import WorkerLoad
from voicefleet_simulator.world import PUSH_SECONDS, STATUS_SECONDS

NEVER = math.inf


class Pod:
    """A worker from its creation to its end. Its own state is exact; what the server sees of it comes late."""

    __slots__ = (
        "_changed_at",
        "_load",
        "_load_changed_at",
        "_phase",
        "_shown_calls",
        "_shown_load",
        "calls",
        "closed_at",
        "created_at",
        "name",
        "ready",
        "ready_at",
        "record",
        "room_since",
        "slots",
    )

    def __init__(self, name: str, *, slots: int, created_at: float, ready_at: float, phase: float) -> None:
        self.name = name
        self.slots = slots
        self.created_at = created_at
        self.ready_at = ready_at
        self.ready = False
        self.calls: dict[int, float] = {}
        """When each call began, by the call's place in the trace; the oldest first."""
        self.closed_at = NEVER
        self.room_since = -NEVER
        """Since when it is not full."""
        self.record: WorkerLoad | None = None
        """What the policy sees of it, until something changes."""
        self._phase = phase
        self._changed_at = self._load_changed_at = -NEVER
        self._shown_calls = 0
        self._load = self._shown_load = 0.0

    @property
    def closed(self) -> bool:
        """Tell whether it was told to take no call."""
        return self.closed_at != NEVER

    def refuses(self, now: float) -> bool:
        """Tell whether it would turn a call away: it is full, or it has heard that it is closed."""
        return len(self.calls) >= self.slots or now >= self.closed_at + PUSH_SECONDS

    def begin(self, call: int, now: float) -> None:
        """Take a call."""
        self._note_change(now)
        self.calls[call] = now
        self.record = None

    def end(self, call: int, now: float) -> float:
        """Let go of a call; return when it began."""
        self._note_change(now)
        if len(self.calls) >= self.slots:
            self.room_since = now
        self.record = None
        return self.calls.pop(call)

    def close(self, now: float) -> None:
        """Tell it to take no call."""
        self.closed_at = now
        self.record = None

    def open(self, now: float) -> None:
        """Tell it to take calls again; the server hears of it a moment later."""
        self.closed_at = NEVER
        self.room_since = now
        self.record = None

    def tell_load(self, load: float, now: float) -> None:
        """Tell it which load to report, which it does at once instead of with its next status."""
        if load != self._load:
            self._shown_load = self.shown_load(now)
            self._load, self._load_changed_at = load, now + PUSH_SECONDS

    def shown_calls(self, now: float) -> int:
        """Return how many calls its last status told of."""
        return len(self.calls) if self._last_status(now) >= self._changed_at else self._shown_calls

    def shown_load(self, now: float) -> float:
        """Return the load that the server knows of, of those that the operator had chosen."""
        return self._load if now >= self._load_changed_at else self._shown_load

    def _note_change(self, now: float) -> None:
        """Keep what the last status said, before the calls change."""
        if self._last_status(now) >= self._changed_at:
            self._shown_calls = len(self.calls)
        self._changed_at = now

    def _last_status(self, now: float) -> float:
        return now - (now - self._phase) % STATUS_SECONDS
