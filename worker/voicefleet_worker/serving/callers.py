"""Callers who found no free slot, as this worker sees them in LiveKit: it looks, and has them dispatched again."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import aiohttp
from livekit import api
from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import ParticipantInfo, Room

from voicefleet.autoscaling.holding import LOOK_SECONDS, SETTLED_SECONDS, Dispatch, find_waiting
from voicefleet.wire import MOST_TOLD, CallersAnswer, CallersOrder

logger = logging.getLogger("voicefleet.worker")

REQUEST_SECONDS = 2.0
_LIST_SECONDS = 1.5
_ROOM_SECONDS = 0.5
_SECOND_THOUGHTS_SECONDS = 0.5
_TRIES = 3
_FINISH_SECONDS = 6.0
_ERRORS = (aiohttp.ClientError, api.ServerError, TimeoutError, OSError)
_AT_ONCE = 16
# More rooms than this are young at once only while far more callers come than there is room for.
_MOST_ROOMS = 200

SubjectT = TypeVar("SubjectT")
AnswerT = TypeVar("AnswerT")


class Dispatches(Protocol):
    """What LiveKit knows of rooms and of the agents that they wish for."""

    @property
    def ahead_seconds(self) -> float:
        """How far LiveKit's clock, which dates all that it knows, is ahead of ours, as far as it has told."""

    async def list_rooms(self) -> list[Room]:
        """Return all rooms."""

    async def list_dispatches(self, room: str) -> list[AgentDispatch]:
        """Return the dispatches of one room."""

    async def list_participants(self, room: str) -> list[ParticipantInfo]:
        """Return who is in one room."""

    async def delete(self, dispatch: AgentDispatch) -> bool:
        """Delete a dispatch; tell whether it was still there."""

    async def create(self, dispatch: AgentDispatch) -> None:
        """Create another dispatch of the same kind."""


Connect = Callable[[], AbstractAsyncContextManager[Dispatches]]


