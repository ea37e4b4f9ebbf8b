"""How many workers there should be, and the reasons given."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.autoscaling.arrivals import ArrivalRate
from voicefleet.autoscaling.load import (
    Ceiling,
    Floor,
    KnownCalls,
    Lessons,
    Outlook,
    Rules,
    Size,
    Standing,
    Startup,
    WorkerLoad,
)
from voicefleet.autoscaling.sizing import plan_size
from voicefleet.autoscaling.survival import Survival

NOW = 100_000.0
RULES = Rules(slots_per_worker=12, min_workers=1, max_workers=10_000)
STARTUP = Startup(mean=45, q95=63, q99=72)
NOTHING = Outlook()
WATCHED = Outlook(watched=True)


def lessons(per_second: float = 0.5, *, headroom: float = 2.75, mean: float = 360) -> Lessons:
    arrivals = ArrivalRate.guess(per_second * 5000, 5000)
    return Lessons(arrivals, Survival.prior(mean), STARTUP, headroom)


def quiet(seconds: float) -> Lessons:
    return replace(lessons(), arrivals=ArrivalRate().after(0, seconds))


def worker(name: str, calls: int = 0, standing: Standing = Standing.OPEN, **fields: object) -> WorkerLoad:
    began = tuple(NOW - 17.0 * (number + 1) for number in range(calls))
    return replace(WorkerLoad(name, 12, standing, since=NOW - 600, calls=began), **fields)  # type: ignore[arg-type]


def workers(calls: int, each: int = 10) -> list[WorkerLoad]:
    """Return workers that hold so many calls, of every age up to ten minutes."""
    ages = [600.0 * (number + 0.5) / max(1, calls) for number in range(calls)]
    return [
        WorkerLoad(f"w{first}", 12, Standing.OPEN, NOW - 3600, tuple(NOW - age for age in ages[first::step]))
        for step in [max(1, -(-calls // each))]
        for first in range(step)
    ]


def size(
    fleet: list[WorkerLoad], rules: Rules = RULES, learned: Lessons | None = None, outlook: Outlook = NOTHING
) -> Size:
    return plan_size(rules, fleet, learned or lessons(), outlook, NOW)


@given(st.integers(0, 400), st.integers(1, 60), st.floats(0.001, 5), st.floats(0.5, 4))
def test_more_calls_never_need_fewer_workers(calls: int, more: int, rate: float, headroom: float) -> None:
    learned = lessons(rate, headroom=headroom)
    few = workers(calls)
    many = [*few, WorkerLoad("more", 60, Standing.OPEN, 0.0, tuple(NOW - 5.0 * n for n in range(more)))]
    same_slots = [*few, WorkerLoad("more", 60, Standing.OPEN, 0.0)]

    assert size(many, learned=learned).slots >= size(same_slots, learned=learned).slots


@given(st.integers(0, 500), st.floats(0.001, 5), st.floats(0.5, 4))
def test_the_headroom_never_leaves_fewer_slots_than_will_be_held_on_average(
    calls: int, rate: float, headroom: float
) -> None:
    planned = size(workers(calls), learned=lessons(rate, headroom=headroom))

    assert planned.slots >= 0.8 * calls
    assert planned.keep >= planned.desired >= 1
    assert planned.desired * 12 >= planned.slots


@given(st.integers(0, 200), st.integers(1, 40), st.integers(0, 30), st.integers(0, 5))
def test_a_ceiling_holds_however_many_workers_hold_calls(calls: int, ceiling: int, spare: int, silent: int) -> None:
    fleet = [*workers(calls), *(worker(f"spare{n}") for n in range(spare))]
    fleet += [worker(f"silent{n}", known=False) for n in range(silent)]
    free = size(fleet)
    bound = size(fleet, replace(RULES, max_workers=ceiling))

    assert bound.desired == min(ceiling, free.desired)
    assert bound.keep <= max(ceiling, bound.desired)


def test_what_becomes_of_workers_beyond_a_ceiling_is_said() -> None:
    planned = size(workers(240, each=12), replace(RULES, max_workers=18), lessons(0.72))

    assert planned.desired == 18
    assert planned.reasons[-2] == "2 of 20 workers with calls take no new ones, and go after the last"


@given(st.integers(0, 300), st.floats(0.01, 3), st.floats(0.5, 3), st.floats(0.1, 1))
def test_more_headroom_never_means_fewer_workers(calls: int, rate: float, headroom: float, more: float) -> None:
    little, much = lessons(rate, headroom=headroom), lessons(rate, headroom=headroom + more)

    assert size(workers(calls), learned=much).desired >= size(workers(calls), learned=little).desired


def test_the_reasons_are_a_chain_of_numbers_to_the_limit() -> None:
    planned = size(workers(240, each=12), replace(RULES, max_workers=20), lessons(0.72))

    assert (planned.limit, planned.desired) == ("Max", 20)
    assert planned.reasons == (
        "240 calls now, 0.72 a second arrive",
        "in 63 s 240 are expected, 265 at most (z 2.75)",
        "265 slots at 12 a worker need 23",
        "scaling.max allows 20",
        "at this rate about 10.15% of calls will find no slot",
    )


def test_what_a_ceiling_costs_is_said() -> None:
    planned = size(workers(240, each=12), replace(RULES, max_workers=20), lessons(0.7))

    assert planned.desired == 20
    assert planned.reasons[-1].startswith("at this rate about ")
    assert planned.reasons[-1].endswith("of calls will find no slot")


def test_what_binds_and_what_it_costs_is_said_however_much_there_is_to_say() -> None:
    fleet = [*workers(240, each=12), *(worker(f"late{n}", standing=Standing.STARTING, since=NOW - 999) for n in "ab")]
    fleet.append(worker("silent", 3, known=False))
    learned = replace(lessons(0.72), burst_until=NOW + 30, loads_ignored=True)
    floors = tuple(Floor(f"f{n}", workers=30 + n, free_slots=100 + n) for n in range(10))

    planned = size(fleet, replace(RULES, max_workers=20), learned, Outlook(waiting=9, floors=floors))

    assert planned.limit == "Max"
    assert len(planned.reasons) <= 16
    assert planned.reasons[0].startswith("243 calls now")
    assert "scaling.max allows 20" in planned.reasons
    assert planned.reasons[-1].endswith("of calls will find no slot")
    assert any(reason.endswith(" more reasons") for reason in planned.reasons)


def test_a_small_fleet_counts_whole_calls() -> None:
    assert size([worker("a", 2)], learned=lessons(0.01)).desired == 1
    assert size([worker("a", 11)], learned=lessons(0.03)).desired == 2


def test_few_workers_with_calls_that_never_end_need_no_second_headroom() -> None:
    steady = lessons(0.0001, mean=80_000)

    assert size([worker("a", 11)], learned=steady).desired == 1


def test_nobody_is_cordoned_while_callers_who_were_dispatched_again_are_on_their_way() -> None:
    sleeps = replace(RULES, min_workers=0, scale_to_zero=True, warm_slots=0)
    planned = size([worker("a")], sleeps, quiet(900_000), replace(WATCHED, dispatched=True))

    assert (planned.desired, planned.keep) == (0, 1)
    assert planned.reasons[-1] == "callers were dispatched again a moment ago: no worker is cordoned"


@pytest.mark.parametrize(
    ("rules", "outlook", "limit", "desired"),
    [
        (replace(RULES, min_workers=5), NOTHING, "Min", 5),
        (replace(RULES, warm_slots=30), NOTHING, "WarmFloor", 3),
        (RULES, Outlook(floors=(Floor("lunch", workers=4),)), "Schedule", 4),
        (RULES, Outlook(floors=(Floor("lunch", free_slots=40),)), "Schedule", 4),
        (RULES, Outlook(floors=(Floor("a", workers=4), Floor("b", workers=7))), "Schedule", 7),
        (replace(RULES, min_workers=9), Outlook(ceilings=(Ceiling("Budget", 6, "b"),)), "Budget", 6),
        (
            replace(RULES, min_workers=9, max_workers=8),
            Outlook(ceilings=(Ceiling("Budget", 6, "b"), Ceiling("ProviderQuota", 3, "q"))),
            "ProviderQuota",
            3,
        ),
        (replace(RULES, min_workers=9, max_workers=2), Outlook(ceilings=(Ceiling("Budget", 6, "b"),)), "Max", 2),
        (RULES, NOTHING, "Demand", 1),
    ],
)
def test_the_limit_is_what_binds(rules: Rules, outlook: Outlook, limit: str, desired: int) -> None:
    planned = size([worker("a", 3)], rules, lessons(0.01), outlook)

    assert (planned.limit, planned.desired) == (limit, desired)
    assert len(planned.reasons) <= 8


def test_known_calls_raise_the_size_one_lead_before_they_come() -> None:
    campaign = KnownCalls(begins_at=NOW + 50, seconds=20, calls=120)
    early = KnownCalls(begins_at=NOW + 70, seconds=20, calls=120)
    planned = size(workers(60), learned=lessons(0.17), outlook=Outlook(known_calls=(campaign,)))

    assert (
        planned.desired >= size(workers(60), learned=lessons(0.17), outlook=Outlook(known_calls=(early,))).desired + 5
    )
    assert any("announced calls" in reason for reason in planned.reasons)


def test_known_calls_are_not_counted_twice_once_they_come() -> None:
    # 0.17 a second of others; the campaign's 1.0 a second have been measured for ten minutes.
    campaign = KnownCalls(begins_at=NOW - 600, seconds=615, calls=615)
    arrivals = ArrivalRate.guess(0.17 * 5000, 5000)
    for _ in range(600):
        arrivals = arrivals.after(1, 1.0)
    arrivals = replace(arrivals, long=replace(arrivals.long, calls=arrivals.long.calls + 0.17 * 200))
    learned = replace(lessons(), arrivals=arrivals)
    knowing = size(workers(300), learned=learned, outlook=Outlook(known_calls=(campaign,)))

    assert knowing.reasons[0].startswith("300 calls now, 0.0")
    # 15 more seconds of it bring 15 calls, not the 63 that the measured rate would promise.
    assert size(workers(300), learned=learned).slots - knowing.slots > 10


def test_known_calls_that_stop_within_the_lead_are_sized_for_their_end() -> None:
    # 20 a second for 40 s: some 660 at the end of it, 480 when the lead of 63 s is over, 250 in ten seconds.
    campaign = KnownCalls(begins_at=NOW, seconds=40, calls=800)
    planned = size(workers(50), learned=lessons(0.01, mean=60), outlook=Outlook(known_calls=(campaign,)))

    assert planned.slots > 750
    assert planned.reasons[1].startswith("in 40 s ")


def test_a_waiting_call_wakes_a_fleet_that_sleeps() -> None:
    sleeps = replace(RULES, min_workers=0, scale_to_zero=True)

    assert size([], sleeps, quiet(90_000), WATCHED).desired == 0
    assert size([], sleeps, quiet(90_000), replace(WATCHED, waiting=1)).desired == 1


def test_a_fleet_that_nobody_would_wake_keeps_a_worker_and_says_why() -> None:
    sleeps = replace(RULES, min_workers=0, scale_to_zero=True, warm_slots=0)
    planned = size([worker("a")], sleeps, quiet(900_000), Outlook(unwatched="its lookout is away"))

    assert planned.desired == 1
    assert "one worker stays, since nobody else would see a call come: its lookout is away" in planned.reasons


@pytest.mark.parametrize(
    ("silent_seconds", "hold_seconds", "desired"),
    [
        (3600, 0, 1),  # half a call an hour: one in a hundred minutes
        (90_000, 0, 0),
        (120, 70, 1),  # the last call was a moment ago
        (3600, 70, 0),  # whoever comes waits, and is answered
        (3600, 60, 1),  # not long enough for 63 s
    ],
)
def test_the_last_worker_leaves_when_nobody_is_expected_or_can_wait(
    silent_seconds: float, hold_seconds: float, desired: int
) -> None:
    rules = replace(RULES, min_workers=0, scale_to_zero=True, hold_seconds=hold_seconds, warm_slots=2)

    assert size([worker("a")], rules, quiet(silent_seconds), WATCHED).desired == desired


@pytest.mark.parametrize(
    ("fleet", "outlook"),
    [
        ([worker("a", 1)], WATCHED),
        ([worker("a", known=False)], WATCHED),
        ([worker("a")], replace(WATCHED, floors=(Floor("lunch", workers=1),))),
        ([worker("a")], replace(WATCHED, known_calls=(KnownCalls(NOW + 30, 60, 5),))),
        ([worker("a")], NOTHING),
    ],
)
def test_a_fleet_does_not_sleep_while_something_speaks_against_it(fleet: list[WorkerLoad], outlook: Outlook) -> None:
    sleeps = replace(RULES, min_workers=0, scale_to_zero=True)

    assert size(fleet, sleeps, quiet(90_000), outlook).desired >= 1


def test_a_burst_sizes_by_its_own_rate_and_keeps_every_worker() -> None:
    burst = replace(lessons(0.1), burst_until=NOW + 30, burst_rate=3.0)
    fleet = [*workers(30), *(worker(f"spare{n}") for n in range(40))]
    planned = size(fleet, learned=burst)

    assert planned.limit == "Burst"
    assert planned.keep == len(fleet)
    assert planned.desired > size(fleet, learned=lessons(0.1)).desired + 10


def test_a_burst_that_was_announced_is_none() -> None:
    burst = replace(lessons(0.1), burst_until=NOW + 30, burst_rate=1.2)
    announced = Outlook(known_calls=(KnownCalls(NOW - 20, 60, 60),))

    assert size(workers(30), learned=burst, outlook=announced).limit == "Demand"


def test_of_a_burst_during_a_campaign_only_the_surprise_is_added() -> None:
    burst = replace(lessons(0.1), burst_until=NOW + 30, burst_rate=4.0)
    announced = Outlook(known_calls=(KnownCalls(NOW - 20, 600, 1200),))

    assert size(workers(30), learned=burst, outlook=announced).reasons[0] == "30 calls now, 2 a second arrive"


def test_silent_workers_count_as_full_and_their_calls_need_no_other_slot() -> None:
    fleet = workers(100, each=10)
    with_silent = [*fleet[:8], *(replace(each, known=False) for each in fleet[8:])]

    assert size(fleet).desired <= size(with_silent).desired <= size(fleet).desired + 1
    assert any("silent" in reason for reason in size(with_silent).reasons)


def test_a_start_that_never_ends_is_replaced_once_and_not_without_end() -> None:
    stuck = [worker(f"stuck{n}", standing=Standing.STARTING) for n in range(6)]
    alone = size([worker("a", 3)], learned=lessons(0.01)).desired

    assert size([worker("a", 3), stuck[0]], learned=lessons(0.01)).desired == alone + 1
    assert size([worker("a", 3), *stuck], learned=lessons(0.01)).desired == alone + 1


def test_a_new_operator_reads_the_rate_off_young_calls() -> None:
    unknowing = replace(lessons(), arrivals=ArrivalRate())
    young = [WorkerLoad(f"w{n}", 12, Standing.OPEN, 0.0, tuple(NOW - 1.5 * k for k in range(12))) for n in range(5)]
    old = [replace(each, calls=tuple(began - 300 for began in each.calls)) for each in young]

    assert size(young, learned=unknowing).slots > size(old, learned=unknowing).slots + 60


@pytest.mark.parametrize(("fell_at", "kept"), [(None, 30), (NOW - 299, 30), (NOW - 300, 3)])
def test_a_surplus_waits_for_the_delay(fell_at: float | None, kept: int) -> None:
    patient = replace(RULES, scale_down_delay_seconds=300)
    fleet = [worker("a", 5), *(worker(f"spare{n}") for n in range(29))]
    planned = size(fleet, patient, replace(lessons(0.02), fell_at=fell_at))

    assert planned.surplus
    assert (planned.keep == 30) is (kept == 30)
    assert planned.desired < 5


def test_a_lowered_ceiling_waits_for_no_delay_and_no_burst() -> None:
    patient = replace(RULES, scale_down_delay_seconds=300, max_workers=6)
    bursting = replace(lessons(0.02), burst_until=NOW + 30)
    planned = size([worker("a", 5), *(worker(f"spare{n}") for n in range(29))], patient, bursting)

    assert planned.keep == 6


def test_workers_of_another_size_are_counted_by_their_own_slots() -> None:
    large = [replace(worker(f"l{n}", 10), slots=24) for n in range(4)]

    assert size(large, learned=lessons(0.05)).desired < size([*workers(40)], learned=lessons(0.05)).desired


@pytest.mark.parametrize(
    ("idle", "standing", "told"),
    [
        (0, Standing.OPEN, ("WarmFloor", 1, "12 slots at 12 a worker need 1")),
        (1, Standing.OPEN, ("Demand", 2, "fewer would do now; 2 stay, since more may soon be needed")),
        (2, Standing.OPEN, ("Demand", 2, "fewer would do now; 2 stay, since more may soon be needed")),
        (2, Standing.STARTING, ("Demand", 3, "fewer would do now; 3 stay, since more may soon be needed")),
    ],
    ids=["as many as would do", "one more", "one more than may stay", "two that cannot be told to go yet"],
)
def test_what_becomes_of_the_workers_that_are_there_is_told_with_what_keeps_them(
    idle: int, standing: Standing, told: tuple[str, int, str]
) -> None:
    """The floor asks for twelve slots, of which one worker has enough; a little later the load may need thirteen."""
    fleet = [worker("a", 3), *(worker(f"idle-{number}", standing=standing, since=NOW) for number in range(idle))]
    planned = size(fleet, replace(RULES, warm_slots=9), lessons(0.05))

    starting = sum(each.standing is Standing.STARTING for each in fleet)
    assert (planned.limit, planned.settles_at(len(fleet), starting=starting), planned.reasons[-1]) == told
