"""What tools and pressed keys may do to the call itself."""

import asyncio
from dataclasses import dataclass, field

from livekit.agents import JobContext
from livekit.agents.voice import SpeechHandle

from voicefleet.api.voiceagent.telephony import Transfer
from voicefleet.conversation.outcome import CallOutcome
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.manners import Manners
from voicefleet_worker.calls.presence import Presence
from voicefleet_worker.calls.transfers import Transfers
from voicefleet_worker.records.notebook import Notebook

# In the order of their codes, as RFC 4733 has them.
DTMF_KEYS = "0123456789*#ABCD"
_KEY_SECONDS = 0.25


@dataclass(slots=True)
class CallDeeds:
    """Deeds of one call, and what they have brought."""

    ctx: JobContext
    course: Course
    manners: Manners
    presence: Presence
    transfers: Transfers
    notebook: Notebook
    _outcome: CallOutcome = field(default_factory=CallOutcome)

    @property
    def outcome(self) -> CallOutcome:
        """What the call has brought so far."""
        return self._outcome

    @outcome.setter
    def outcome(self, outcome: CallOutcome) -> None:
        self._outcome = outcome
        # At once: what a caller wished is kept, whatever becomes of the call.
        self.notebook.brought(outcome)

    @property
    def caller_number(self) -> str | None:
        """Number that the caller calls from, as far as it is known."""
        return self.presence.number

    @property
    def is_free(self) -> bool:
        """Whether keys mean something: not to a caller who is put through, nor to one who is said goodbye to."""
        return self.course.life.is_free

    def end_call(self, after: SpeechHandle | None = None) -> None:
        """Say goodbye and hang up, once this has been said and what is done for it has been told."""
        self.manners.end_call(after=after)

    async def send_dtmf(self, digits: str) -> None:
        """Press keys, at a pace that machines at the other end can follow."""
        for digit in digits:
            await self.ctx.room.local_participant.publish_dtmf(code=DTMF_KEYS.index(digit), digit=digit)
            await asyncio.sleep(_KEY_SECONDS)

    async def put_through(self, transfer: Transfer) -> str | None:
        """Put the caller through to a person; return what the agent is to do if that failed and the call goes on."""
        return await self.transfers.put_through(transfer)
