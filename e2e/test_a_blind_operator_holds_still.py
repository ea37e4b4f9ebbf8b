"""Promise 8: an operator that cannot see takes nothing away, may add, says so, and recovers.

Workers' streams that are down, an apiserver that is slow, one that is gone for less and for more than a lease, one that
tells of pods no more.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.calls.wire import BehindWire, Wire, wire_to
from e2e.fake_workers import FakeWorker
from e2e.operating import ROOT, Fleet, OperatorProcess, confined_operator, fleet_of, holds_for, remove_agents

SAMPLES = ROOT / "manifests" / "samples"
AGENT = "receptionist"
SILENT_SECONDS = 30.0
# Calls that just began are expected to have company; by then they are not.
FORGET_SECONDS = 90.0
# Beyond it a leader may not write any more, and ends.
LEASE_SECONDS = 10.0
SLOW_SECONDS = 0.4
VERY_SLOW_SECONDS = 0.85
# A watch that is broken for longer tells nothing of how things are.
UNHEARD_SECONDS = 17.0
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def wire(bench: Bench) -> Iterator[Wire]:
    """The operator's own way to the apiserver; the test and everybody else have theirs."""
    with wire_to(bench) as wire:
        yield wire


@pytest.fixture
def operator(bench: Bench, namespace: str, wire: Wire, tmp_path: Path) -> Iterator[OperatorProcess]:
    with confined_operator(BehindWire(bench, wire), namespace, tmp_path / "operator.log") as process:
        yield process


@pytest.fixture
def fleet(bench: Bench, operator: OperatorProcess, wire: Wire, namespace: str) -> Iterator[Fleet]:
    """Four workers that are heard, of which the first holds two calls."""
    wait_for(operator.leads, "an operator that leads")
    for sample in ("providerpool.yaml", "voiceagent.yaml"):
        bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / sample))
    with fleet_of(bench, namespace, AGENT) as fleet:
        fleet.patch({"scaling": {"min": 4, "warmFloorSlots": 0}})
        names = fleet.wait_for(4)
        fleet.serve()
        fleet.workers[names[0]].calls = 2
        wait_for(lambda: fleet.status().get("calls") == 2, "two calls")
        wait_for(lambda: fleet.says("Reconciling") == "False AsWanted", "a fleet as wanted")
        yield fleet
        wire.mend()
        wire.slow_down(0)
        wait_for(operator.leads, "an operator that can take its fleet away", within_seconds=SILENT_SECONDS)
        remove_agents(bench, namespace)


def untouched(fleet: Fleet, names: list[str]) -> bool:
    """Tell whether all these workers are there and none was told to take no more calls."""
    return set(names) <= set(fleet.pods()) and not cordoned(fleet)


def cordoned(fleet: Fleet) -> list[str]:
    return [name for name, worker in fleet.workers.items() if worker.cordoned]


def shrinks_to(fleet: Fleet, *names: str) -> bool:
    """Tell whether these are all that is left; whoever was added meanwhile gets a voice, and so may leave as well."""
    fleet.serve()
    return set(fleet.pods()) == set(names)


def reopen(fleet: Fleet, names: list[str]) -> None:
    for name in names:
        fleet.workers[name] = FakeWorker(fleet.pods()[name], fleet.workers[name].token)


def test_half_of_the_streams_down_takes_nothing_away_and_lets_the_fleet_grow(fleet: Fleet) -> None:
    names = sorted(fleet.pods())
    lost = names[2:]
    for name in lost:
        fleet.workers[name].close()
    wait_for(lambda: fleet.told("workers.silent") == 2, "two silent workers", within_seconds=SILENT_SECONDS)

    fleet.patch({"scaling": {"min": 1}})

    wait_for(lambda: fleet.told("scale.limit") == "Blind", "a status that says why nothing leaves")
    assert fleet.says("Reconciling") == "True LoadUnknown"
    assert fleet.says("Ready") == "True Ready"
    assert "2 not heard of" in fleet.message()
    assert holds_for(lambda: untouched(fleet, names), 3)

    fleet.patch({"scaling": {"min": 6}})
    fleet.wait_for(6)
    fleet.serve()
    wait_for(lambda: fleet.told("workers.ready") == 4, "two more that take calls")
    fleet.patch({"scaling": {"min": 1}})
    assert holds_for(lambda: untouched(fleet, names) and len(fleet.pods()) == 6, 2)

    reopen(fleet, lost)

    wait_for(lambda: shrinks_to(fleet, names[0]), "all but the busy one to leave", within_seconds=SILENT_SECONDS)
    wait_for(lambda: fleet.says("Reconciling") == "False AsWanted", "a fleet as wanted")
    assert fleet.told("calls") == 2


def test_an_operator_that_begins_deaf_takes_nothing_away_and_says_so(fleet: Fleet, operator: OperatorProcess) -> None:
    names = sorted(fleet.pods())
    operator.stop()
    for worker in fleet.workers.values():
        worker.quiet = True
    fleet.patch({"scaling": {"min": 1}})
    operator.start()

    wait_for(lambda: fleet.says("Ready") == "Unknown LoadUnknown", "words", within_seconds=2 * SILENT_SECONDS)
    assert "hears nothing of the load and so takes none away" in fleet.message()
    assert "network policies" in fleet.message()
    assert holds_for(lambda: untouched(fleet, names), 3)

    for worker in fleet.workers.values():
        worker.quiet = False

    wait_for(lambda: shrinks_to(fleet, names[0]), "all but the busy one to leave", within_seconds=SILENT_SECONDS)


