"""Whether the caller is there: comes, picks up, goes, is lost on the way and comes back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from livekit import rtc
from livekit.agents import JobContext

from voicefleet_worker.calls.course import Course

# An outbound agent waits in the room while the phone rings; carriers give up within two minutes.
CALLER_WAIT_SECONDS = 180.0
# A browser whose network changed takes seconds to join anew, and counts as gone meanwhile.
RETURN_SECONDS = 10.0
_EARLY_SECONDS = 10.0
_CALL_STATUS = "sip.callStatus"
_NUMBER = "sip.phoneNumber"
_ANSWERED = ("active", "")
_NEWS_OF_CALLERS: tuple[
    Literal["participant_attributes_changed", "participant_disconnected", "participant_connected"], ...
] = ("participant_attributes_changed", "participant_disconnected", "participant_connected")
# Without a reason everybody goes to an agent that has to join the room anew, and comes back with that.
_LOST_ON_THE_WAY = frozenset({
    None,
    rtc.DisconnectReason.UNKNOWN_REASON,
    rtc.DisconnectReason.CONNECTION_TIMEOUT,
    rtc.DisconnectReason.DUPLICATE_IDENTITY,
    rtc.DisconnectReason.MIGRATION,
    rtc.DisconnectReason.SIGNAL_CLOSE,
    rtc.DisconnectReason.STATE_MISMATCH,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Departure:
    """How a caller went."""

    hung_up_early: bool = False
    room_is_closed: bool = False
    """Somebody else closed the room, and all who were in it had to go."""


NOBODY_WENT = Departure()
OnGone = Callable[[Departure], None]


@dataclass(slots=True)
class Presence:
    """That of the caller of one call."""

    ctx: JobContext
    course: Course
    identity: str = ""
    """The caller's, once there is one."""
    answered_seconds: float | None = None
    """When the caller picked up, or came to a line that does not ring."""
    _tasks: set[asyncio.Future[None]] = field(default_factory=set)

    @property
    def caller(self) -> rtc.RemoteParticipant | None:
        """The caller as they are now; who was lost and came back is somebody new to the SDK."""
        return self.ctx.room.remote_participants.get(self.identity)

    @property
    def number(self) -> str | None:
        """Number of the caller's phone, as far as it is known."""
        caller = self.caller
        return caller.attributes.get(_NUMBER) or None if caller is not None else None

    async def arrival(self) -> rtc.RemoteParticipant | None:
        """Wait for the caller; None if nobody comes."""
        try:
            async with asyncio.timeout(CALLER_WAIT_SECONDS):
                return await self.ctx.wait_for_participant()
        except TimeoutError:
            return None
        except RuntimeError:
            # The room went away while we waited; the job is on its way out.
            return None

    def watch(self, caller: rtc.RemoteParticipant, on_gone: OnGone) -> None:
        """Tell when the caller is gone, whatever LiveKit gives as the reason; who was lost may come back.

        That somebody closed the room is told of the caller, of the agent, or of both, in either order.
        """
        self.identity = caller.identity

        def on_left(participant: rtc.RemoteParticipant) -> None:
            if participant.identity != caller.identity:
                return
            if participant.disconnect_reason == rtc.DisconnectReason.ROOM_DELETED:
                on_gone(Departure(room_is_closed=True))
            elif not self.ctx.room.isconnected():
                # To an agent that is put out itself all others go; its job ends, and so does the call.
                return
            elif participant.disconnect_reason in _LOST_ON_THE_WAY:
                self._later(self._await_return(caller.identity, on_gone))
            else:
                on_gone(Departure(hung_up_early=self._is_early(participant)))

        def on_disconnected(reason: object) -> None:
            if reason == rtc.DisconnectReason.ROOM_DELETED:
                on_gone(Departure(room_is_closed=True))
            elif reason == rtc.DisconnectReason.ROOM_CLOSED:
                # LiveKit looks once a second for rooms that only agents are left in, and may be faster with that than
                # with the word to the agent that its caller went.
                on_gone(Departure(hung_up_early=self._is_early(caller)))

        self.ctx.room.on("participant_disconnected", on_left)
        self.ctx.room.on("disconnected", on_disconnected)
        if caller.identity not in self.ctx.room.remote_participants:
            on_left(caller)

    async def answer(self, caller: rtc.RemoteParticipant) -> bool:
        """Wait until the caller has picked up; False for a phone that rings for too long, or a call that is over."""
        answered = asyncio.Event()

        def look(*_: object) -> None:
            # Who was lost and came back is somebody new to the SDK.
            now = self.ctx.room.remote_participants.get(caller.identity, caller)
            if self.course.life.is_over or now.attributes.get(_CALL_STATUS, "") in _ANSWERED:
                answered.set()

        for event in _NEWS_OF_CALLERS:
            self.ctx.room.on(event, look)
        look()
        try:
            async with asyncio.timeout(CALLER_WAIT_SECONDS):
                await answered.wait()
        except TimeoutError:
            return False
        finally:
            for event in _NEWS_OF_CALLERS:
                self.ctx.room.off(event, look)
        if not self.course.life.is_over:
            self.answered_seconds = time.monotonic()
        return True

    def _is_early(self, caller: rtc.RemoteParticipant) -> bool:
        """Tell whether a caller who goes has hardly been here; who never picked up has not been here at all."""
        if self.answered_seconds is None:
            return caller.attributes.get(_CALL_STATUS, "") in _ANSWERED
        return time.monotonic() - self.answered_seconds <= _EARLY_SECONDS

    async def _await_return(self, identity: str, on_gone: OnGone) -> None:
        await asyncio.sleep(RETURN_SECONDS)
        while self.ctx.room.connection_state == rtc.ConnectionState.CONN_RECONNECTING:  # noqa: ASYNC110 - see below
            # It is we who are lost: nobody is seen until we are back, which the SDK tells before they are.
            await asyncio.sleep(RETURN_SECONDS)
        if identity not in self.ctx.room.remote_participants:
            on_gone(Departure())

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def is_phone(caller: rtc.RemoteParticipant | None) -> bool:
    """Tell whether somebody is on a phone."""
    return caller is not None and caller.kind == rtc.ParticipantKind.PARTICIPANT_KIND_SIP
