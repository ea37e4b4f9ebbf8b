"""Who takes how many calls."""

import asyncio
import dataclasses
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from livekit.agents import AgentServer, JobRequest
from livekit.agents.ipc.proc_pool import ProcPool
from livekit.protocol import agent as protocol
from livekit.protocol.models import Room

from voicefleet_worker.desk.desk import Answer, Desk, Identity
from voicefleet_worker.desk.slots import CLOSED_LOAD, LOAD_THRESHOLD, load_on_the_wire, reported_load
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.serving.offers import Offers
from voicefleet_worker.serving.server import build_server, is_registered, keep_warm, tell_livekit
from voicefleet_worker.settings import Settings

NOW = 1_000_000.0


@dataclass
class Request:
    """An offered call whose process takes its time to come up."""

    id: str
    job: protocol.Job = field(default_factory=protocol.Job)
    taken: bool = False
    terminated: bool | None = None
    fails: bool = False

    async def accept(self, **_: Any) -> None:
        await asyncio.sleep(int(self.id.removeprefix("AJ_")) % 7 / 1000)
        if self.fails:
            raise RuntimeError("no assignment came")
        self.taken = True

    async def reject(self, *, terminate: bool = True) -> None:
        self.terminated = terminate


def desk_of(slots: int) -> Desk:
    return Desk(slots=slots, identity=Identity("r1"), clock=lambda: 0.0)


def offers(settings: Settings, desk: Desk) -> tuple[Offers, Metrics]:
    metrics = Metrics(desk)
    return Offers(settings.plan, desk, metrics, Rooms(), clock=lambda: NOW), metrics


class Rooms:
    """What LiveKit knows, which is that one dispatch was deleted."""

    async def is_wished_for(self, dispatch: str, room: str) -> bool:
        assert room == "room"
        return dispatch != "AD_deleted"

    async def is_there(self, *_: str) -> bool:
        return True


async def answer(to: Offers, request: Request) -> None:
    await to.answer(cast("JobRequest", request))


async def test_a_burst_of_fifty_fills_twelve_slots_and_passes_the_rest_on(settings: Settings) -> None:
    desk = desk_of(12)
    to, metrics = offers(settings, desk)
    burst = [Request(f"AJ_{number}") for number in range(50)]

    await asyncio.gather(*(answer(to, request) for request in burst))

    assert sum(request.taken for request in burst) == 12
    assert [r.terminated for r in burst if not r.taken] == [False] * 38
    assert len(desk.next_state().sessions) == 12
    sample = metrics.registry.get_sample_value
    assert sample("voicefleet_worker_offers_total", {"answer": "full"}) == 38
    assert sample("voicefleet_worker_sessions") == 12
    assert sample("voicefleet_worker_sessions_started_total") == 12


async def test_a_cordoned_and_a_draining_worker_pass_on(settings: Settings) -> None:
    desk = desk_of(12)
    to, _ = offers(settings, desk)
    cordoned, draining, welcome = Request("1"), Request("2"), Request("3")

    desk.cordon()
    await answer(to, cordoned)
    assert desk.uncordon()
    await answer(to, welcome)
    desk.drain()
    await answer(to, draining)

    assert (cordoned.terminated, welcome.taken, draining.terminated) == (False, True, False)
    assert not desk.uncordon()


async def test_a_call_that_lacks_variables_is_taken_by_nobody(settings: Settings) -> None:
    needy = settings.plan.variables[0].model_copy(update={"default": None})
    desk = desk_of(1)
    to = Offers(dataclasses.replace(settings.plan, variables=(needy,)), desk, Metrics(desk), Rooms())
    lacking = Request("1")
    bringing = Request("2", protocol.Job(metadata='{"variables": {"name": "Ada"}}'))

    await answer(to, lacking)
    await answer(to, bringing)

    assert (lacking.terminated, bringing.taken) == (True, True)


@pytest.mark.parametrize(
    ("age_seconds", "dispatch", "taken"),
    [
        (2.9, "AD_deleted", True),  # nobody gives a caller away who has waited for no longer
        (3.0, "AD_deleted", False),
        (3.0, "AD_stands", True),
        (60.0, "AD_deleted", False),
        (60.0, "", True),
    ],
)
async def test_an_offer_that_comes_too_late_is_taken_only_if_the_caller_was_not_given_to_another(
    settings: Settings,
    age_seconds: float,
    dispatch: str,
    taken: bool,
) -> None:
    desk = desk_of(1)
    to, _ = offers(settings, desk)
    room = Room(name="room", creation_time_ms=int((NOW - age_seconds) * 1000))
    late = Request("1", protocol.Job(dispatch_id=dispatch, room=room))

    await answer(to, late)

    assert (late.taken, late.terminated, desk.slots.used) == (taken, None if taken else True, int(taken))