class Callers:
    """Looks for callers on the LiveKit server of this worker."""

    def __init__(self, connect: Connect, *, clock: Callable[[], float] = time.time) -> None:
        self._connect = connect
        self._clock = clock
        self._looks: set[asyncio.Task[CallersAnswer | None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._sight = Sight(at=float("-inf"), since=0.0)
        self._ahead_seconds = 0.0

    async def look(self, order: CallersOrder) -> CallersAnswer | None:
        """Have the callers who wait longest dispatched again, as far as there is room; nothing if LiveKit is away."""
        # Whoever asked may hang up; a caller whose dispatch was deleted must get the next one all the same.
        look = asyncio.create_task(self._try_to_look(order))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        return await asyncio.shield(look)

    async def is_wished_for(self, dispatch: str, room: str) -> bool:
        """Tell whether a dispatch still stands; as long as LiveKit does not say, it does."""
        with contextlib.suppress(*_ERRORS):
            async with asyncio.timeout(_ROOM_SECONDS), self._connect() as livekit:
                return any(other.id == dispatch for other in await livekit.list_dispatches(room))
        return True

    async def is_there(self, identity: str, room: str) -> bool:
        """Tell whether somebody is in a room; as long as LiveKit does not say, they are."""
        with contextlib.suppress(*_ERRORS):
            async with asyncio.timeout(_ROOM_SECONDS), self._connect() as livekit:
                return any(other.identity == identity for other in await livekit.list_participants(room))
        return True

    async def can_look(self) -> bool:
        """Tell whether LiveKit tells of its rooms: it is reached, and the key is right."""
        with contextlib.suppress(*_ERRORS):
            async with asyncio.timeout(REQUEST_SECONDS), self._connect() as livekit:
                await livekit.list_rooms()
                return True
        return False

    async def finish(self) -> None:
        """Let the looks that are under way come to their end."""
        if self._looks:
            await asyncio.wait(self._looks, timeout=_FINISH_SECONDS)

    async def _try_to_look(self, order: CallersOrder) -> CallersAnswer | None:
        try:
            async with self._connect() as livekit:
                return await self._look(livekit, order)
        except _ERRORS as error:
            logger.warning("callers who wait were not looked for", extra={"error": type(error).__name__})
            return None

    async def _look(self, livekit: Dispatches, order: CallersOrder) -> CallersAnswer:
        sight = await self._see(livekit, order)
        found = {dispatch.id: dispatch for dispatch in sight.dispatches if dispatch.agent_name == order.agent}
        ages = (self._read(dispatch, order.held) for dispatch in found.values())
        waiting = find_waiting(ages, order.hold_seconds, order.pause_seconds)
        alone, _ = await _each(lambda caller: _is_alone(livekit, caller.room), waiting.callers)
        callers = [caller for caller in waiting.callers if alone.get(caller)]
        again = [found[caller.id] for caller in callers[: order.room]]
        # What becomes of one caller keeps no other waiting.
        claims = await asyncio.gather(*(_dispatch_again(livekit, d) for d in again), return_exceptions=True)
        failed = sum(isinstance(claim, BaseException) for claim in claims)
        answer = CallersAnswer(
            waiting=min(len(callers) - len(again), MOST_TOLD),
            dispatched=sum(claim is True for claim in claims),
            lost=min(waiting.lost + failed, MOST_TOLD),
            more=sight.more,
        )
        if callers or answer.lost:
            logger.info("callers found no slot", extra={**answer.model_dump(), "failed": failed})
        return answer

    async def _see(self, livekit: Dispatches, order: CallersOrder) -> "Sight":
        """Return what was seen within the last second, or else look; many agents may ask one worker at once."""
        oldest_seconds = order.hold_seconds + order.pause_seconds
        async with self._one_at_a_time:
            # What was dispatched again since then is found gone by whoever would do so, too.
            at, since = self._clock(), self._clock() + self._ahead_seconds - oldest_seconds
            if at - self._sight.at >= LOOK_SECONDS or since < self._sight.since:
                self._sight = await self._list(livekit, at, oldest_seconds)
            return self._sight

    async def _list(self, livekit: Dispatches, at: float, oldest_seconds: float) -> "Sight":
        """List the dispatches of all rooms that are no older and not on their way to a worker."""
        async with asyncio.timeout(REQUEST_SECONDS):
            rooms = await livekit.list_rooms()
        self._ahead_seconds = livekit.ahead_seconds
        now = at + self._ahead_seconds
        since = now - oldest_seconds
        ripe = [room for room in rooms if since <= room.creation_time_ms / 1000 <= now - SETTLED_SECONDS]
        # Where two are, one is an agent; LiveKit's number may be some seconds old, so those come last.
        ripe.sort(key=lambda room: (room.num_participants > 1, room.creation_time_ms))
        names = [room.name for room in ripe]
        heard, all_heard = await _each(livekit.list_dispatches, names[:_MOST_ROOMS])
        seen = tuple(dispatch for dispatches in heard.values() for dispatch in dispatches)
        return Sight(at=at, since=since, dispatches=seen, more=not all_heard or len(names) > _MOST_ROOMS)

    def _read(self, dispatch: AgentDispatch, held: Collection[str]) -> Dispatch:
        age = self._clock() + self._ahead_seconds - dispatch.state.created_at / 1e9
        taken = bool(dispatch.state.jobs) or dispatch.id in held
        return Dispatch(dispatch.id, dispatch.room, max(0.0, age), taken)


@dataclass(frozen=True, slots=True)
class Sight:
    """The dispatches of young rooms, as they were at one moment."""

    at: float
    """By our clock."""
    since: float
    """Rooms that are older, by LiveKit's clock, were left out."""
    dispatches: tuple[AgentDispatch, ...] = ()
    more: bool = False
    """There were more rooms than could be asked."""


async def _each(
    ask: Callable[[SubjectT], Awaitable[AnswerT]], subjects: Sequence[SubjectT]
) -> tuple[dict[SubjectT, AnswerT], bool]:
    """Ask about each, a few at a time, and return what was answered in time, and whether all could be asked.

    A room that has gone meanwhile answers no more, and hides no other.
    """
    turn, answers = asyncio.Semaphore(_AT_ONCE), dict[SubjectT, AnswerT]()

    async def ask_one(subject: SubjectT) -> None:
        async with turn:
            with contextlib.suppress(*_ERRORS):
                async with asyncio.timeout(_ROOM_SECONDS):
                    answers[subject] = await ask(subject)

    tasks = [asyncio.create_task(ask_one(subject)) for subject in subjects]
    if not tasks:
        return {}, True
    _, late = await asyncio.wait(tasks, timeout=_LIST_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return answers, not late


async def _is_alone(livekit: Dispatches, room: str) -> bool:
    """Tell whether somebody is in a room, and no agent yet."""
    kinds = {participant.kind for participant in await livekit.list_participants(room)}
    return bool(kinds) and ParticipantInfo.Kind.AGENT not in kinds


async def _dispatch_again(livekit: Dispatches, dispatch: AgentDispatch) -> bool:
    """Delete a dispatch and create its like; of two who try, only one finds it still there.

    A LiveKit that is slow may have done what it did not answer to, so that is looked up.
    """
    try:
        if not await livekit.delete(dispatch):
            return False
    except _ERRORS:
        await asyncio.sleep(_SECOND_THOUGHTS_SECONDS)
        if await _is_wished_for(livekit, dispatch):
            return False
    for _ in range(_TRIES):
        try:
            await livekit.create(dispatch)
        except _ERRORS:
            await asyncio.sleep(_SECOND_THOUGHTS_SECONDS)
            with contextlib.suppress(*_ERRORS):
                if await _is_wished_for(livekit, dispatch):
                    return True
        else:
            return True
    raise TimeoutError


async def _is_wished_for(livekit: Dispatches, dispatch: AgentDispatch) -> bool:
    """Tell whether a room has a dispatch of the same agent."""
    return any(other.agent_name == dispatch.agent_name for other in await livekit.list_dispatches(dispatch.room))
