"""Callers who found no free slot, as this worker sees them in LiveKit: it looks, and has them dispatched again."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, TypeVar

import aiohttp
from livekit import api
from livekit.protocol.agent_dispatch import AgentDispatch, CreateAgentDispatchRequest
from livekit.protocol.models import ParticipantInfo, Room

from voicefleet.autoscaling.holding import LOOK_SECONDS, SETTLED_SECONDS, Dispatch, find_waiting
from voicefleet.wire import CallersAnswer, CallersOrder
from voicefleet_worker.settings import LiveKitAccess

logger = logging.getLogger("voicefleet.worker")

_REQUEST_SECONDS = 2.0
_LIST_SECONDS = 1.5
_ROOM_SECONDS = 0.5
_AT_ONCE = 16
# More rooms than this are young at once only while far more callers come than there is room for.
_MOST_ROOMS = 200

SubjectT = TypeVar("SubjectT")
AnswerT = TypeVar("AnswerT")


class Dispatches(Protocol):
    """What LiveKit knows of rooms and of the agents that they wish for."""

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

    async def look(self, order: CallersOrder) -> CallersAnswer | None:
        """Have the callers who wait longest dispatched again, as far as there is room; nothing if LiveKit is away."""
        # Whoever asked may hang up; a caller whose dispatch was deleted must get the next one all the same.
        look = asyncio.create_task(self._try_to_look(order))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        return await asyncio.shield(look)

    async def _try_to_look(self, order: CallersOrder) -> CallersAnswer | None:
        try:
            async with self._connect() as livekit:
                return await self._look(livekit, order)
        except (aiohttp.ClientError, api.ServerError, TimeoutError, OSError) as error:
            logger.warning("callers who wait were not looked for", extra={"error": type(error).__name__})
            return None

    async def _look(self, livekit: Dispatches, order: CallersOrder) -> CallersAnswer:
        async with asyncio.timeout(_LIST_SECONDS):
            found = {dispatch.id: dispatch for dispatch in await self._list(livekit, order)}
            waiting = find_waiting((self._read(d, order.held) for d in found.values()), order.hold_seconds)
            alone = await _each(lambda caller: _is_alone(livekit, caller.room), waiting.callers)
        callers = [caller for caller, is_alone in zip(waiting.callers, alone, strict=True) if is_alone is True]
        again = [found[caller.id] for caller in callers[: order.room]]
        # What becomes of one caller keeps no other waiting.
        claims = await asyncio.gather(*(_dispatch_again(livekit, d) for d in again), return_exceptions=True)
        dispatched = sum(claim is True for claim in claims)
        answer = CallersAnswer(waiting=len(callers) - len(again), dispatched=dispatched, lost=waiting.lost)
        if callers or waiting.lost:
            failed = sum(isinstance(claim, BaseException) for claim in claims)
            logger.info("callers found no slot", extra={**answer.model_dump(), "failed": failed})
        return answer

    async def _list(self, livekit: Dispatches, order: CallersOrder) -> list[AgentDispatch]:
        """Return the agent's dispatches in rooms that are young enough, the oldest first."""
        oldest = self._clock() - order.hold_seconds - LOOK_SECONDS
        # The youngest are still on their way to a worker.
        youngest = self._clock() - SETTLED_SECONDS
        rooms = [room for room in await livekit.list_rooms() if oldest <= room.creation_time_ms / 1000 <= youngest]
        rooms.sort(key=lambda room: room.creation_time_ms)
        of_rooms = await _each(lambda room: livekit.list_dispatches(room.name), rooms[:_MOST_ROOMS])
        heard = [dispatches for dispatches in of_rooms if not isinstance(dispatches, BaseException)]
        return [d for dispatches in heard for d in dispatches if d.agent_name == order.agent]

    def _read(self, dispatch: AgentDispatch, held: Collection[str]) -> Dispatch:
        age = self._clock() - dispatch.state.created_at / 1e9
        taken = bool(dispatch.state.jobs) or dispatch.id in held
        return Dispatch(dispatch.id, dispatch.room, max(0.0, age), taken)


async def _each(
    ask: Callable[[SubjectT], Awaitable[AnswerT]], subjects: Iterable[SubjectT]
) -> list[AnswerT | BaseException]:
    """Ask about each, a few at a time; a room that has gone meanwhile answers no more, and hides no other."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def ask_one(subject: SubjectT) -> AnswerT:
        async with turn, asyncio.timeout(_ROOM_SECONDS):
            return await ask(subject)

    return await asyncio.gather(*map(ask_one, subjects), return_exceptions=True)


async def _is_alone(livekit: Dispatches, room: str) -> bool:
    """Tell whether somebody is in a room, and no agent yet."""
    kinds = {participant.kind for participant in await livekit.list_participants(room)}
    return bool(kinds) and ParticipantInfo.Kind.AGENT not in kinds


async def _dispatch_again(livekit: Dispatches, dispatch: AgentDispatch) -> bool:
    """Delete a dispatch and create its like; of two who try, only one finds it still there."""
    if not await livekit.delete(dispatch):
        return False
    await livekit.create(dispatch)
    return True


def connect_with(access: LiveKitAccess) -> Connect:
    """Return how to reach LiveKit's API."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Dispatches]:
        timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS)
        async with api.LiveKitAPI(
            access.url, access.api_key, access.api_secret, timeout=timeout, failover=False
        ) as client:
            yield _LiveKit(client)

    return connect


class _LiveKit:
    def __init__(self, client: api.LiveKitAPI) -> None:
        self._client = client

    async def list_rooms(self) -> list[Room]:
        return list((await self._client.room.list_rooms(api.ListRoomsRequest())).rooms)

    async def list_dispatches(self, room: str) -> list[AgentDispatch]:
        return await self._client.agent_dispatch.list_dispatch(room)

    async def list_participants(self, room: str) -> list[ParticipantInfo]:
        asked = api.ListParticipantsRequest(room=room)
        return list((await self._client.room.list_participants(asked)).participants)

    async def delete(self, dispatch: AgentDispatch) -> bool:
        try:
            await self._client.agent_dispatch.delete_dispatch(dispatch.id, dispatch.room)
        except api.ServerError as error:
            if error.code == api.ServerErrorCode.NOT_FOUND:
                return False
            raise
        return True

    async def create(self, dispatch: AgentDispatch) -> None:
        await self._client.agent_dispatch.create_dispatch(
            CreateAgentDispatchRequest(
                agent_name=dispatch.agent_name,
                room=dispatch.room,
                metadata=dispatch.metadata,
                restart_policy=dispatch.restart_policy,
                deployment=dispatch.deployment,
                attributes=dispatch.attributes,
            )
        )
