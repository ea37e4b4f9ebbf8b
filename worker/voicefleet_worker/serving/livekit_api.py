"""LiveKit's API for whoever looks for callers, and how its clock differs from ours."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import aiohttp
from livekit import api
from livekit.protocol.agent_dispatch import AgentDispatch, CreateAgentDispatchRequest
from livekit.protocol.models import ParticipantInfo, Room

from voicefleet_worker.access.livekit_access import LiveKitAccess
from voicefleet_worker.serving.callers import REQUEST_SECONDS, Connect, Dispatches

# A date has whole seconds, and the way takes its time: what differs by less is the same clock.
_SAME_CLOCK_SECONDS = 2.0
# What we ask with is good for six hours: with clocks further apart LiveKit would not answer, and this is no date of it.
_MOST_SECONDS = 21_600.0


def connect_with(access: LiveKitAccess, *, clock: Callable[[], float] = time.time) -> Connect:
    """Return how to reach LiveKit's API."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Dispatches]:
        timeout, difference = aiohttp.ClientTimeout(total=REQUEST_SECONDS), _Difference(clock)
        now = await asyncio.to_thread(access.renewed)
        async with (
            aiohttp.ClientSession(timeout=timeout, trace_configs=[difference.trace()]) as session,
            api.LiveKitAPI(now.url, now.api_key, now.api_secret, session=session, failover=False) as client,
        ):
            yield _LiveKit(client, difference)

    return connect


def seconds_ahead(date: str, now: float) -> float:
    """Return how far the clock of whoever dates an answer so is ahead of one that says now; 0 for what is no date."""
    try:
        ahead = parsedate_to_datetime(date).timestamp() + 0.5 - now
    except (ValueError, OverflowError):
        return 0.0
    return ahead if _SAME_CLOCK_SECONDS < abs(ahead) <= _MOST_SECONDS else 0.0


class _Difference:
    """Reads LiveKit's clock off its answers."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.seconds = 0.0

    def trace(self) -> aiohttp.TraceConfig:
        """Return what has each answer read."""
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._read)
        return trace

    async def _read(self, _session: object, _context: object, end: aiohttp.TraceRequestEndParams) -> None:
        self.seconds = seconds_ahead(end.response.headers.get("Date", ""), self._clock())


class _LiveKit:
    def __init__(self, client: api.LiveKitAPI, difference: _Difference) -> None:
        self._client = client
        self._difference = difference

    @property
    def ahead_seconds(self) -> float:
        return self._difference.seconds

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
