"""How many workers there should be, as a table with both sides of each boundary."""

from dataclasses import dataclass
from datetime import time, timedelta

import pytest

from tests.support import fleet as make
from tests.support.fleet import NOW, fleet
from tests.support.manifests import minimal
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.voiceagent.spec import VoiceAgentSpec
from voicefleet.autoscaling.load import LOADS_IGNORED, Outlook, Size
from voicefleet.fleet import Fleet, Worker
from voicefleet.fleet.size import Spent, ceilings_of, loads_of, plan_fleet_size


@dataclass(frozen=True)
class Case:
    sentence: str
    calls: tuple[int, ...]
    want: tuple[int, str]
    scaling: tuple[tuple[str, object], ...] = ()


CASES = (
    Case("no call, the minimum stays", (), (1, "Demand"), (("warmFloorSlots", 0),)),
    Case("ten calls and two warm slots fill one worker", (10,), (1, "Demand")),
    Case("eleven calls and two warm slots need a second", (11,), (2, "Demand")),
    Case("calls are counted over all workers", (12, 11), (3, "Demand")),
    Case("the maximum binds", (12, 12, 12), (3, "Max"), (("max", 3),)),
    Case("the minimum binds", (1,), (4, "Min"), (("min", 4),)),
)


def spec(**changes: object) -> VoiceAgentSpec:
    manifest = minimal("VoiceAgent")
    manifest["spec"] |= changes
    return VoiceAgent.model_validate(manifest).spec


def plan_size(of: VoiceAgentSpec, seen: Fleet, coming: str | None = None) -> Size:
    loads = loads_of(seen, slots=of.worker.sessions_per_worker, coming=coming, now=NOW)
    return plan_fleet_size(of, loads, make.lessons(), Outlook(), now=NOW)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)
def test_the_size_follows_the_calls(case: Case) -> None:
    workers = (make.busy(f"desk-new-{number}", calls=calls) for number, calls in enumerate(case.calls))

    size = plan_size(spec(scaling=dict(case.scaling)), fleet(*workers))

    assert (size.desired, size.limit) == case.want


def test_workers_that_others_replace_count_as_those() -> None:
    """44 calls and two warm slots fit into four workers of twelve, and need eight of six."""
    old = fleet(*(make.busy(f"desk-old-{number}", calls=11) for number in range(4)))
    smaller = spec(worker={"sessionsPerWorker": 6})

    assert plan_size(smaller, old, coming="new").desired == 8
    assert plan_size(smaller, old).desired == 4
    larger = spec(worker={"sessionsPerWorker": 24})
    assert plan_size(larger, old, coming="new").desired == 4


def test_an_external_scaler_has_the_last_word() -> None:
    size = plan_size(spec(scaling={"mode": "External"}, replicas=7), fleet())

    assert (size.desired, size.limit) == (7, "External")


def test_an_external_scaler_that_has_nothing_to_change_yet_is_told_of() -> None:
    """The scale of an object without spec.replicas cannot be read: an HPA would wait for ever, and nobody say why."""
    waits, goes = spec(scaling={"mode": "External"}), spec(scaling={"mode": "External"}, replicas=1)

    size = plan_size(waits, fleet(make.busy("desk-new-0", calls=11)))

    assert size.desired == 2
    assert size.reasons[-1].startswith("spec.replicas is not set")
    assert not any("not set" in reason for reason in plan_size(goes, fleet()).reasons)


def test_an_external_scaler_is_told_as_well_that_loads_are_ignored() -> None:
    external = spec(scaling={"mode": "External"}, replicas=7)

    reasons = {
        ignored: plan_fleet_size(external, [], make.lessons(loads_ignored=ignored), Outlook(), now=NOW).reasons
        for ignored in (False, True)
    }

    assert reasons == {False: ("spec.replicas asks for 7",), True: (LOADS_IGNORED, "spec.replicas asks for 7")}


def test_a_suspended_agent_wants_no_workers() -> None:
    size = plan_size(spec(suspend=True), fleet(make.busy("desk-new-0", calls=5)))

    assert (size.desired, size.limit) == (0, "Suspended")


