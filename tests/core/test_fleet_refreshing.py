"""Whose kubelet is made to look at its Secrets, and when: by a person's word, or since a worker saw its own change."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import cycle, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import fleet as make
from tests.support.fleet import NOW
from tests.support.providers import opened
from tests.support.providers import refused as refused_by
from voicefleet.fleet import Heard, Worker
from voicefleet.fleet.refreshing import Refresh, next_refresh, plan_refreshes
from voicefleet.wire import Away

HOUR = 3600.0


def worker(
    name: str,
    *,
    saw: float | None = None,
    refreshed: float | None = None,
    made: float | None = HOUR,
    refused: float | None = None,
    livekit_away: Away | None = None,
    **fields: object,
) -> Worker:
    """Return one whose files changed, whose kubelet was made to look, and whose key was refused so many seconds ago."""
    words = () if refused is None else (refused_by("deepgram", since=NOW.timestamp() - refused),)
    state = make.state(
        secrets_changed_seconds_ago=None if saw is None else saw - 1,
        providers=words,
        livekit_away=livekit_away,
        registered=livekit_away is None,
    )
    said = make.heard(name, state, **fields)
    return replace(said, pod=replace(said.pod, refreshed_at=ago(refreshed), created_at=ago(made)))


def ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW - timedelta(seconds=seconds)


def refreshed(*workers: Worker, word: str = "") -> list[str]:
    return [each.pod.name for each in plan_refreshes(word, workers, now=NOW)]


def test_the_first_worker_whose_files_change_has_the_kubelets_of_all_others_look() -> None:
    first, second, third = worker("desk-new-0", saw=2), worker("desk-new-1"), worker("desk-old-0")

    assert refreshed(second, third) == []
    assert plan_refreshes("", [first, second, third], now=NOW) == (Refresh(second.pod.ref), Refresh(third.pod.ref))


@pytest.mark.parametrize(
    ("other", "follows"),
    [
        pytest.param(worker("desk-new-1"), True, id="one that has seen nothing"),
        pytest.param(worker("desk-new-1", made=2.5), True, id="one that was made before the change was seen"),
        pytest.param(worker("desk-new-1", made=1.5), False, id="not one that was made after it: its files are new"),
        pytest.param(worker("desk-new-1", made=None), True, id="one whose age is not known"),
        pytest.param(worker("desk-new-1", saw=101), False, id="not one that saw it itself, within the same period"),
        pytest.param(worker("desk-new-1", saw=103), True, id="one that saw an earlier change"),
        pytest.param(worker("desk-new-1", refreshed=101), False, id="not one that was refreshed within the period"),
        pytest.param(worker("desk-new-1", refreshed=103), True, id="one that was refreshed for an earlier change"),
        pytest.param(worker("desk-new-1", phase="Pending"), False, id="not one whose files are yet to be mounted"),
        pytest.param(Worker(make.pod("desk-new-1")), True, id="one that is not heard"),
        pytest.param(make.silent("desk-new-1"), True, id="one that fell silent"),
    ],
)
def test_a_pod_follows_if_its_files_may_be_those_from_before(other: Worker, follows: bool) -> None:
    assert refreshed(worker("desk-new-0", saw=2), other) == (["desk-new-1"] if follows else [])


@pytest.mark.parametrize(("saw", "follows"), [(100, True), (101, False), (1e9, False)])
def test_of_a_change_that_is_older_than_a_period_the_kubelets_know_by_themselves(saw: float, follows: bool) -> None:
    assert refreshed(worker("desk-new-0", saw=saw), worker("desk-new-1")) == (["desk-new-1"] if follows else [])


def test_what_a_worker_saw_stays_true_while_it_is_silent() -> None:
    said = make.state(secrets_changed_seconds_ago=0)

    assert refreshed(make.heard("desk-new-0", said, seconds_ago=50), worker("desk-new-1")) == ["desk-new-1"]


def test_a_persons_word_and_what_a_worker_saw_are_one_write() -> None:
    both = plan_refreshes("monday", [worker("desk-new-0", saw=2), worker("desk-new-1")], now=NOW)
    assert [(each.pod.name, each.word) for each in both] == [("desk-new-0", "monday"), ("desk-new-1", "monday")]

    told = worker("desk-new-1", secrets_changed="monday", refreshed=3)
    assert refreshed(worker("desk-new-0", saw=2, secrets_changed="monday"), told, word="monday") == []


def test_a_persons_word_does_not_wait_for_the_period_to_end() -> None:
    assert refreshed(worker("desk-new-0", refreshed=3, secrets_changed="monday"), word="tuesday") == ["desk-new-0"]


@pytest.mark.parametrize(
    ("alone", "looks"),
    [
        pytest.param(worker("desk-new-0", refused=1), True, id="a provider has just refused its key"),
        pytest.param(worker("desk-new-0", refused=1, made=5), True, id="soon after it was made"),
        pytest.param(worker("desk-new-0", refused=250), True, id="it has long refused it, and nobody has looked"),
        pytest.param(worker("desk-new-0", refused=40, refreshed=39), False, id="a look since then found the same key"),
        pytest.param(worker("desk-new-0", refused=40, saw=39), False, id="its files have changed since then"),
        pytest.param(worker("desk-new-0", refused=1, refreshed=31), True, id="a look before proves nothing"),
        pytest.param(worker("desk-new-0", refused=1, refreshed=29), False, id="but they are some time apart"),
        pytest.param(worker("desk-new-0", refused=-3600, refreshed=31), True, id="by a clock that is ahead"),
        pytest.param(worker("desk-new-0", refused=-3600, refreshed=29), False, id="which does not make them more"),
        pytest.param(worker("desk-new-0", livekit_away=Away.REFUSES), True, id="LiveKit refuses its key"),
        pytest.param(worker("desk-new-0", livekit_away=Away.REFUSES, refreshed=29), False, id="not at each try"),
        pytest.param(worker("desk-new-0", livekit_away=Away.SILENT), False, id="LiveKit is not there"),
        pytest.param(worker("desk-new-0", refused=1, phase="Pending"), False, id="its files are yet to be mounted"),
        pytest.param(make.heard("desk-new-0", make.state(providers=(opened(),))), False, id="a provider is broken"),
    ],
)
def test_a_refused_key_may_long_have_been_replaced(alone: Worker, looks: bool) -> None:
    assert refreshed(alone) == (["desk-new-0"] if looks else [])


def test_of_many_that_are_refused_one_looks_and_where_it_finds_a_change_all_follow() -> None:
    many = [worker(f"desk-new-{number}", refused=9) for number in range(20)]
    assert refreshed(*many) == ["desk-new-0"]

    looked = worker("desk-new-0", refused=9, refreshed=3)
    assert refreshed(looked, *many[1:]) == []
    found = worker("desk-new-0", refused=9, refreshed=3, saw=2)
    assert refreshed(found, *many[1:]) == [f"desk-new-{number}" for number in range(1, 20)]


def test_whoever_lies_about_refusals_costs_his_fleet_two_writes_a_minute() -> None:
    refreshed_at: list[int] = []
    for second in range(600):
        last = 1e6 if not refreshed_at else second - refreshed_at[-1]
        if refreshed(worker("desk-new-0", refused=0, refreshed=last), worker("desk-new-1")):
            refreshed_at.append(second)

    assert len(refreshed_at) <= 20


@dataclass
class Kubelet:
    """A pod's kubelet and its worker, which may mount other Secrets or lie."""

    phase: int
    sees: bool
    lies: bool
    got_at: list[int] = field(default_factory=list)
    refreshed_at: list[int] = field(default_factory=list)

    def look(self, at: int, replaced: int) -> None:
        self.got_at += [at] * (replaced - len(self.got_at))

    def worker(self, name: str, at: int, late: float) -> Worker:
        """Return what is known of it when its lines take so long."""
        saw = max((moment for moment in self.got_at if self.sees and moment <= at - late), default=None)
        said = None if saw is None else round(at - late - saw, 1)
        state = make.state(secrets_changed_seconds_ago=0 if self.lies else said)
        last = NOW + timedelta(seconds=self.refreshed_at[-1]) if self.refreshed_at else None
        return Worker(make.pod(name, refreshed_at=last), Heard(state, NOW + timedelta(seconds=at)))


