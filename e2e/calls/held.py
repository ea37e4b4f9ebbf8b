"""A caller who says nothing: on the line with an agent, and watching whether it stays the same agent.

`e2e.caller` speaks and listens, which costs a core for a dozen of them. Twenty of these cost next to nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from livekit import rtc

from e2e.caller.line import Dispatch, Line, Seat, build_token
from e2e.caller.report import CallReport, Cut, CutKind, EndReason

JOIN_SECONDS = 180.0
_AT_ONCE = 4


class HeldCall:
    """One call from joining to hanging up; whatever is taken away in between is a cut."""

    def __init__(self, line: Line, agent: str) -> None:
        self.seat = Seat.made_up(agent)
        self._line = line
        self._room = rtc.Room()
        self._began_seconds = time.monotonic()
        self._joined_ms = 0.0
        self._ended_seconds: float | None = None
        self._end_reason: EndReason | None = None
        self._heard = asyncio.Event()
        self._agents: list[str] = []
        self._cuts: list[Cut] = []

    @property
    def agents(self) -> tuple[str, ...]:
        """Everybody who ever answered; more than one means that the call was taken up anew."""
        return tuple(self._agents)

    @property
    def job(self) -> str:
        """The id of the job that holds the call, as LiveKit names its agent."""
        return self._agents[0].removeprefix("agent-") if self._agents else ""

    @property
    def is_live(self) -> bool:
        """Whether the agent that answered is on the line at this moment, and always was."""
        there = len(self._agents) == 1 and self._agents[0] in self._room.remote_participants
        return there and self._room.isconnected() and not self._cuts and self._end_reason is None

    async def join(self) -> None:
        """Join, and wait until the agent could be heard."""
        self._listen()
        self._began_seconds = time.monotonic()
        await self._room.connect(self._line.url, build_token(self._line, self.seat, Dispatch.TOKEN))
        for participant in self._room.remote_participants.values():
            self._note_agent(participant)
        async with asyncio.timeout(JOIN_SECONDS):
            await self._heard.wait()
        self._joined_ms = (time.monotonic() - self._began_seconds) * 1000

    async def hang_up(self) -> None:
        """Leave; what happens to the room afterwards is no cut."""
        if self._end_reason is None:
            self._end_reason = EndReason.HUNG_UP
            self._ended_seconds = time.monotonic() - self._began_seconds
        await self._room.disconnect()

    def report(self) -> CallReport:
        """Return what the call was like, in the words of every caller."""
        seconds = self._ended_seconds if self._ended_seconds is not None else time.monotonic() - self._began_seconds
        return CallReport(
            room=self.seat.room,
            identity=self.seat.identity,
            agent_identity=self._agents[0] if self._agents else "",
            joined_ms=round(self._joined_ms, 1),
            turns=(),
            cuts=tuple(self._cuts),
            end_reason=self._end_reason,
            seconds=round(seconds, 2),
        )

    def _listen(self) -> None:
        room = self._room
        room.on("participant_connected", self._note_agent)
        room.on("participant_disconnected", self._on_left)
        room.on("track_subscribed", self._on_track)
        room.on("track_unsubscribed", self._on_track_gone)
        room.on("disconnected", self._on_disconnected)

    def _note_agent(self, participant: rtc.RemoteParticipant) -> None:
        is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        if is_agent and participant.identity not in self._agents:
            self._agents.append(participant.identity)

    def _on_track(self, _track: rtc.Track, _publication: object, participant: rtc.RemoteParticipant) -> None:
        self._note_agent(participant)
        if participant.identity in self._agents:
            self._heard.set()

    def _on_track_gone(self, _track: rtc.Track, _publication: object, participant: rtc.RemoteParticipant) -> None:
        if participant.identity in self._agents:
            self._cut(CutKind.TRACK_ENDED)

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity in self._agents:
            self._cut(CutKind.AGENT_LEFT, EndReason.AGENT_LEFT)

    def _on_disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        name = rtc.DisconnectReason.Name(reason)
        if name == "ROOM_DELETED":
            self._cut(CutKind.ROOM_DELETED, EndReason.ROOM_DELETED)
        else:
            self._cut(CutKind.DISCONNECTED, EndReason.DISCONNECTED, name.lower())

    def _cut(self, kind: CutKind, ends: EndReason | None = None, detail: str = "") -> None:
        if self._end_reason is EndReason.HUNG_UP:
            return
        at = time.monotonic() - self._began_seconds
        self._cuts.append(Cut(kind, round(at, 2), detail))
        if ends is not None and self._end_reason is None:
            self._end_reason, self._ended_seconds = ends, at


@asynccontextmanager
async def hold_calls(line: Line, agent: str, count: int) -> AsyncIterator[list[HeldCall]]:
    """Have so many calls on the line; whoever has not hung up by the end of the block does so then."""
    calls = [HeldCall(line, agent) for _ in range(count)]
    door = asyncio.Semaphore(_AT_ONCE)

    async def join(call: HeldCall) -> None:
        # A few at a time: two cores start all these processes, and a crowd would only wait longer.
        async with door:
            await call.join()

    try:
        # Not a TaskGroup: a connection that is cancelled half-way makes the library abort the process.
        for failure in await asyncio.gather(*(join(call) for call in calls), return_exceptions=True):
            if failure is not None:
                raise failure
        yield calls
    finally:
        await asyncio.gather(*(call.hang_up() for call in calls))
