"""A lookout comes when nobody else would see a call come, stays as long as it is of use, and is one for a pool."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import fleet as make
from tests.support.fleet import NOW
from voicefleet.fleet import Heard, PodRef, Trouble, Worker
from voicefleet.fleet.lookout import AS_IT_IS, Lookout, LookoutPlan, can_look_out, plan_lookout
from voicefleet.fleet.refreshing import Refresh
from voicefleet.names import Reason

SOMEBODY = PodRef("other-new-0", "uid-other", "1")
RECENTLY, LONG_AGO = NOW - timedelta(seconds=5), NOW - timedelta(hours=1)


def own(*, says: bool = True, since: datetime = LONG_AGO, **pod: object) -> Worker:
    """Return an agent's lookout that is up since some moment."""
    body = replace(make.pod("desk-lookout"), revision="new", ready=True, ready_since=since, **pod)
    state = make.state(slots=0, cordoned=True, looks_for_callers=True)
    return Worker(body, Heard(state, NOW) if says else None)


def lookout(worker: Worker | None = None, **more: object) -> Lookout:
    return replace(Lookout(worker, may_sleep=True, unwatched_since=NOW), **more)


GONE = LookoutPlan(delete=own().pod.ref)
COMES = LookoutPlan(is_missing=True)


@pytest.mark.parametrize(
    ("seen", "plan"),
    [
        (lookout(), LookoutPlan(look_again_after=timedelta(seconds=30))),
        (lookout(unwatched_since=NOW - timedelta(seconds=30)), COMES),
        (lookout(may_sleep=False, unwatched_since=LONG_AGO), AS_IT_IS),
        (lookout(watchman=SOMEBODY, unwatched_since=None), AS_IT_IS),
        (
            lookout(rank=2, unwatched_since=NOW - timedelta(seconds=30)),
            LookoutPlan(look_again_after=timedelta(seconds=60)),
        ),
        (lookout(rank=2, unwatched_since=NOW - timedelta(seconds=90)), COMES),
        (lookout(own(), watchman=own().pod.ref), AS_IT_IS),
        (lookout(own(), watchman=SOMEBODY), GONE),
        (lookout(own(), may_sleep=False), GONE),
        (lookout(replace(own(), pod=replace(own().pod, revision="old")), watchman=own().pod.ref), GONE),
        (lookout(own(says=False), unwatched_since=LONG_AGO), GONE),
        (lookout(own(says=False)), AS_IT_IS),
        (lookout(own(says=False, since=RECENTLY), unwatched_since=LONG_AGO), AS_IT_IS),
        (lookout(own(says=False, phase="Failed", since=None, ended_at=LONG_AGO)), GONE),
        (
            lookout(own(says=False, phase="Failed", since=None, ended_at=NOW - timedelta(seconds=20))),
            LookoutPlan(look_again_after=timedelta(seconds=40)),
        ),
        (lookout(own(leaving=True), may_sleep=False), AS_IT_IS),
    ],
    ids=[
        "nobody watches at this moment",
        "nobody watches",
        "nobody need watch",
        "somebody else watches",
        "others come first",
        "those who come first do not come",
        "it watches",
        "somebody watches who comes first",
        "the agent sleeps no more",
        "of a revision that is past",
        "up and mute",
        "up for long, and mute for a moment",
        "up, and not heard yet",
        "over",
        "over a moment ago",
        "on its way out",
    ],
)
def test_a_lookout_is_there_while_it_is_of_use(seen: Lookout, plan: LookoutPlan) -> None:
    assert plan_lookout(seen, "new", NOW) == plan


@pytest.mark.parametrize(
    ("pod", "word", "plan"),
    [
        ({}, "today", LookoutPlan(refresh=(Refresh(own().pod.ref, "today"),))),
        ({"secrets_changed": "today"}, "today", AS_IT_IS),
        ({"secrets_written_at": RECENTLY}, "", LookoutPlan(refresh=(Refresh(own().pod.ref),))),
        ({"secrets_written_at": NOW}, "", LookoutPlan(look_again_after=timedelta(seconds=1))),
    ],
    ids=["somebody said so", "it was told", "a Secret was written", "a Secret was written a moment ago"],
)
def test_a_lookout_has_its_kubelet_look_at_new_secrets_as_workers_have(
    pod: dict[str, object], word: str, plan: LookoutPlan
) -> None:
    here = own(**pod)

    assert plan_lookout(lookout(here, watchman=here.pod.ref), "new", NOW, word=word) == plan