KUBELETS = st.builds(Kubelet, st.integers(0, 24).map(lambda third: 3 * third), st.booleans(), st.booleans())


@settings(max_examples=30)
@given(
    st.lists(KUBELETS, min_size=1, max_size=6),
    st.lists(st.sampled_from([0.0, 0.1, 2.0, 9.0]), min_size=7, max_size=7),
    st.sampled_from([210, 300]),
)
def test_each_replaced_secret_reaches_all_with_the_first_and_costs_each_pod_one_write(
    kubelets: list[Kubelet], lateness: list[float], every: int
) -> None:
    """Whoever mounts other Secrets, lies or is late; and any turn may be another operator's."""
    replaced_at = [100, 100 + every]
    for second in range(0, 600, 3):
        replaced = sum(second >= at for at in replaced_at)
        for each in kubelets:
            if second % 75 == each.phase:
                each.look(second, replaced)
        names = {f"desk-new-{number}": each for number, each in enumerate(kubelets)}
        late = cycle(lateness[second % 7 :] + lateness[: second % 7])
        seen = [each.worker(name, second, next(late)) for name, each in names.items()]
        for refresh in plan_refreshes("", seen, now=NOW + timedelta(seconds=second)):
            names[refresh.pod.name].refreshed_at.append(second)
            names[refresh.pod.name].look(second, replaced)

    is_honest = not any(each.lies for each in kubelets)
    for each in kubelets:
        assert len(each.refreshed_at) <= (2 if is_honest else 6), each
        assert all(later - earlier > 100 for earlier, later in pairwise(each.refreshed_at)), each
    if is_honest and any(each.sees for each in kubelets):
        for turn in range(2):
            first = min(each.got_at[turn] for each in kubelets if each.sees)
            assert max(each.got_at[turn] for each in kubelets) <= first + 12


