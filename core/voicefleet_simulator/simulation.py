"""One day, event by event: calls come and end, workers become ready, policies look, graces run out.

The bill of a worker runs from its creation to its end. A call stays on its worker.
"""

import math
from collections.abc import Sequence
from heapq import heappop, heappush
from random import Random

from voicefleet.autoscaling.holding import LOOK_SECONDS, may_be_tried
from voicefleet_simulator.dispatch import Dispatch, build_dispatch
from voicefleet_simulator.outcome import Outcome, Tally
from voicefleet_simulator.pod import Pod
from voicefleet_simulator.policy import Policy
from voicefleet_simulator.trace import Trace
from voicefleet_simulator.world import STATUS_SECONDS, World

_END, _READY, _LOOK, _KILL = range(4)
_HURRY_SECONDS = 0.5
_FIRST_SECONDS = 600.0


def simulate(trace: Trace, world: World, policy: Policy, dispatch: Dispatch) -> Outcome:
    """Run one day under one policy."""
    return Simulation(trace, world, policy, dispatch).run()


class Simulation:
    """The state of a day; policies see it as their `Controls`."""

    def __init__(self, trace: Trace, world: World, policy: Policy, dispatch: Dispatch) -> None:
        self._trace, self._world, self._policy = trace, world, policy
        # Each kind of chance has its own source, so that policies meet the same start-ups in the same order.
        self._startups = Random(f"start-ups {world.seed}")
        self._choose = build_dispatch(dispatch, Random(f"dispatch {world.seed}"))
        self._events: list[tuple[float, int, int, int, Pod | None]] = []
        self._order = 0
        self._now = 0.0
        self._next_look = 0.0
        self._last_look = -math.inf
        self._pods: list[Pod] = []
        self._ready: list[Pod] = []
        self._leaving: set[Pod] = set()
        self._waiting_since: dict[int, float] = {}
        self._calls_now = 0
        self._call_seconds = 0.0
        self._counted_to = 0.0
        self._billed_seconds = 0.0
        self._created = 0
        self._peak_pods = 0
        self.tally = Tally()

    @property
    def pods(self) -> Sequence[Pod]:
        """Workers that are not on their way out, the oldest first."""
        return self._pods

    @property
    def calls_now(self) -> int:
        """Calls that are held, on whichever worker."""
        return self._calls_now

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return len(self._waiting_since)

    def call_seconds(self, now: float) -> float:
        """Return the seconds of calls up to now, all added up."""
        return self._call_seconds + self._calls_now * (now - self._counted_to)

    def run(self) -> Outcome:
        """Play the day to its end, and the calls that outlast it to theirs."""
        self._begin_the_day()
        starts, events, arrived = self._trace.starts, self._events, 0
        while True:
            arrival = starts[arrived] if arrived < len(starts) else math.inf
            event = events[0][0] if events else math.inf
            if event <= arrival and event <= self._next_look and events:
                self._handle(*heappop(events))
            elif self._next_look <= arrival and self._next_look < self._trace.seconds:
                self._look()
            elif arrived < len(starts):
                self._now = arrival
                self.tally.note_arrival(arrival)
                self._offer(arrived)
                arrived += 1
            elif events:
                # The day is over for the policy, not for those who still talk.
                self._next_look = math.inf
            else:
                return self._sum_up()

    def create(self, count: int) -> None:
        """Create workers; each takes calls once it has started."""
        mean, sigma = self._world.startup_seconds, self._world.startup_sigma
        for _ in range(min(count, self._world.max_workers - len(self._pods))):
            seconds = self._startups.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma) if mean > 0 else 0.0
            pod = self._add(created_at=self._now, ready_at=self._now + seconds)
            self._push(pod.ready_at, _READY, 0, pod)

    def delete(self, pod: Pod) -> None:
        """Send SIGTERM: no new call, and the end when its calls or its grace are over."""
        self._pods.remove(pod)
        if pod.ready:
            self._ready.remove(pod)
        if pod.calls:
            self._leaving.add(pod)
            self._push(self._now + self._policy.grace_seconds, _KILL, 0, pod)
        else:
            self._bill(pod)

    def _begin_the_day(self) -> None:
        """Stand ready with what the first minutes need and one more, whatever the policy; it is billed as well."""
        first = [(at, change) for at, change in self._trace.changes if at < _FIRST_SECONDS]
        calls = peak = 0
        for _, change in first:
            calls += change
            peak = max(peak, calls)
        for _ in range(min(-(-peak // self._world.slots) + 1, self._world.max_workers)):
            pod = self._add(created_at=-self._world.startup_seconds, ready_at=0.0)
            pod.ready = True
            self._ready.append(pod)

    def _add(self, *, created_at: float, ready_at: float) -> Pod:
        self._created += 1
        phase = self._startups.random() * STATUS_SECONDS
        pod = Pod(f"w{self._created}", slots=self._world.slots, created_at=created_at, ready_at=ready_at, phase=phase)
        self._pods.append(pod)
        self._peak_pods = max(self._peak_pods, len(self._pods) + len(self._leaving))
        return pod

    def _look(self) -> None:
        self._now = self._last_look = self._next_look
        self._next_look += self._policy.period_seconds
        self._policy.act(self, self._now)

    def _hurry(self) -> None:
        if self._policy.hurries:
            self._next_look = min(self._next_look, max(self._now, self._last_look + _HURRY_SECONDS))

    def _push(self, at: float, kind: int, call: int, pod: Pod | None) -> None:
        self._order += 1
        heappush(self._events, (at, self._order, kind, call, pod))

    def _handle(self, at: float, _: int, kind: int, call: int, pod: Pod | None) -> None:
        self._now = at
        if kind == _LOOK:
            self._look_for_callers()
        elif pod is not None and kind == _END:
            if call in pod.calls:
                self._end(call, pod)
        elif pod is not None and kind == _READY:
            if pod in self._pods:
                pod.ready = True
                pod.record = None
                self._ready.append(pod)
                self._policy.on_ready(pod, at)
        elif pod is not None and pod in self._leaving:
            self._kill(pod)

    def _offer(self, call: int) -> None:
        """Give a call to a worker, or let it wait, or lose it."""
        now = self._now
        pod = self._choose(self._ready, now)
        if pod is not None:
            self._answer(call, pod, 0.0)
            if self._policy.wants_to_look(now):
                self._hurry()
            return
        if self._world.hold_seconds > 0:
            if not self._waiting_since:
                self._push(math.floor(now) + LOOK_SECONDS, _LOOK, 0, None)
            self._waiting_since[call] = now
        else:
            self._lose(now)
        self._hurry()

    def _look_for_callers(self) -> None:
        """Ask again for those who have waited long enough, the oldest first, and give up who waited too long."""
        now = self._now
        for call, since in list(self._waiting_since.items()):
            waited, hold = now - since, self._world.hold_seconds
            if waited > hold:
                del self._waiting_since[call]
                self._lose(since)
                self._hurry()
            elif may_be_tried(waited, hold) and (pod := self._choose(self._ready, now)) is not None:
                del self._waiting_since[call]
                self._answer(call, pod, waited)
        if self._waiting_since:
            self._push(now + LOOK_SECONDS, _LOOK, 0, None)

    def _lose(self, arrived_at: float) -> None:
        self.tally.note_blocked(arrived_at)
        self._policy.on_blocked(self._now)

    def _answer(self, call: int, pod: Pod, waited: float) -> None:
        self.tally.answered += 1
        if waited > 0:
            self.tally.waits.append(waited)
        self._count(1)
        pod.begin(call, self._now)
        self._push(self._now + self._trace.durations[call], _END, call, pod)
        self._policy.on_began(pod, self._now, campaign=call in self._trace.campaign_calls)

    def _end(self, call: int, pod: Pod) -> None:
        self.tally.finished += 1
        self._count(-1)
        began_at = pod.end(call, self._now)
        self._policy.on_ended(pod, began_at, self._now)
        if not pod.calls and pod in self._leaving:
            self._leaving.remove(pod)
            self._bill(pod)

    def _kill(self, pod: Pod) -> None:
        """Grace is over: what still talks is cut."""
        self.tally.cut += len(pod.calls)
        self._count(-len(pod.calls))
        pod.calls.clear()
        self._leaving.remove(pod)
        self._bill(pod)

    def _count(self, change: int) -> None:
        self._call_seconds = self.call_seconds(self._now)
        self._counted_to = self._now
        self._calls_now += change

    def _bill(self, pod: Pod) -> None:
        self._billed_seconds += max(0.0, min(self._now, self._trace.seconds) - pod.created_at)

    def _sum_up(self) -> Outcome:
        self._now = self._trace.seconds
        for pod in self._pods:
            self._bill(pod)
        return Outcome(
            calls=len(self._trace.starts),
            finished=self.tally.finished,
            waited=len(self.tally.waits),
            blocked=self.tally.blocked,
            cut=self.tally.cut,
            pod_hours=self._billed_seconds / 3600,
            pods_created=self._created,
            p99_wait_seconds=self.tally.wait_quantile(0.99),
            p999_wait_seconds=self.tally.wait_quantile(0.999),
            worst_quarter_hour=self.tally.worst_quarter_hour(),
            peak_pods=self._peak_pods,
        )
