"""A caller who is put through: once, held meanwhile, and back with the agent if nobody can be reached."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import api, rtc
from livekit.agents import NOT_GIVEN, AgentSession, JobContext
from livekit.agents.llm import RealtimeModel

from tests.worker.failover.test_conversing import Talker
from tests.worker.files import AGENT, POOL, Mounted
from voicefleet.api.voiceagent.telephony import Transfer
from voicefleet.conversation.phrases import put_through
from voicefleet.records.life import News, State
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.manners import Manners
from voicefleet_worker.calls.presence import Presence
from voicefleet_worker.calls.transfers import PERSON, Transfers
from voicefleet_worker.settings import load_settings

ADA = "ada"
NUMBER = "+4930100"
DONE = api.TransferSIPParticipantResponse(transfer_id="T_1", status=api.SIPTransferStatus.STS_TRANSFER_SUCCESSFUL)
ONGOING = api.TransferSIPParticipantResponse(transfer_id="T_1")
Answer = Callable[[], Awaitable[Any]]


def answers(value: object) -> Answer:
    async def answer() -> object:
        if isinstance(value, Exception):
            raise value
        return value

    return answer


def refused(status: int) -> api.SipCallError:
    metadata = {"sip_status_code": str(status), "sip_status": "No"}
    return api.SipCallError.from_server_error(api.ServerError("unavailable", "no", status=503, metadata=metadata))


def server_says(code: str) -> api.ServerError:
    return api.ServerError(code, "no", status=500)


@dataclass
class Scene:
    """One caller, one agent, and a telephone network that answers as it is told."""

    steps: list[str] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    people: dict[str, Any] = field(default_factory=dict)
    answer: Answer = field(default_factory=lambda: answers(DONE))
    removal: Answer = field(default_factory=lambda: answers(None))
    language: str = "en"
    llm: RealtimeModel | None = None
    tts: None = None
    is_heard: bool = True
    values: dict[str, str] = field(default_factory=dict)
    course: Course = field(default_factory=Course)

    @property
    def current_agent(self) -> Any:
        return SimpleNamespace(llm=NOT_GIVEN, tts=NOT_GIVEN)

    def __post_init__(self) -> None:
        sip = SimpleNamespace(transfer_sip_participant=self._ask, create_sip_participant=self._ask)
        room = SimpleNamespace(name="room", remote_participants=self.people, on=lambda *_: None)
        livekit = SimpleNamespace(sip=sip, room=SimpleNamespace(remove_participant=self._remove))
        self.ctx = cast("JobContext", SimpleNamespace(api=livekit, room=room))
        self.join(ADA, rtc.ParticipantKind.PARTICIPANT_KIND_SIP)

    def join(self, identity: str, kind: int = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD) -> Any:
        attributes = {"sip.phoneNumber": "+4930123456"}
        self.people[identity] = SimpleNamespace(identity=identity, kind=kind, attributes=attributes)
        return self.people[identity]

    async def _ask(self, request: Any) -> Any:
        self.steps.append("asked")
        self.requests.append(request)
        return await self.answer()

    async def _remove(self, who: Any) -> None:
        self.steps.append(f"{who.identity} removed")
        await self.removal()

    # What a session and manners are asked for.

    @property
    def input(self) -> Any:
        def hear(on: bool) -> None:
            self.steps.append("hears" if on else "deaf")

        return SimpleNamespace(audio_enabled=self.is_heard, set_audio_enabled=hear)

    async def say(self, words: str, *, allow_interruptions: bool) -> None:
        assert not allow_interruptions
        self.steps.append(words)

    async def generate_reply(self, *, instructions: str, **_: Any) -> None:
        self.steps.append("introduced" if "colleague" in instructions else instructions)

    def go_on(self) -> None:
        self.steps.append("goes on")

    def end_call(self, instructions: str) -> None:
        self.steps.append(f"ends: {instructions}")


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def transfers(scene: Scene, mounted: Mounted) -> Transfers:
    trunks = [{"name": "out", "trunkId": "ST_out"}]
    outbound = {"trunk": "out", "callerIds": ["+4930199"]}
    mounted.write("pool.json", {**POOL, "spec": {**POOL["spec"], "trunks": trunks}})
    mounted.write("agent.json", {**AGENT, "spec": {**AGENT["spec"], "telephony": {"outbound": outbound}}})
    scene.course = course = Course(begins=State.TALKING)
    presence = Presence(scene.ctx, course)
    presence.watch(scene.people[ADA], lambda _: None)

    def leave() -> None:
        scene.steps.append("left")
        course.move(News.END)

    talk = (cast("Manners", scene), presence)
    session = cast("AgentSession[None]", scene)
    return Transfers(scene.ctx, session, load_settings(mounted.flags, {}).plan, talk, leave)


def to(mode: str = "Cold", **more: Any) -> Transfer:
    return Transfer.model_validate({"number": NUMBER, "mode": mode, "announcement": "Wait.", **more})


async def test_a_cold_transfer_asks_the_callers_carrier_and_leaves(scene: Scene, transfers: Transfers) -> None:
    assert await transfers.put_through(to(ringingTimeoutSeconds=20)) is None

    assert scene.steps == ["deaf", "Wait.", "asked", "left"], "what is said afterwards is not for the agent"
    (request,) = scene.requests
    assert (request.room_name, request.participant_identity) == ("room", ADA)
    assert (request.transfer_to, request.ringing_timeout.seconds) == (f"tel:{NUMBER}", 20)


async def test_without_an_announcement_the_agent_in_charge_says_so_in_its_language(
    scene: Scene, transfers: Transfers
) -> None:
    scene.language = "de-DE"
    await transfers.put_through(to(announcement=None))

    assert scene.steps[1] == put_through("de-DE") != put_through("en")


async def test_a_realtime_model_announces_it_too(scene: Scene, transfers: Transfers) -> None:
    """It is given no words to say: it is told to say them."""
    scene.llm = Talker()
    await transfers.put_through(to())

    assert scene.steps[1].endswith("nothing else: Wait.")


async def test_a_server_that_says_nothing_has_done_it(scene: Scene, transfers: Transfers) -> None:
    scene.answer = answers(api.TransferSIPParticipantResponse())

    assert await transfers.put_through(to()) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [(refused(486), "the line is busy"), (server_says("canceled"), "nobody picked up"), (ONGOING, "nobody picked up")],
    ids=["busy", "it rang for too long", "no success, and no error either"],
)
async def test_a_caller_who_cannot_be_put_through_is_back_with_the_agent(
    scene: Scene, transfers: Transfers, answer: object, why: str
) -> None:
    scene.answer = answers(answer)
    told = await transfers.put_through(to())

    assert told is not None
    assert why in told
    assert scene.steps[-2:] == ["hears", "goes on"]
    assert scene.course.life.state is State.TALKING
    scene.answer = answers(DONE)
    assert await transfers.put_through(to()) is None, "who asks again is put through"


async def test_a_caller_who_has_to_hold_a_key_is_not_heard_without_it_after_a_transfer_that_failed(
    scene: Scene, transfers: Transfers
) -> None:
    scene.is_heard = False
    scene.answer = answers(refused(486))
    await transfers.put_through(to())

    assert scene.steps[-2:] == ["deaf", "goes on"]


async def test_a_caller_who_lets_go_of_the_key_on_hold_is_not_heard_without_it_afterwards(
    scene: Scene, transfers: Transfers
) -> None:
    async def busy() -> None:
        transfers.let_go()
        raise refused(486)

    scene.answer = busy
    await transfers.put_through(to())

    assert scene.steps[-2:] == ["deaf", "goes on"]


async def test_an_announcement_is_filled_as_the_agent_in_charge_sees_it(scene: Scene, transfers: Transfers) -> None:
    scene.values["name"] = "Ada"
    await transfers.put_through(to(announcement="One moment, {{name}}."))

    assert "One moment, Ada." in scene.steps


async def test_a_caller_whose_call_ends_with_the_failure_is_told_so(scene: Scene, transfers: Transfers) -> None:
    scene.answer = answers(refused(486))

    assert await transfers.put_through(to(onFailure="EndCall")) is None
    assert scene.steps[-1].startswith("ends: The caller could not be put through: the line is busy.")


async def test_a_caller_in_a_browser_is_not_put_through_cold(scene: Scene, transfers: Transfers) -> None:
    scene.join(ADA)
    told = await transfers.put_through(to())

    assert told is not None
    assert "not on a phone" in told
    assert scene.steps == [], "nothing is announced that will not be"


async def test_a_second_wish_while_one_is_under_way_dials_nobody(scene: Scene, transfers: Transfers) -> None:
    rings = asyncio.Event()
    scene.answer = rings.wait
    first = asyncio.create_task(transfers.put_through(to("Warm")))
    await asyncio.sleep(0)

    assert await transfers.put_through(to("Warm")) == "The caller is being put through already."
    scene.join(PERSON)
    rings.set()
    assert await first is None
    assert len(scene.requests) == 1


async def test_nobody_is_put_through_while_goodbye_is_said(scene: Scene, transfers: Transfers) -> None:
    scene.course.move(News.GOODBYE)

    assert await transfers.put_through(to("Warm")) == "The call is being ended."
    assert (scene.steps, scene.requests) == ([], [])


@pytest.mark.parametrize("lost", [TimeoutError(), server_says("deadline_exceeded"), server_says("unavailable")])
async def test_an_answer_that_never_comes_is_not_asked_for_again(
    scene: Scene, transfers: Transfers, lost: Exception
) -> None:
    scene.answer = answers(lost)
    first, second = await transfers.put_through(to()), await transfers.put_through(to())

    assert first is not None
    assert "not known" in first
    assert second is not None
    assert "no other one" in second
    assert len(scene.requests) == 1


# Warm


async def test_a_worker_that_leaves_lets_no_phone_ring_any_more(scene: Scene, transfers: Transfers) -> None:
    rings = asyncio.Event()
    scene.answer = rings.wait
    under_way = asyncio.create_task(transfers.put_through(to("Warm")))
    while "asked" not in scene.steps:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    transfers.hurry()
    told = await under_way

    assert told is not None
    assert "this line has to close" in told
    assert scene.steps[-3:] == [f"{PERSON} removed", "hears", "goes on"], "so that goodbye can be said"
    rings.set()
    await transfers.put_through(to())
    await transfers.put_through(to("Warm"))
    assert len(scene.requests) == 1, "nor is anybody asked for who was not yet"


async def test_a_worker_that_leaves_takes_back_nothing_that_a_carrier_was_asked_for(
    scene: Scene, transfers: Transfers
) -> None:
    async def answer() -> object:
        transfers.hurry()
        await asyncio.sleep(0)
        return DONE

    scene.answer = answer

    assert await transfers.put_through(to()) is None
    assert scene.steps[-1] == "left"


async def test_a_person_who_picked_up_before_the_worker_leaves_is_introduced(
    scene: Scene, transfers: Transfers
) -> None:
    async def pick_up() -> None:
        scene.join(PERSON)
        transfers.hurry()

    scene.answer = pick_up

    assert await transfers.put_through(to("Warm")) is None
    assert scene.steps[-2:] == ["introduced", "left"]


async def test_a_person_is_dialed_into_the_call_and_introduced(scene: Scene, transfers: Transfers) -> None:
    async def pick_up() -> None:
        assert scene.course.life.state is State.DIALING
        scene.join(PERSON)

    scene.answer = pick_up
    assert await transfers.put_through(to("Warm")) is None

    assert scene.steps == ["deaf", "Wait.", "asked", "introduced", "left"]
    (request,) = scene.requests
    assert (request.sip_trunk_id, request.sip_number) == ("ST_out", "+4930199")
    assert (request.sip_call_to, request.participant_identity) == (NUMBER, PERSON)
    assert request.wait_until_answered


async def test_a_caller_in_a_browser_can_be_put_through_warm(scene: Scene, transfers: Transfers) -> None:
    scene.join(ADA)

    async def pick_up() -> None:
        scene.join(PERSON)

    scene.answer = pick_up
    assert await transfers.put_through(to("Warm")) is None


async def test_a_person_who_hangs_up_at_once_leaves_the_caller_with_the_agent(
    scene: Scene, transfers: Transfers
) -> None:
    told = await transfers.put_through(to("Warm"))

    assert told is not None
    assert "the person hung up" in told
    assert scene.steps[-2:] == ["hears", "goes on"]


@pytest.mark.parametrize(
    ("removal", "again"),
    [(None, 2), (server_says("not_found"), 2), (server_says("unavailable"), 1), (TimeoutError(), 1)],
    ids=["called off", "nobody was there", "not known", "no answer"],
)
async def test_a_phone_that_may_still_ring_is_called_off_before_another_one_rings(
    scene: Scene, transfers: Transfers, removal: Exception | None, again: int
) -> None:
    scene.answer, scene.removal = answers(TimeoutError()), answers(removal)
    await transfers.put_through(to("Warm"))
    assert f"{PERSON} removed" in scene.steps

    await transfers.put_through(to("Warm"))

    assert len(scene.requests) == again


async def test_nobody_is_dialed_for_a_caller_who_is_gone(scene: Scene, transfers: Transfers) -> None:
    async def say(_: str, **__: Any) -> None:
        del scene.people[ADA]

    scene.say = say  # type: ignore[method-assign]
    await transfers.put_through(to("Warm"))

    assert scene.requests == []