def written(seconds_ago: float, **more: Any) -> Worker:
    """Return a worker of which a Secret was seen to be written so many seconds ago."""
    made = worker("desk-new-0", **more)
    return replace(made, pod=replace(made.pod, secrets_written_at=ago(seconds_ago)))


@pytest.mark.parametrize(
    ("seen", "due_seconds"),
    [
        pytest.param(written(2), 0.0, id="a moment ago"),
        pytest.param(written(0.2), 0.8, id="just now: more may come, and the kubelet may not know of it yet"),
        pytest.param(written(2, refreshed=1), None, id="its kubelet has looked since"),
        pytest.param(written(2, refreshed=2), None, id="its kubelet has looked at once"),
        pytest.param(written(2, refreshed=40), 0.0, id="its kubelet looked before"),
        pytest.param(written(2, refreshed=20), 10.0, id="its kubelet looked for another change a moment before"),
        pytest.param(written(2, made=1), None, id="it was made after that"),
        pytest.param(written(2, made=None), 0.0, id="nobody knows when it was made"),
        pytest.param(written(2, phase="Pending"), None, id="its files are yet to be mounted"),
        pytest.param(written(101), None, id="so long ago that its kubelet has looked by itself"),
        pytest.param(worker("desk-new-0"), None, id="never"),
    ],
)
def test_a_secret_that_is_seen_to_be_written_has_the_kubelets_look_a_moment_later(
    seen: Worker, due_seconds: float | None
) -> None:
    due = next_refresh([worker("desk-new-1"), seen], NOW)

    assert (None if due is None else due.total_seconds()) == (due_seconds or None)
    assert refreshed(seen) == (["desk-new-0"] if due_seconds == 0 else [])


@given(st.lists(st.floats(0.1, 20), min_size=1, max_size=200))
def test_whoever_writes_a_secret_all_the_time_costs_two_writes_a_minute(pauses: list[float]) -> None:
    """And of a last write that nobody writes over within a second every kubelet hears within half a minute."""
    pod, second, looks, written_at = replace(make.pod("desk-new-0"), created_at=ago(HOUR)), 0.0, 0, NOW
    for pause in [*pauses, 40.0]:
        written_at = NOW + timedelta(seconds=second)
        pod = replace(pod, secrets_written_at=written_at)
        until = second + pause
        while second < until:
            now = NOW + timedelta(seconds=second)
            if plan_refreshes("", [Worker(pod)], now=now):
                pod, looks = replace(pod, refreshed_at=now.replace(microsecond=0)), looks + 1
            second += 0.5

    assert looks <= second / 29 + 1
    assert pod.refreshed_at is not None
    assert timedelta() <= pod.refreshed_at - written_at <= timedelta(seconds=31)