@pytest.mark.parametrize("behind_seconds", [4.0, 60.0])
async def test_by_a_clock_that_is_behind_an_offer_that_comes_too_late_is_known_all_the_same(
    settings: Settings, behind_seconds: float
) -> None:
    """Two agents would greet one caller."""
    to, _ = offers(settings, desk_of(9))
    taken = []
    for number, (age, dispatch) in enumerate(
        [(6, "AD_deleted"), (0, "AD_stands"), (0.1, "AD_stands"), (2.9, "AD_deleted"), (3.0, "AD_deleted")]
    ):
        room = Room(name="room", creation_time_ms=int((NOW + behind_seconds - age) * 1000))
        offer = Request(str(number), protocol.Job(dispatch_id=dispatch, room=room))
        await answer(to, offer)
        taken.append(offer.taken)

    # The first tells of the clock if it is from a time to come, and else by its age.
    assert taken == [behind_seconds < 6, True, True, True, False]


async def test_a_call_that_never_came_gives_its_slot_back_and_is_none_that_started(settings: Settings) -> None:
    desk = desk_of(1)
    to, metrics = offers(settings, desk)

    with pytest.raises(RuntimeError):
        await answer(to, Request("1", fails=True))

    assert desk.slots.used == 0
    sample = metrics.registry.get_sample_value
    assert sample("voicefleet_worker_offers_total", {"answer": "accepted"}) == 1
    assert sample("voicefleet_worker_sessions_started_total") == 0


def test_a_slot_is_free_once_the_process_is_gone_and_not_before_it_came() -> None:
    desk = desk_of(2)
    assert desk.answer("a") is Answer.ACCEPTED
    assert desk.answer("b") is Answer.ACCEPTED
    assert desk.answer("c") is Answer.FULL
    desk.mark_launched("a")

    assert desk.keep_running(set()) == ("a",)
    assert [session.id for session in desk.next_state().sessions] == ["b"]


async def test_an_offer_that_fails_the_second_time_leaves_the_call_of_the_first_its_slot(settings: Settings) -> None:
    """LiveKit may offer a call again after it lost sight of the worker."""
    desk = desk_of(2)
    to, _ = offers(settings, desk)

    await answer(to, Request("1"))
    with pytest.raises(RuntimeError):
        await answer(to, Request("1", fails=True))

    assert [session.id for session in desk.next_state().sessions] == ["1"]


def test_a_call_that_runs_without_a_slot_is_counted_all_the_same() -> None:
    desk = desk_of(2)
    assert desk.answer("a") is Answer.ACCEPTED
    desk.give_back("a")
    changed = desk.listen()

    assert desk.keep_running({"a"}) == ()
    assert [session.id for session in desk.next_state().sessions] == ["a"]
    assert changed.is_set()
    assert desk.keep_running(()) == ("a",)


def test_the_same_offer_twice_is_one_call() -> None:
    desk = desk_of(2)

    assert {desk.answer("a"), desk.answer("a")} == {Answer.ACCEPTED}
    assert desk.slots.used == 1


@pytest.mark.parametrize("limit", [1, 12, 200])
def test_load_packs_below_the_threshold_and_closes_above(limit: int) -> None:
    loads = [reported_load(used=used, limit=limit, closed=False) for used in range(limit)]

    assert loads == sorted(loads)
    assert all(load < 0 < LOAD_THRESHOLD for load in loads)
    assert reported_load(used=limit, limit=limit, closed=False) == CLOSED_LOAD >= LOAD_THRESHOLD
    assert reported_load(used=0, limit=limit, closed=True) == CLOSED_LOAD


ASKED = (None, 0.99, 0.686, 0.0, -1e-300, -0.5, -1.0, -1000.0, -1e6, -1e9)


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(("used", "reserved"), [(0, 0), (0, 1), (0, 199), (1, 198), (5, 5), (100, 99), (199, 0)])
async def test_livekit_is_told_that_an_open_worker_is_open(
    settings: Settings, used: int, reserved: int, asked: float | None
) -> None:
    """The SDK adds an estimate for calls that are being launched, of its own, and says full by the sum."""
    server, sent = speaking_server(settings, reported_load(used=used, limit=200, closed=False, asked=asked), used)
    server._reserved_slots = reserved

    await server._update_worker_status()

    assert [told.status for told in sent] == [protocol.WorkerStatus.WS_AVAILABLE]
    assert sent[0].load < CLOSED_LOAD


