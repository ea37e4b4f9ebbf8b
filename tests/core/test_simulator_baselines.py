"""Each baseline follows its own rule, checked against numbers worked out by hand from its source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from voicefleet_simulator.baselines.buffers import AgonesBuffer, PipecatRule, fixed, percentage
from voicefleet_simulator.baselines.deployment import StaticPeak, pick_victims
from voicefleet_simulator.baselines.erlang_b import ErlangB
from voicefleet_simulator.baselines.hpa import Hpa, Recommendation, by_calls_per_pod, by_total
from voicefleet_simulator.baselines.knative import Kpa
from voicefleet_simulator.baselines.predictive import Predictive
from voicefleet_simulator.pod import Pod
from voicefleet_simulator.policy import Policy
from voicefleet_simulator.world import World


@dataclass
class Bench:
    """A fleet under one policy, without the rest of a simulation."""

    pods: list[Pod] = field(default_factory=list)
    waiting: int = 0
    concurrency: float | None = None
    """Calls at once, for averages over time; those that are held, when nothing is said."""
    deleted: list[str] = field(default_factory=list)

    @property
    def calls_now(self) -> int:
        return sum(len(pod.calls) for pod in self.pods)

    def call_seconds(self, now: float) -> float:
        return (self.calls_now if self.concurrency is None else self.concurrency) * now

    def create(self, count: int) -> None:
        self.pods += [_pod(f"new{len(self.pods) + place}", ready=False) for place in range(count)]

    def delete(self, pod: Pod) -> None:
        self.pods.remove(pod)
        self.deleted.append(pod.name)

    def after(self, policy: Policy, *moments: float) -> int:
        for now in moments:
            policy.act(self, now)
        return len(self.pods)


def _pod(name: str, calls: int = 0, *, ready: bool = True, ready_at: float = 0.0) -> Pod:
    pod = Pod(name, slots=12, created_at=ready_at - 45, ready_at=ready_at, phase=0.0)
    pod.ready = ready
    for call in range(calls):
        pod.begin(call, ready_at)
    return pod


def _bench(calls: Sequence[int], starting: int = 0) -> Bench:
    ready = [_pod(f"w{place}", held) for place, held in enumerate(calls)]
    return Bench([*ready, *(_pod(f"s{place}", ready=False) for place in range(starting))])


@pytest.mark.parametrize(
    ("calls", "starting", "wanted"),
    [
        ([10, 10, 10], 0, 4),
        ([9, 9, 8], 0, 3),
        ([7, 8, 7], 0, 3),
        ([4, 4, 4, 4], 0, 2),
        ([10, 10, 10], 1, 4),
        ([12, 12, 12], 1, 5),
        ([4, 4, 4, 4], 2, 2),
        ([0], 0, 0),
    ],
    ids=[
        "30 calls on 3 at 8: ceil(1.25 * 3)",
        "8 % above the target is tolerated",
        "8 % below the target is tolerated",
        "half the target: half the workers",
        "a starting worker counts as idle: 30 / 4 / 8 is within tolerance",
        "and is not forgotten when more are needed: ceil(36 / 4 / 8 * 4)",
        "when shrinking only ready workers count",
        "without calls nothing is needed, and the HPA's minimum of one decides",
    ],
)
def test_the_hpa_follows_the_mean_over_ready_workers(calls: list[int], starting: int, wanted: int) -> None:
    assert by_calls_per_pod(8.0)(_bench(calls, starting)) == wanted


@pytest.mark.parametrize(
    ("calls", "workers", "wanted"),
    [(70, 8, 10), (70, 9, 9), (70, 12, 10), (0, 1, 3)],
    ids=["94 / 10, rounded up", "94 / 90 is tolerated", "shrinks by the same rule", "24 / 10 without a call"],
)
def test_keda_divides_the_total_by_its_target(calls: int, workers: int, wanted: int) -> None:
    held = [calls // workers + (place < calls % workers) for place in range(workers)]
    assert by_total(10.0, 24.0)(_bench(held)) == wanted


def test_keda_with_a_target_as_large_as_a_worker_stops_growing_at_ten_times_the_extra() -> None:
    # 19 full workers: 252 / 228 is 1.105. 21 full ones: 276 / 252 is 1.095, and that is tolerated for ever.
    assert by_total(12.0, 24.0)(_bench([12] * 19)) == 21
    assert by_total(12.0, 24.0)(_bench([12] * 21)) == 21


def _wish(*counts: int) -> Recommendation:
    wishes = iter(counts)
    return lambda _: next(wishes)


def test_the_hpa_grows_by_four_or_by_double_and_no_faster() -> None:
    bench = _bench([5, 5])
    policy = Hpa(_wish(50, 50, 50, 50))
    assert [bench.after(policy, now) for now in (0, 15, 30, 45)] == [6, 12, 24, 48]


def test_the_hpa_shrinks_to_the_highest_wish_of_five_minutes() -> None:
    bench = _bench([0] * 10)
    policy = Hpa(_wish(10, 6, 4, 4, 4))
    assert [bench.after(policy, now) for now in (0, 15, 290, 301, 316)] == [10, 10, 10, 6, 4]


def test_an_hpa_keeps_one_worker() -> None:
    assert _bench([0]).after(Hpa(_wish(0)), 0) == 1


def test_a_replica_set_picks_those_not_ready_then_the_youngest_whatever_they_hold() -> None:
    pods = [_pod("old", ready_at=0), _pod("busy", 9, ready_at=500), _pod("young", ready_at=300), _pod("s", ready=False)]
    assert [pod.name for pod in pick_victims(pods, 3, 1000, by_calls=False)] == ["s", "busy", "young"]
    assert [pod.name for pod in pick_victims(pods, 3, 1000, by_calls=True)] == ["s", "young", "old"]
    assert pick_victims(pods, -1, 1000, by_calls=False) == []


def test_static_peak_keeps_its_number() -> None:
    assert _bench([0]).after(StaticPeak(25, 12), 0) == 3
    assert _bench([0] * 9).after(StaticPeak(24, 12), 0) == 2


def _steady(policy: Kpa, bench: Bench, seconds: int) -> int:
    return bench.after(policy, *range(0, seconds + 1, 2))


def test_the_kpa_divides_the_average_by_seventy_percent_of_a_worker() -> None:
    bench = _bench([0, 0, 0])
    bench.concurrency = 30
    # 30 / 8.4 = 3.57
    assert _steady(Kpa(12), bench, 120) == 4


def test_the_kpa_shrinks_by_half_at_a_time_and_after_its_delay() -> None:
    assert _bench([0] * 8).after(Kpa(12), 0, 2) == 4
    bench = _bench([0] * 8)
    delayed = Kpa(12, down_delay_seconds=600)
    bench.concurrency = 60
    assert _steady(delayed, bench, 10) == 8
    bench.concurrency = 0.0
    assert bench.after(delayed, 300, 600) == 8
    assert bench.after(delayed, 612) == 4


def test_the_kpa_panics_at_twice_what_is_ready_and_takes_nothing_away_for_a_minute() -> None:
    bench = _bench([0] * 2)
    policy = Kpa(12)
    bench.concurrency = 10
    assert _steady(policy, bench, 60) == 2
    seconds = {66: 10 * 60 + 6 * 34, 68: 10 * 60 + 6 * 34, 70: 10 * 60 + 6 * 34, 124: 10 * 60 + 6 * 34}
    bench.call_seconds = lambda now: float(seconds[int(now)])  # type: ignore[method-assign]
    # Six seconds with 34 calls are 34 / 8.4 = 5 workers for 2 that are ready: panic.
    assert bench.after(policy, 66) == 5
    assert bench.after(policy, 68, 70, 124) == 5


@pytest.mark.parametrize(
    ("buffer", "calls", "wanted"),
    [
        (percentage(20), [12, 12, 12, 12, 12, 12, 8], 9),
        (percentage(20), [12, 12, 12, 12, 12, 12, 8, 0, 0, 0], 9),
        (fixed(24), [12, 12, 8], 5),
        (fixed(24), [12, 12, 8, 0, 0, 0, 0], 5),
        (fixed(24), [1] * 8, 8),
        (percentage(5), [0, 0], 1),
    ],
    ids=[
        "20 % over 80 calls are 20, of which 4 are there: two more",
        "one of three idle workers can go",
        "24 slots over 32 calls, of which 4 are there: two more",
        "two of four idle workers can go",
        "workers with a call stay, however many there are",
        "the last one stays",
    ],
)
def test_agones_keeps_its_buffer_and_every_worker_with_calls(
    buffer: Callable[[int], int], calls: list[int], wanted: int
) -> None:
    bench = _bench(calls)
    assert bench.after(AgonesBuffer(buffer, 12), 0) == wanted
    assert bench.calls_now == sum(calls)


def test_pipecat_keeps_as_many_warm_as_active_and_lets_them_cool_for_five_minutes() -> None:
    bench = _bench([12, 12])
    policy = PipecatRule(12)
    assert bench.after(policy, 0) == 4
    bench.pods[0].calls.clear()
    assert bench.after(policy, 10, 290) == 4
    # 12 active and 12 warm are two workers, but not before the cool-down.
    assert bench.after(policy, 301) == 2


def test_pipecat_reserves_for_the_calls_of_thirty_seconds() -> None:
    bench = _bench([12, 12])
    policy = PipecatRule(12)
    policy.act(bench, 0)
    for _ in range(40):
        policy.on_began(bench.pods[0], 5, campaign=False)
    # 24 active, and 40 began in 30 s: ceil(64 / 12).
    assert bench.after(policy, 10) == 6
    assert bench.after(policy, 305) == 6
    assert bench.after(policy, 400) == 4


def test_erlang_b_asks_for_more_than_the_load_and_deletes_only_idle_workers() -> None:
    bench = _bench([10] * 6)
    policy = ErlangB(World(expected_call_seconds=60.0))
    for now in range(0, 1200, 5):
        for _ in range(5):
            policy.on_began(bench.pods[0], now, campaign=False)
        policy.act(bench, now)
    # 1 call a second of 60 s each: 60 Erlang need 83 slots for 0.1 %, which are 7 workers.
    assert len(bench.pods) == 7
    bench.pods[-1].calls.clear()
    for now in range(1200, 4000, 5):
        policy.act(bench, now)
    assert len(bench.pods) == 6


def test_a_forecast_has_the_workers_of_the_same_hour_five_minutes_early_and_only_from_the_second_day_on() -> None:
    bench, policy = _bench([0]), Predictive(8)
    # 80 calls from eight to nine, else none, whoever holds them.
    seconds = {8: 80 * 3600.0}
    total = 0.0
    for hour in range(25):
        bench.call_seconds = lambda _, total=total: total  # type: ignore[method-assign]
        assert bench.after(policy, hour * 3600.0) == 1
        total += seconds.get(hour, 0.0)

    assert bench.after(policy, 86_400 + 8 * 3600 - 301) == 1
    assert bench.after(policy, 86_400 + 8 * 3600 - 300) == 10
    assert bench.after(policy, 86_400 + 9 * 3600 - 1) == 10