def test_a_slow_apiserver_makes_it_slow_and_not_wrong(fleet: Fleet, wire: Wire, operator: OperatorProcess) -> None:
    names = sorted(fleet.pods())
    fleet.workers[names[1]].calls = 1
    wire.slow_down(SLOW_SECONDS)

    fleet.patch({"scaling": {"min": 1}})

    busy = set(names[:2])
    wait_for(lambda: shrinks_to(fleet, *busy), "the idle ones to leave", within_seconds=2 * SILENT_SECONDS)
    assert holds_for(lambda: set(fleet.pods()) == busy, 3)
    assert operator.leads()

    wire.slow_down(0)
    fleet.workers[names[1]].calls = 0

    wait_for(lambda: shrinks_to(fleet, names[0]), "the emptied one to leave", within_seconds=FORGET_SECONDS)


def test_an_apiserver_that_takes_seconds_to_answer_has_nothing_taken_away_until_it_is_quick_again(
    fleet: Fleet, wire: Wire, operator: OperatorProcess
) -> None:
    names = sorted(fleet.pods())
    wire.slow_down(VERY_SLOW_SECONDS)
    assert holds_for(lambda: untouched(fleet, names), LEASE_SECONDS)

    fleet.patch({"scaling": {"min": 1}})

    wait_for(lambda: fleet.told("scale.limit") == "Blind", "a status that says why", within_seconds=SILENT_SECONDS)
    assert fleet.says("Reconciling") == "True PodsUnknown"
    assert holds_for(lambda: untouched(fleet, names), 5)
    assert operator.leads()

    wire.slow_down(0)

    wait_for(lambda: shrinks_to(fleet, names[0]), "the idle ones to leave", within_seconds=SILENT_SECONDS)


def test_an_apiserver_that_is_gone_for_a_while_finds_calls_where_none_were(
    fleet: Fleet, wire: Wire, operator: OperatorProcess
) -> None:
    names = sorted(fleet.pods())
    wire.cut()
    # Neither the edit nor, in time, the calls are known to what the operator has in its cache.
    fleet.patch({"scaling": {"min": 1}})
    assert holds_for(lambda: untouched(fleet, names), LEASE_SECONDS / 2)
    for name in names:
        fleet.workers[name].calls = 12

    wire.mend()

    wait_for(lambda: fleet.told("calls") == 48, "all calls in the status", within_seconds=SILENT_SECONDS)
    assert holds_for(lambda: set(names) <= set(fleet.pods()), 2)
    assert operator.leads()


def test_an_operator_that_hears_nothing_of_pods_takes_none_away_and_says_so(
    fleet: Fleet, wire: Wire, operator: OperatorProcess
) -> None:
    names = sorted(fleet.pods())
    with withdrawn(fleet, "pods", ("list", "watch")):
        # The watch that is under way would be told for minutes.
        wire.cut()
        wire.mend()
        assert holds_for(lambda: untouched(fleet, names), UNHEARD_SECONDS)
        assert operator.leads()

        fleet.patch({"scaling": {"min": 1}})

        wait_for(lambda: fleet.says("Reconciling") == "True PodsUnknown", "words", within_seconds=SILENT_SECONDS)
        assert fleet.told("scale.limit") == "Blind"
        assert holds_for(lambda: untouched(fleet, names), 3)

    wait_for(lambda: shrinks_to(fleet, names[0]), "the idle ones to leave", within_seconds=SILENT_SECONDS)


@contextmanager
def withdrawn(fleet: Fleet, resource: str, verbs: Sequence[str]) -> Iterator[None]:
    """Take some of the operator's rights in its namespace away for the length of the block."""
    roles = json.loads(fleet.bench.kubectl("get", "roles", "-n", fleet.namespace, "-o", "json").stdout)["items"]
    fewer = copy.deepcopy(roles)
    for rule in (rule for role in fewer for rule in role["rules"] if resource in rule["resources"]):
        rule["verbs"] = [verb for verb in rule["verbs"] if verb not in verbs]
    assert fewer != roles
    replace_rules(fleet.bench, fewer)
    try:
        yield
    finally:
        replace_rules(fleet.bench, roles)


def replace_rules(bench: Bench, roles: list[dict[str, Any]]) -> None:
    for role in roles:
        rules = json.dumps({"rules": role["rules"]})
        where = ("-n", role["metadata"]["namespace"], "--type=merge", "-p", rules)
        bench.kubectl("patch", "role", role["metadata"]["name"], *where)


def test_an_operator_that_cannot_renew_ends_and_its_successor_takes_nothing_away(
    fleet: Fleet, wire: Wire, operator: OperatorProcess
) -> None:
    names = sorted(fleet.pods())
    wire.cut()
    fleet.patch({"scaling": {"min": 1}})

    assert operator.thaw() == 1
    fleet.workers[names[3]].calls = 1
    wire.mend()
    operator.start()

    wait_for(operator.leads, "the successor to lead", within_seconds=SILENT_SECONDS)
    busy = {names[0], names[3]}
    wait_for(lambda: shrinks_to(fleet, *busy), "the idle ones to leave", within_seconds=SILENT_SECONDS)
    assert holds_for(lambda: set(fleet.pods()) == busy, 2)
    assert fleet.told("calls") == 3
