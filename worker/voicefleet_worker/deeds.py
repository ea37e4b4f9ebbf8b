"""What tools and pressed keys may do to the call itself."""

import asyncio
from dataclasses import dataclass

from livekit.agents import JobContext

from voicefleet_worker.manners import Manners

# In the order of their codes, as RFC 4733 has them.
DTMF_KEYS = "0123456789*#ABCD"
_KEY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class CallDeeds:
    """Deeds of one call."""

    manners: Manners
    ctx: JobContext

    def end_call(self) -> None:
        """Say goodbye and hang up."""
        self.manners.end_call()

    async def send_dtmf(self, digits: str) -> None:
        """Press keys, at a pace that machines at the other end can follow."""
        for digit in digits:
            await self.ctx.room.local_participant.publish_dtmf(code=DTMF_KEYS.index(digit), digit=digit)
            await asyncio.sleep(_KEY_SECONDS)
