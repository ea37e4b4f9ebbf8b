"""What becomes of a fleet on a server that takes loads below zero for zero."""

from datetime import timedelta

import pytest

from tests.support import fleet as make
from tests.support.fleet import NOW, fleet
from tests.support.manifests import minimal, sample
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.autoscaling.load import Lessons
from voicefleet.autoscaling.packing import GRADES
from voicefleet.fleet import Fleet, Heard, Worker
from voicefleet.fleet.memory import FleetMemory
from voicefleet.fleet.render import Rendered, render_agent
from voicefleet.fleet.steps import AgentSeen, plan_agent
from voicefleet.wire import Session
from voicefleet_simulator.dispatch import Dispatch
from voicefleet_simulator.ours import Voicefleet
from voicefleet_simulator.scenarios import SCENARIOS
from voicefleet_simulator.simulation import simulate
from voicefleet_simulator.world import World


def orders(seen: Fleet, taught: Lessons, **livekit: float) -> dict[str, float]:
    """Return what the workers of a sample agent are told to report, by their names."""
    manifest = sample("providerpool")
    manifest["metadata"] |= {"name": "pool", "namespace": "voice", "generation": 1}
    manifest["spec"]["livekit"] |= livekit
    pool = ProviderPool.model_validate(manifest)
    agent = VoiceAgent.model_validate(
        {**minimal("VoiceAgent"), "metadata": {"name": "desk", "namespace": "voice", "uid": "1", "generation": 1}}
    )
    rendered = render_agent(agent, pool, default_image="w", operator_namespace="o", control_key_id="k")
    assert isinstance(rendered, Rendered), rendered
    steps = plan_agent(AgentSeen(agent, seen, taught, "k", pool, rendered), now=NOW)
    return {order.pod.name: order.load for order in steps.fleet.loads}


@pytest.mark.parametrize(("livekit", "rest"), [({}, 0.686), ({"targetLoad": 0.5}, 0.49), ({"targetLoad": 1}, 0.98)])
def test_who_should_get_no_calls_reports_as_much_as_the_server_was_set_to_take(
    livekit: dict[str, float], rest: float
) -> None:
    retiring = fleet(*(make.busy(f"desk-old-{number}", calls=12) for number in range(3)))

    assert orders(retiring, make.lessons(loads_ignored=True), **livekit) == {
        f"desk-old-{number}": pytest.approx(rest) for number in range(3)
    }
    assert orders(retiring, make.lessons(), **livekit) == {}


def test_what_workers_say_tells_whether_their_loads_count() -> None:
    """The favourite has room all the time, and every call goes to the other one."""
    memory, agent = FleetMemory(), VoiceAgent.model_validate(minimal("VoiceAgent"))
    verdicts = []
    for calls in range(13):
        now = NOW + timedelta(seconds=calls)
        sessions = tuple(Session(id=f"call-{number}", age_seconds=calls - number) for number in range(calls))
        other = make.state(asked_load=GRADES[1], slots=20).model_copy(update={"sessions": sessions})
        words = {"desk-new-0": make.state(asked_load=GRADES[0]), "desk-new-1": other}
        memory.observe(agent.spec, Fleet(tuple(Worker(make.pod(n), Heard(w, now)) for n, w in words.items())), now)
        verdicts.append(memory.lessons(now).loads_ignored)

    assert verdicts == [False] * 12 + [True]


def test_it_packs_better_for_those_who_notice_and_best_with_a_server_that_is_set_for_it() -> None:
    """Who does not notice asks for grades below zero, which are all the same to it."""
    calls = SCENARIOS["smooth"].trace(peak=30).between(8 * 3600, 14 * 3600)
    hours = {}
    for name, believed, target_load in (
        ("unnoticed", Dispatch.PACKED, 0.7),
        ("noticed", Dispatch.CLAMPED, 0.7),
        ("set for it", Dispatch.CLAMPED, 1.0),
    ):
        world = World(target_load=target_load)
        outcome = simulate(calls, world, Voicefleet(world, calls, believed), Dispatch.CLAMPED)
        assert (outcome.blocked, outcome.cut) == (0, 0)
        hours[name] = outcome.pod_hours

    assert hours["noticed"] < 0.98 * hours["unnoticed"]
    assert hours["set for it"] < 0.96 * hours["unnoticed"]
