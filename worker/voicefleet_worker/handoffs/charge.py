"""Who is in charge of a call, for those who ask for it and those who wait until it is settled."""

import asyncio
import contextlib
from collections.abc import Collection

from voicefleet.handoffs.floor import Event, Floor, Phase, Refusal, ask, step

# A summary and an announcement, or else it will not come to an end.
_SETTLED_SECONDS = 15.0


class Charge:
    """That of one call."""

    def __init__(self, entry: str) -> None:
        self._is_settled = asyncio.Event()
        self.put(Floor(entry))

    @property
    def floor(self) -> Floor:
        """How it stands."""
        return self._floor

    def put(self, floor: Floor) -> None:
        """Let it stand so, however it stood."""
        self._floor = floor
        if floor.phase is Phase.TALKING:
            self._is_settled.set()
        else:
            self._is_settled.clear()

    def ask(self, *, by: str, to: str, known: Collection[str]) -> Refusal | None:
        """Begin a handoff, or say why not."""
        return self._take(ask(self._floor, by=by, to=to, known=known))

    def move(self, event: Event, to: str) -> bool:
        """Go on with the handoff to this agent; tell whether it was the one under way."""
        return self._take(step(self._floor, event, to=to)) is None

    async def settle(self) -> None:
        """Wait for a handoff that is under way, but not for ever."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_settled.wait(), _SETTLED_SECONDS)

    def _take(self, after: Floor | Refusal) -> Refusal | None:
        if isinstance(after, Refusal):
            return after
        self.put(after)
        return None
