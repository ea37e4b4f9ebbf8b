"""VoiceAgent: observe, decide, act, report."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from voicefleet.api import VoiceAgent
from voicefleet.api.voiceagent.status import VoiceAgentStatus
from voicefleet.fleet import Fleet, Trouble
from voicefleet.fleet.pauses import look_again_after
from voicefleet.fleet.plan import plan_farewell, plan_marks
from voicefleet.fleet.steps import AgentSeen, AgentSteps, plan_agent
from voicefleet.names import FINALIZER, Reason
from voicefleet.report.agent import report_agent, report_invalid_agent
from voicefleet.report.events import notes_of
from voicefleet_operator.apiserver.kube import VOICE_AGENTS, Body
from voicefleet_operator.errors import ApiError
from voicefleet_operator.handlers.acting import apply_lookout, apply_steps, run_fleet_plan
from voicefleet_operator.handlers.observing import observe_agent
from voicefleet_operator.handlers.observing_pods import follow_workers, observe_fleet
from voicefleet_operator.handlers.parsing import Refused, parse_status
from voicefleet_operator.handlers.remembering import memory_of, parse_once
from voicefleet_operator.handlers.reporting import write_if_changed
from voicefleet_operator.ports import GONE, Ports
from voicefleet_operator.turns.memory import AgentMemory
from voicefleet_operator.turns.workqueue import Key

_ASK_AGAIN = timedelta(seconds=5)


async def reconcile_voice_agent(key: Key, ports: Ports) -> timedelta | None:
    """Bring one agent's fleet a step towards its spec and report it; return when to look again."""
    body = ports.cache.agents.get(key.namespace, key.name)
    if body is None:
        _forget(ports, key)
        return GONE
    agent = parse_once(VoiceAgent, memory_of(ports.memories, AgentMemory, key, body), body)
    if isinstance(agent, Refused):
        return await _reconcile_invalid(ports, key, body, agent)
    return await _reconcile(ports, key, body, agent)


async def look_at_voice_agent(key: Key, ports: Ports) -> None:
    """Take in what is to be seen of one agent, and decide nothing about it."""
    body = ports.cache.agents.get(key.namespace, key.name)
    if body is None:
        _forget(ports, key)
        return
    agent = parse_once(VoiceAgent, memory_of(ports.memories, AgentMemory, key, body), body)
    if isinstance(agent, Refused):
        follow_workers(ports, key)
    else:
        await observe_agent(ports, key, agent, body)


async def _reconcile(ports: Ports, key: Key, body: Body, agent: VoiceAgent) -> timedelta | None:
    memory = memory_of(ports.memories, AgentMemory, key, body)
    seen = await observe_agent(ports, key, agent, body)
    now, before = ports.now(), seen.core.before
    steps = plan_agent(seen.core, now=now)
    memory.fleet.decided(steps.size, now)
    memory.note_drains(steps.rollout)
    ports.decided(key)
    if steps.look is not None:
        # Before all that may take long: what it knows of calls that are held is true now.
        memory.fleet.looking(steps.look, now)
        ports.workers.look_for_callers(key, steps.look, partial(memory.fleet.looked, steps.look, now))
    failure = await apply_steps(ports, body, seen.core, steps)
    memory.note_lookout(steps.lookout, await apply_lookout(ports, key.namespace, steps.lookout), now)
    if steps.finalizer == "remove" and failure is None:
        # There is nothing left that could have a status.
        return None
    # Of what went wrong for whatever reason, the next operator must not believe that it was done.
    told = steps if failure is None else replace(steps, children=None)
    status = report_agent(seen.core, told, before, now=now, refused=_in_words(failure))
    written_in = await write_if_changed(ports, VOICE_AGENTS, body, before, status)
    if written_in is None:
        _close_look(memory, seen.core, steps)
        for note in notes_of(before, status):
            await ports.cluster.tell(note, body)
    if failure is not None:
        raise failure
    looks = [look_again_after(seen.core, steps, now=now), written_in, _ASK_AGAIN if seen.waits else None]
    return min((look for look in looks if look is not None), default=None)


def _close_look(memory: AgentMemory, seen: AgentSeen, steps: AgentSteps) -> None:
    """Let what a rollout has counted count no second time, now that its status stands."""
    if steps.rollout is not None and steps.rollout.figures_used:
        memory.ledger.close_look(seen.figures, [revision.name for revision in steps.rollout.revisions])


async def _reconcile_invalid(ports: Ports, key: Key, body: Body, refused: Refused) -> timedelta | None:
    """Leave a fleet as it is whose spec cannot be read; its calls are guarded and counted all the same."""
    before = parse_status(VoiceAgentStatus, body)
    fleet, _ = await observe_fleet(ports, key)
    # Whose quotas its calls use can no longer be read.
    ports.held_calls.forget(str(key))
    now = ports.now()
    plan = plan_marks(fleet, now=now)
    if "deletionTimestamp" in body["metadata"]:
        if await _let_go(ports, body, fleet):
            return None
        plan = plan_farewell(fleet, at_once=body["spec"].get("deletionPolicy") == "Now", now=now)
    generation = body["metadata"].get("generation")
    status = report_invalid_agent(before, fleet, refused.message, generation=generation, now=now)
    failure = await run_fleet_plan(ports, body, fleet, plan)
    written_in = await write_if_changed(ports, VOICE_AGENTS, body, before, status)
    if failure is not None:
        raise failure
    return min((look for look in (plan.look_again_after, written_in) if look is not None), default=None)


async def _let_go(ports: Ports, body: Body, fleet: Fleet) -> bool:
    """Let an agent go that has no workers left, and tell whether it goes."""
    finalizers = body["metadata"].get("finalizers", [])
    if FINALIZER not in finalizers or any(not worker.pod.leaving for worker in fleet):
        return False
    await ports.cluster.set_finalizers(VOICE_AGENTS, body, [name for name in finalizers if name != FINALIZER])
    return True


def _forget(ports: Ports, key: Key) -> None:
    follow_workers(ports, key)
    ports.held_calls.forget(str(key))
    memory = ports.memories.pop(key, None)
    if memory is not None:
        ports.cluster.forget(memory.uid)
        ports.pacer.forget(memory.uid)


def _in_words(failure: ApiError | None) -> Trouble | None:
    if failure is None or not failure.needs_a_person:
        return None
    return Trouble(Reason.REFUSED, f"the cluster refuses what this agent needs: {failure}")