@pytest.mark.parametrize(("used", "reserved"), [(0, 0), (200, 0), (1, 3)])
async def test_livekit_is_told_that_a_closed_worker_is_full(settings: Settings, used: int, reserved: int) -> None:
    server, sent = speaking_server(settings, reported_load(used=used, limit=200, closed=True, asked=-1e9), used)
    server._reserved_slots = reserved

    await server._update_worker_status()

    assert [told.status for told in sent] == [protocol.WorkerStatus.WS_FULL]


def speaking_server(
    settings: Settings, load: float, used: int
) -> tuple[AgentServer, list[protocol.UpdateWorkerStatus]]:
    """Return a server, and what it says to LiveKit as LiveKit reads it."""
    desk = desk_of(200)
    server = build_server(settings, desk, offers(settings, desk)[0])
    server._devmode = server._draining = server._simulation = False
    server._previous_status = protocol.WorkerStatus.WS_AVAILABLE
    server._worker_load = load
    server._reserved_slots = 0
    server._proc_pool = cast("Any", _Pool([_Process(number) for number in range(used)]))
    sent: list[protocol.UpdateWorkerStatus] = []

    async def send(message: protocol.WorkerMessage) -> None:
        sent.append(protocol.WorkerMessage.FromString(message.SerializeToString()).update_worker)

    server._queue_msg = send  # type: ignore[method-assign]
    return server, sent


async def test_what_a_closed_worker_is_offered_is_refused_by_us_and_counted(settings: Settings) -> None:
    """The SDK would refuse it by itself, and nobody would know that a call had found no slot."""
    desk = desk_of(1)
    to, metrics = offers(settings, desk)
    server, _ = speaking_server(settings, 1.0, 0)
    server._loop = asyncio.get_running_loop()
    server._job_lifecycle_tasks = set()
    server._load_fnc = lambda: desk.load
    server._request_fnc = to.answer
    said: list[protocol.WorkerMessage] = []

    async def send(message: protocol.WorkerMessage) -> None:
        said.append(message)

    server._queue_msg = send  # type: ignore[method-assign]
    desk.cordon()
    await server._answer_availability(protocol.AvailabilityRequest(job=protocol.Job(id="AJ_1")))
    await asyncio.gather(*server._job_lifecycle_tasks)

    assert [(m.availability.available, m.availability.terminate) for m in said] == [(False, False)]
    assert desk.next_state().refused == 1
    assert metrics.registry.get_sample_value("voicefleet_worker_offers_total", {"answer": "cordoned"}) == 1


def test_refused_calls_are_those_that_found_no_slot() -> None:
    desk = desk_of(1)
    for job in ("a", "a", "b", "c"):
        desk.answer(job)
    desk.cordon()
    desk.answer("d")

    assert desk.next_state().refused == 3


def test_what_we_take_from_the_sdks_inside_is_still_there(settings: Settings) -> None:
    desk = desk_of(3)
    server = build_server(settings, desk, offers(settings, desk)[0])
    pool = _Pool([])
    server._proc_pool = cast("Any", pool)

    keep_warm(server, 2)

    assert server._is_available()
    assert callable(AgentServer._is_available)
    assert callable(AgentServer._get_effective_load)
    assert callable(AgentServer._handle_termination)
    assert callable(ProcPool.get_by_job_id)
    assert not is_registered(server)
    assert pool.target == 2
    assert callable(ProcPool.set_target_idle_processes)
    assert callable(tell_livekit)
    assert callable(server._refresh_worker_load)
    assert callable(server._update_worker_status)
    assert server._connecting is False


@pytest.mark.parametrize("load", [0.99, 0.686, 0.0, -1e-300, -0.25, -1000.0, -999_999.5, -1e9])
def test_an_open_worker_says_what_it_was_told_and_on_the_wire_it_is_open_too(load: float) -> None:
    told = reported_load(used=0, limit=12, closed=False, asked=load)

    assert load_on_the_wire(told) == protocol.UpdateWorkerStatus(load=told).load < LOAD_THRESHOLD
    assert told == load


def test_loads_that_differ_by_a_ten_millionth_of_themselves_stay_different_on_the_wire() -> None:
    """So do all thousands down to -1e9, and halves down to a million."""
    for load in (-1.0, -1000.0, -1e6, -1e9):
        assert load_on_the_wire(load) != load_on_the_wire(load * 1.000_000_2)
    assert load_on_the_wire(-1e6) != load_on_the_wire(-1e6 - 0.5)


@dataclass
class _Process:
    running_job: int


class _Pool:
    def __init__(self, processes: list[_Process]) -> None:
        self.processes = processes
        self.target = 0

    def set_target_idle_processes(self, number: int) -> None:
        self.target = number