def test_workers_that_nobody_ever_heard_bring_one_more_and_not_one_for_each() -> None:
    """A network policy in the operator's way keeps every new worker silent, too."""
    policy = spec(scaling={"min": 4, "max": 20})
    never = [Worker(make.pod(f"desk-new-{n}", created_at=NOW - timedelta(hours=1))) for n in range(4)]
    later = [Worker(make.pod(f"desk-new-{n}", created_at=NOW - timedelta(hours=1))) for n in range(5)]

    assert [plan_size(policy, fleet(*workers)).desired for workers in (never, later)] == [4, 4]
    assert plan_size(policy, fleet(*(make.silent(f"desk-new-{n}") for n in range(4)))).desired > 4


@pytest.mark.parametrize(("most", "each", "workers"), [(0.6, 0.2, 3), (2.1, 0.7, 3), (2.09, 0.7, 2), (0, 0.7, 0)])
def test_a_budget_pays_for_as_many_workers_as_it_does_on_paper(most: float, each: float, workers: int) -> None:
    of = spec(scaling={"budget": {"maxCostPerHour": most, "workerCostPerHour": each}})
    on = ProviderPool.model_validate(minimal("ProviderPool"))

    ceilings = ceilings_of(of, on, Spent(), now=NOW)

    assert [ceiling.workers for ceiling in ceilings if ceiling.limit == "Budget"] == [workers]


@pytest.mark.parametrize(
    ("clock", "used", "here", "most"),
    [
        ("12:00", 120.0, 10, 10),
        ("12:00", 120.1, 10, 10),
        ("12:00", 123.1, 10, 9),
        ("12:00", 120.1, 0, 9),
        ("12:00", 120.1, 12, 10),
        ("12:00", 100.0, 10, 11),
        ("23:30", 235.0, 10, 10),
        ("23:59", 236.0, 10, 10),
        ("23:59", 239.99, 10, 0),
        ("23:59", 240.0, 10, 0),
    ],
)
def test_a_budget_for_the_day_lasts_for_the_day_and_nobody_comes_and_goes_for_a_moment(
    clock: str, used: float, here: int, most: int
) -> None:
    """240 hours are ten workers all day: one of them was deleted and made anew each minute, and six by midnight."""
    of = spec(scaling={"budget": {"maxWorkerHoursPerDay": 240}})
    now = NOW.combine(NOW, time.fromisoformat(clock), NOW.tzinfo)

    (ceiling,) = ceilings_of(of, None, Spent(here, used), now=now)

    assert (ceiling.limit, ceiling.workers) == ("Budget", most)
    assert ceiling.reason.endswith(f"enough for {most} worker{'' if most == 1 else 's'}")


def test_workers_that_use_the_hours_of_a_day_as_they_come_all_stay_until_midnight() -> None:
    """As the operator counts: every few seconds, what was there until then."""
    of, used, seen = spec(scaling={"budget": {"maxWorkerHoursPerDay": 24}}), 0.0, set()
    for second in range(0, 86_400, 7):
        now = NOW.combine(NOW, time(), NOW.tzinfo) + timedelta(seconds=second)
        seen.update(each.workers for each in ceilings_of(of, None, Spent(1, used), now=now))
        used += 7 / 3600

    assert seen == {1}


@pytest.mark.parametrize("hours", [20, 24, 30, 36, 47])
def test_a_budget_for_the_day_lets_a_fleet_change_a_few_times_and_lasts_until_midnight(hours: int) -> None:
    """From noon on as many workers run as the budget carries, looked at every five seconds."""
    of = spec(scaling={"budget": {"maxWorkerHoursPerDay": hours}})
    workers, used, changes = 1, 0.0, 0
    for second in range(0, 12 * 3600, 5):
        (ceiling,) = ceilings_of(of, None, Spent(workers, used), now=NOW + timedelta(seconds=second))
        changes += ceiling.workers != workers
        workers = ceiling.workers
        used += workers * 5 / 3600

    assert changes <= 3
    assert hours - 1 <= used <= hours + 0.01


@pytest.mark.parametrize(("there", "carried"), [(0, 1), (1, 1), (2, 2), (5, 2)])
def test_a_worker_that_is_there_stays_for_the_little_that_the_budget_lacks(there: int, carried: int) -> None:
    of = spec(scaling={"budget": {"maxWorkerHoursPerDay": 24}})

    (ceiling,) = ceilings_of(of, None, Spent(there, 0.5), now=NOW)

    assert ceiling.workers == carried