def test_whatever_holds_calls_under_that_name_keeps_them() -> None:
    busy = replace(own(), heard=Heard(make.state(calls=1), NOW))

    assert plan_lookout(lookout(busy, may_sleep=False), "new", NOW) == AS_IT_IS
    assert not can_look_out(busy, NOW)


def test_a_lookout_of_a_revision_that_cannot_be_had_stays() -> None:
    seen = lookout(replace(own(), pod=replace(own().pod, revision="old")), watchman=own().pod.ref)

    assert plan_lookout(seen, None, NOW) == AS_IT_IS


def test_what_keeps_a_lookout_from_working_is_said() -> None:
    no_node = Trouble(Reason.UNSCHEDULABLE, "no node takes a worker")

    assert lookout().problem() == "no lookout is there yet"
    assert lookout(refusal="403 Forbidden: quota").problem() == "403 Forbidden: quota"
    assert lookout(own()).problem() == "its lookout does not reach LiveKit, or does not answer yet"
    assert lookout(own(trouble=no_node)).problem() == "no node takes a worker"


@pytest.mark.parametrize(
    ("worker", "can"),
    [
        (own(), True),
        (own(says=False), False),
        (replace(own(), heard=Heard(make.state(slots=0), LONG_AGO)), False),
        (replace(own(), heard=Heard(make.state(slots=0, looks_for_callers=False), NOW)), False),
        (own(leaving=True), False),
        (replace(own(), heard=Heard(make.state(), NOW)), False),
    ],
    ids=["on the line", "never heard", "silent", "without LiveKit", "on its way out", "a worker"],
)
def test_a_lookout_can_look_out_while_it_is_heard(worker: Worker, can: bool) -> None:
    assert can_look_out(worker, NOW) is can


@dataclass
class Sleeper:
    """An agent of a pool whose lookouts come up after ten seconds, unless something keeps them from it."""

    comes_up: bool
    made_at: datetime | None = None
    unwatched_since: datetime | None = None
    made: int = 0

    def lookout(self, number: int, now: datetime) -> Worker | None:
        if self.made_at is None:
            return None
        is_up = self.comes_up and now - self.made_at >= timedelta(seconds=10)
        pod = replace(make.pod(f"agent{number}-lookout"), revision="new", ready=is_up, ready_since=None)
        return Worker(pod, Heard(make.state(slots=0, looks_for_callers=True), now) if is_up else None)


@dataclass
class Sleepers:
    """All agents of a pool, each deciding for itself, in any order."""

    agents: list[Sleeper]
    now: datetime = NOW
    working: list[int] = field(default_factory=list)

    def turn(self, order: Callable[[list[int]], list[int]]) -> None:
        for number in order(list(range(len(self.agents)))):
            self._turn_of(number)
        self.now += timedelta(seconds=5)

    def watchmen(self) -> list[PodRef]:
        found = [agent.lookout(number, self.now) for number, agent in enumerate(self.agents)]
        return [worker.pod.ref for worker in found if worker is not None and can_look_out(worker, self.now)]

    def _turn_of(self, number: int) -> None:
        agent, watchman = self.agents[number], next(iter(self.watchmen()), None)
        agent.unwatched_since = None if watchman else agent.unwatched_since or self.now
        seen = Lookout(agent.lookout(number, self.now), watchman, number, agent.unwatched_since, may_sleep=True)
        plan = plan_lookout(seen, "new", self.now)
        if plan.is_missing:
            agent.made_at, agent.made = self.now, agent.made + 1
        if plan.delete:
            agent.made_at = None


@given(able=st.lists(st.booleans(), min_size=1, max_size=8).filter(any), data=st.data())
def test_a_pool_comes_to_one_lookout_whichever_of_its_agents_cannot_have_one(
    able: list[bool], data: st.DataObject
) -> None:
    pool = Sleepers([Sleeper(comes_up) for comes_up in able])

    for _ in range(80):
        pool.turn(lambda numbers: data.draw(st.permutations(numbers)))

    assert len(pool.watchmen()) == 1
    assert pool.watchmen()[0].name == f"agent{able.index(True)}-lookout"
    assert all(agent.made <= 1 for agent in pool.agents)
