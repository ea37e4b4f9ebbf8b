"""The election, with a record that behaves as the server's: a stale version is refused."""

import asyncio
from typing import Any

import pytest

from voicefleet_operator import pulse
from voicefleet_operator.apiserver.kube import WRITE_SECONDS
from voicefleet_operator.errors import ApiError
from voicefleet_operator.lead import lease as module
from voicefleet_operator.lead.lease import Lease

Body = dict[str, Any]


class World:
    """A clock, and the one Lease that everybody talks to."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.version = 0
        self.lease: Body | None = None
        self.cut_off: set[str] = set()
        self.seconds_per_refusal = 0.0
        self.seconds_per_request = 0.0
        self.requests: list[str] = []
        self.loses_answers = False

    def candidate(self, name: str) -> Lease:
        connection = Connection(self, name)
        return Lease(connection, namespace="op", name="lead", identity=name, clock=lambda: self.seconds)  # type: ignore[arg-type]

    def write(self, spec: Body) -> Body:
        self.version += 1
        self.lease = {"metadata": {"resourceVersion": str(self.version)}, "spec": spec}
        return self.lease

    @property
    def holder(self) -> str:
        assert self.lease is not None
        return str(self.lease["spec"]["holderIdentity"])


class Connection:
    """One candidate's way to the record."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name

    async def request(self, method: str, _path: str, *, body: Body | None = None, **_: object) -> Body:
        self.world.requests.append(method)
        self.check()
        if method == "POST":
            assert body is not None
            if self.world.lease is not None:
                raise ApiError(409, "AlreadyExists", "")
            return self.world.write(body["spec"])
        if self.world.lease is None:
            raise ApiError(404, "NotFound", "")
        return self.world.lease

    async def merge(self, _path: str, body: Body, **_: object) -> Body:
        self.world.requests.append("PATCH")
        self.check()
        if self.world.lease is None:
            raise ApiError(404, "NotFound", "")
        if body["metadata"]["resourceVersion"] != self.world.lease["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "")
        written = self.world.write({**self.world.lease["spec"], **body["spec"]})
        if self.world.loses_answers:
            raise ApiError(0, "TimeoutError", "")
        return written

    def check(self) -> None:
        self.world.seconds += self.world.seconds_per_request
        if self.name in self.world.cut_off:
            self.world.seconds += self.world.seconds_per_refusal
            raise ApiError(0, "TimeoutError", "")


@pytest.fixture
def world() -> World:
    return World()


async def test_the_first_one_leads_and_the_second_waits(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")

    assert await first._try()
    assert not await second._try()
    assert (first.is_valid(), second.is_valid()) == (True, False)


async def test_a_leader_that_falls_silent_stops_before_the_next_one_begins(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first._try()
    await second._try()
    world.cut_off = {"first"}

    both = []
    for _ in range(20):
        world.seconds += 1
        await first._try()
        await second._try()
        both.append((first.is_valid(), second.is_valid()))

    assert (True, True) not in both
    assert both[8] == (True, False)
    assert both[9] == (False, False)
    assert both[-1] == (False, True)
    assert world.holder == "second"


async def test_renewing_keeps_others_waiting_however_long(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")

    for _ in range(30):
        await first._try()
        assert not await second._try()
        world.seconds += 2


async def a_leader_that_renewed(world: World) -> Lease:
    """Return one that has seen the record as it wrote it."""
    leader = world.candidate("first")
    assert await leader._try()
    assert await leader._try()
    return leader


async def test_a_leader_need_not_look_at_what_it_wrote_itself(world: World) -> None:
    leader = await a_leader_that_renewed(world)
    world.requests.clear()

    assert await leader._try()
    assert await leader._try()
    assert world.requests == ["PATCH", "PATCH"]


async def test_a_leader_whose_renewal_had_no_answer_looks_what_became_of_it(world: World) -> None:
    leader = await a_leader_that_renewed(world)
    world.loses_answers = True
    assert not await leader._try()
    world.loses_answers = False
    world.requests.clear()

    assert await leader._try()
    assert world.requests == ["GET", "PATCH"]


async def test_a_leader_whose_record_somebody_changed_or_deleted_goes_by_what_is_there(world: World) -> None:
    leader = await a_leader_that_renewed(world)
    assert world.lease is not None
    world.write(world.lease["spec"])
    assert await leader._try()

    world.lease = None
    assert await leader._try()
    assert world.holder == "first"


@pytest.mark.parametrize(("seconds_per_request", "is_slow"), [(0.05, False), (1.4, False), (1.6, True)])
async def test_an_apiserver_is_slow_who_takes_more_than_a_second_and_a_half_to_renew_a_lead(
    world: World, seconds_per_request: float, is_slow: bool
) -> None:
    leader = world.candidate("first")
    await leader._try()
    world.seconds_per_request = seconds_per_request
    said = set()
    for _ in range(5):
        world.seconds += 2
        await leader._try()
        said.add(leader.is_slow())

    assert leader.is_valid()
    assert said == {is_slow}


async def test_a_renewal_that_is_overdue_is_slow_before_it_ends(world: World) -> None:
    leader = world.candidate("first")
    assert not leader.is_slow()
    await leader._try()
    world.cut_off = {"first"}

    said = []
    for _ in range(7):
        world.seconds += 1
        await leader._try()
        said.append(leader.is_slow())

    assert said == [False] * 3 + [True] * 4


async def test_a_lead_that_was_given_away_is_taken_at_once(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first._try()
    await second._try()

    await first.release()

    assert not first.is_valid()
    assert await second._try()


async def test_who_starts_where_the_leader_crashed_leads_at_once(world: World) -> None:
    crashed, again = world.candidate("pod-a_uid-a_1"), world.candidate("pod-a_uid-a_2")
    await crashed._try()

    assert await again._try()
    assert world.holder == "pod-a_uid-a_2"
    assert world.lease is not None
    assert world.lease["spec"]["leaseTransitions"] == 1


@pytest.mark.parametrize("other", ["pod-b_uid-b_2", "pod-a_uid-b_2", "pod-a_uid-a2_2"])
async def test_who_starts_in_another_pod_waits_for_the_lease_to_run_out(world: World, other: str) -> None:
    crashed, second = world.candidate("pod-a_uid-a_1"), world.candidate(other)
    await crashed._try()

    assert not await second._try()
    world.seconds += module._DURATION_SECONDS - 0.1
    assert not await second._try()
    world.seconds += 0.1
    assert await second._try()


async def test_who_was_taken_for_dead_by_its_successor_takes_nothing_back(world: World) -> None:
    frozen, again = world.candidate("pod-a_uid-a_1"), world.candidate("pod-a_uid-a_2")
    await frozen._try()
    await again._try()

    assert not await frozen._try()
    assert (frozen.is_valid(), again.is_valid()) == (False, True)
    assert not await frozen._try()


async def test_whoever_waits_looks_again_at_the_moment_when_a_silent_leader_counts_as_gone(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first._try()
    await second._try()

    assert second._pause_seconds() == module._RETRY_SECONDS
    world.seconds += module._DURATION_SECONDS - 0.5
    await second._try()
    assert second._pause_seconds() == 0.5
    world.seconds += 1.0
    assert second._pause_seconds() == module._RETRY_SECONDS


async def test_a_lease_that_somebody_deletes_is_not_taken_while_its_holder_may_go_on(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first._try()
    await second._try()
    world.lease = None

    assert not await second._try()
    world.seconds += module._DURATION_SECONDS
    assert await second._try()


async def test_who_finds_no_lease_at_all_begins_at_once(world: World) -> None:
    assert await world.candidate("first")._try()


async def test_a_leader_that_was_replaced_does_not_give_away_what_is_not_its_own(world: World) -> None:
    first = world.candidate("first")
    await first._try()
    assert world.lease is not None
    world.write({**world.lease["spec"], "holderIdentity": "second"})

    await first.release()

    assert world.holder == "second"


async def test_a_leader_that_finds_another_name_in_the_record_is_none_from_then_on(world: World) -> None:
    first = world.candidate("first")
    await first._try()
    assert world.lease is not None
    world.write({**world.lease["spec"], "holderIdentity": "second"})

    assert not await first._try()
    assert not first.is_valid()


async def test_of_two_who_find_it_abandoned_one_wins(world: World) -> None:
    one, two = world.candidate("one"), world.candidate("two")
    stale = world.write({"holderIdentity": "", "leaseTransitions": 4})

    await one._try()
    with pytest.raises(ApiError, match="409"):
        await two._change(stale, {"holderIdentity": "two"})

    assert world.holder == "one"
    assert world.lease is not None
    assert world.lease["spec"]["leaseTransitions"] == 5


async def test_keeping_ends_when_renewing_failed_for_ten_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0)
    first = world.candidate("first")
    await first._try()
    world.cut_off, world.seconds_per_refusal = {"first"}, 3.0

    await first.keep()

    assert 10 <= world.seconds <= 12
    assert not first.is_valid()


async def test_whoever_asks_is_told_when_the_apiserver_answers_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0)
    first = world.candidate("first")
    await first._try()
    world.cut_off, world.seconds_per_refusal = {"first"}, 3.0
    returns: list[float] = []

    async def mend() -> None:
        while world.seconds < 6:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0)
        world.cut_off = set()

    def note() -> None:
        returns.append(world.seconds)
        world.cut_off = {"first"}

    mending = asyncio.create_task(mend())
    await first.keep(note)
    await mending

    assert len(returns) == 1
    assert not first.is_valid()


def test_a_write_that_began_while_we_led_is_over_before_another_may_lead() -> None:
    assert module._DURATION_SECONDS - module._RENEW_WITHIN_SECONDS > WRITE_SECONDS


def test_a_loop_counts_as_stuck_when_a_lead_would_be_over() -> None:
    assert pulse._STUCK_SECONDS == module._RENEW_WITHIN_SECONDS
