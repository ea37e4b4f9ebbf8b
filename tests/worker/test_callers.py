"""Looking for callers who found no slot, in a LiveKit of a few rooms in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from livekit import api
from livekit.protocol.agent import Job
from livekit.protocol.agent_dispatch import AgentDispatch, AgentDispatchState
from livekit.protocol.models import ParticipantInfo, Room

from voicefleet.wire import CallersAnswer, CallersOrder
from voicefleet_worker.serving import callers as module
from voicefleet_worker.serving.callers import Callers

NOW = 1_000_000.0
AGENT = "voice.desk"
CALLER, AGENT_KIND = ParticipantInfo.Kind.SIP, ParticipantInfo.Kind.AGENT
ORDER = CallersOrder(agent=AGENT, hold_seconds=10, room=5)


@dataclass
class LiveKit:
    """Rooms and dispatches, and what was done to them."""

    rooms: list[Room] = field(default_factory=list)
    dispatches: dict[str, AgentDispatch] = field(default_factory=dict)
    people: dict[str, list[ParticipantInfo]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    silent_rooms: set[str] = field(default_factory=set)
    away: bool = False
    unanswered: set[str] = field(default_factory=set)
    """Requests that are done once and not answered."""
    listed: int = 0
    broken_rooms: set[str] = field(default_factory=set)
    going_on: asyncio.Event = field(default_factory=asyncio.Event)
    ahead_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.going_on.set()

    def call(self, name: str, age_seconds: float, *, agent: str = AGENT, jobs: int = 0) -> None:
        """Put a caller into a room of its own."""
        made = NOW + self.ahead_seconds - age_seconds
        self.people[f"room-{name}"] = [ParticipantInfo(kind=CALLER)]
        self.rooms.append(Room(name=f"room-{name}", creation_time_ms=int(made * 1000)))
        self.dispatches[name] = AgentDispatch(
            id=name,
            agent_name=agent,
            room=f"room-{name}",
            metadata=f"for {name}",
            state=AgentDispatchState(created_at=int(made * 1e9), jobs=[Job()] * jobs),
        )

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["LiveKit"]:
        if self.away:
            raise aiohttp.ClientConnectionError
        yield self

    async def list_rooms(self) -> list[Room]:
        self.listed += 1
        return self.rooms

    async def list_dispatches(self, room: str) -> list[AgentDispatch]:
        if room in self.silent_rooms:
            await asyncio.sleep(60)
        return [dispatch for dispatch in self.dispatches.values() if dispatch.room == room]

    async def list_participants(self, room: str) -> list[ParticipantInfo]:
        return self.people[room]

    async def delete(self, dispatch: AgentDispatch) -> bool:
        found = self.dispatches.pop(dispatch.id, None) is not None
        self._answer("delete")
        return found

    async def create(self, dispatch: AgentDispatch) -> None:
        await self.going_on.wait()
        if dispatch.room in self.broken_rooms:
            raise api.ServerError("unavailable", "", status=503)
        self.done.append(f"{dispatch.room} {dispatch.metadata}")
        if "create" in self.unanswered:
            self.dispatches["anew"] = AgentDispatch(id="anew", agent_name=dispatch.agent_name, room=dispatch.room)
        self._answer("create")

    def _answer(self, request: str) -> None:
        if request in self.unanswered:
            self.unanswered.discard(request)
            raise aiohttp.ServerDisconnectedError


@pytest.fixture
def livekit() -> LiveKit:
    return LiveKit()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECOND_THOUGHTS_SECONDS", 0.01)


@pytest.fixture
def callers(livekit: LiveKit) -> Callers:
    return Callers(livekit.connect, clock=lambda: NOW)


async def test_a_caller_whom_no_worker_took_is_dispatched_again_with_all_that_came_with_the_call(
    livekit: LiveKit, callers: Callers
) -> None:
    livekit.call("waits", 6)

    answer = await callers.look(ORDER)

    assert answer == CallersAnswer(waiting=0, dispatched=1, lost=0)
    assert livekit.done == ["room-waits for waits"]
    assert not livekit.dispatches


@pytest.mark.parametrize("ahead_seconds", [-90.0, -8.0, 8.0, 90.0])
async def test_how_long_callers_have_waited_is_told_by_the_clock_of_livekit(
    livekit: LiveKit, callers: Callers, ahead_seconds: float
) -> None:
    """By a clock that is behind nobody has waited yet; by one that is ahead everybody has for too long."""
    livekit.ahead_seconds = ahead_seconds
    for name, age in (("has just come", 2), ("waits", 6), ("has given up", 10.5)):
        livekit.call(name, age)

    answer = await callers.look(ORDER)

    assert answer == CallersAnswer(waiting=0, dispatched=1, lost=1)
    assert livekit.done == ["room-waits for waits"]


async def test_only_as_many_as_there_is_room_for_and_the_longest_waiting_first(
    livekit: LiveKit, callers: Callers
) -> None:
    for name, age in (("second", 8), ("third", 7), ("first", 9)):
        livekit.call(name, age)

    answer = await callers.look(ORDER.model_copy(update={"room": 2}))

    assert answer == CallersAnswer(waiting=1, dispatched=2)
    assert livekit.done == ["room-first for first", "room-second for second"]


async def test_other_agents_calls_and_calls_that_have_an_agent_are_left_alone(
    livekit: LiveKit, callers: Callers
) -> None:
    livekit.call("other", 6, agent="voice.other")
    livekit.call("served", 6, jobs=1)
    livekit.call("new", 4.5)
    livekit.call("gone", 60)

    answer = await callers.look(ORDER)

    assert answer == CallersAnswer()
    assert not livekit.done
    assert len(livekit.dispatches) == 4


async def test_a_call_that_some_worker_holds_is_left_alone_though_livekit_knows_of_no_job(
    livekit: LiveKit, callers: Callers
) -> None:
    livekit.call("held", 6)
    livekit.call("waits", 6)

    answer = await callers.look(ORDER.model_copy(update={"held": ("held",)}))

    assert answer == CallersAnswer(dispatched=1)
    assert list(livekit.dispatches) == ["held"]


async def test_a_room_with_an_agent_is_left_alone_and_so_is_an_empty_one(livekit: LiveKit, callers: Callers) -> None:
    livekit.call("answered", 6)
    livekit.people["room-answered"].append(ParticipantInfo(kind=AGENT_KIND))
    livekit.call("hung up", 6)
    livekit.people["room-hung up"].clear()

    assert await callers.look(ORDER) == CallersAnswer()
    assert len(livekit.dispatches) == 2


async def test_who_gave_up_is_told_of(livekit: LiveKit, callers: Callers) -> None:
    livekit.call("given up", 10.5)

    assert await callers.look(ORDER) == CallersAnswer(lost=1)


async def test_of_two_who_look_at_once_only_one_gets_a_caller_an_agent(livekit: LiveKit, callers: Callers) -> None:
    for number in range(5):
        livekit.call(f"call-{number}", 6)
    other = Callers(livekit.connect, clock=lambda: NOW)

    answers = await asyncio.gather(callers.look(ORDER), other.look(ORDER))

    assert sum(answer.dispatched for answer in answers if answer) == 5
    assert len(livekit.done) == 5


async def test_who_asked_may_hang_up_and_the_caller_gets_an_agent_all_the_same(
    livekit: LiveKit, callers: Callers
) -> None:
    livekit.call("waits", 6)
    livekit.going_on.clear()
    asked = asyncio.create_task(callers.look(ORDER))
    while livekit.dispatches:  # noqa: ASYNC110
        await asyncio.sleep(0)

    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    livekit.going_on.set()
    for _ in range(5):
        await asyncio.sleep(0)

    assert livekit.done == ["room-waits for waits"]


async def test_a_room_that_does_not_answer_hides_no_other(livekit: LiveKit, callers: Callers) -> None:
    livekit.call("silent", 6)
    livekit.call("waits", 6)
    livekit.silent_rooms.add("room-silent")

    answer = await callers.look(ORDER)

    assert answer == CallersAnswer(dispatched=1)


async def test_a_caller_who_cannot_be_dispatched_keeps_no_other_waiting(livekit: LiveKit, callers: Callers) -> None:
    for name in ("first", "second", "third"):
        livekit.call(name, 6)
    livekit.broken_rooms.add("room-first")

    assert await callers.look(ORDER) == CallersAnswer(dispatched=2, lost=1)
    assert livekit.done == ["room-second for second", "room-third for third"]


@pytest.mark.parametrize("lost_answer", ["delete", "create"])
async def test_what_was_done_and_not_answered_gets_the_caller_one_agent_all_the_same(
    livekit: LiveKit, callers: Callers, lost_answer: str
) -> None:
    livekit.call("waits", 6)
    livekit.unanswered.add(lost_answer)

    assert await callers.look(ORDER) == CallersAnswer(dispatched=1)
    assert livekit.done == ["room-waits for waits"]


async def test_many_who_ask_within_a_second_share_one_sight(livekit: LiveKit, callers: Callers) -> None:
    livekit.call("waits", 6)
    for agent in range(50):
        livekit.call(f"other-{agent}", 6, agent=f"voice.{agent}")
    orders = [ORDER.model_copy(update={"agent": f"voice.{agent}", "room": 0}) for agent in range(50)]

    answers = await asyncio.gather(*map(callers.look, orders))

    assert [answer.waiting for answer in answers if answer] == [1] * 50
    assert livekit.listed == 1


async def test_rooms_beyond_those_that_can_be_asked_are_told_of(livekit: LiveKit, callers: Callers) -> None:
    for number in range(201):
        livekit.call(f"call-{number}", 6, jobs=1)
        livekit.rooms[-1].num_participants = 2
    livekit.call("waits", 6)
    livekit.rooms[-1].num_participants = 1

    assert await callers.look(ORDER) == CallersAnswer(dispatched=1, more=True)


async def test_a_worker_that_goes_finishes_its_looks(livekit: LiveKit, callers: Callers) -> None:
    livekit.call("waits", 6)
    asked = asyncio.create_task(callers.look(ORDER))
    await asyncio.sleep(0)
    asked.cancel()

    await callers.finish()

    assert livekit.done == ["room-waits for waits"]


async def test_a_dispatch_stands_until_livekit_says_that_it_does_not(livekit: LiveKit, callers: Callers) -> None:
    livekit.call("stands", 6)
    assert await callers.is_wished_for("stands", "room-stands")
    assert not await callers.is_wished_for("gone", "room-stands")

    livekit.away = True
    assert await callers.is_wished_for("gone", "room-stands")


async def test_a_livekit_that_is_away_is_no_answer(livekit: LiveKit, callers: Callers) -> None:
    livekit.away = True

    assert await callers.look(ORDER) is None


async def test_whether_somebody_is_in_a_room_is_asked_and_doubt_means_that_they_are(
    livekit: LiveKit, callers: Callers
) -> None:
    livekit.people["room"] = [ParticipantInfo(identity="agent-1", kind=AGENT_KIND)]

    assert await callers.is_there("agent-1", "room")
    assert not await callers.is_there("agent-2", "room")
    livekit.away = True
    assert await callers.is_there("agent-2", "room")
