"""ProviderPool: observe, decide, act, report."""

from datetime import timedelta

from voicefleet.api import ProviderPool
from voicefleet.api.providerpool import ProviderPoolStatus
from voicefleet.names import POOL_FINALIZER
from voicefleet.providers.users import User, plan_pool_finalizers
from voicefleet.report.events import notes_of_pool
from voicefleet.report.pool import report_invalid_pool, report_pool, with_old_figures
from voicefleet_operator.apiserver.kube import PROVIDER_POOLS, Body
from voicefleet_operator.handlers.observing_pool import next_look, observe_pool
from voicefleet_operator.handlers.parsing import Refused, parse_status
from voicefleet_operator.handlers.remembering import memory_of, parse_once
from voicefleet_operator.handlers.reporting import write_if_changed
from voicefleet_operator.ports import GONE, Ports
from voicefleet_operator.turns.memory import PoolMemory
from voicefleet_operator.turns.workqueue import Key

# Figures change with every request; whoever reads them gains little by a write each second.
_FIGURES = timedelta(seconds=30)


async def reconcile_provider_pool(key: Key, ports: Ports) -> timedelta | None:
    """Report one pool, and keep it while agents use it; return when to look again."""
    body = ports.cache.pools.get(key.namespace, key.name)
    if body is None:
        _forget(ports, key)
        return GONE
    memory = memory_of(ports.pools, PoolMemory, key, body)
    pool = parse_once(ProviderPool, memory, body)
    if isinstance(pool, Refused):
        return await _reconcile_invalid(ports, key, body, pool)
    return await _reconcile(ports, key, memory, body, pool)


async def _reconcile(ports: Ports, key: Key, memory: PoolMemory, body: Body, pool: ProviderPool) -> timedelta | None:
    now = ports.now()
    too_early = next_look(memory, now)
    seen = await observe_pool(ports, key, memory, pool)
    if await _hold_or_let_go(ports, body, seen.users):
        return None
    before = parse_status(ProviderPoolStatus, body)
    full = report_pool(seen, before, now=now)
    is_due = memory.figures_at is None or now - memory.figures_at >= _FIGURES
    status = full if is_due else with_old_figures(full, before)
    written_in = await write_if_changed(ports, PROVIDER_POOLS, body, before, status)
    if written_in is None:
        memory.figures_at = now if status is full else memory.figures_at
        for note in notes_of_pool(before, status):
            await ports.cluster.tell(note, body)
    looks = [written_in, too_early if too_early > timedelta() else None, _FIGURES if seen.has_workers else None]
    return min((look for look in looks if look is not None), default=None)


async def _hold_or_let_go(ports: Ports, body: Body, users: tuple[User, ...]) -> bool:
    """Have a pool wait for those who use it, and tell whether it goes."""
    is_leaving = "deletionTimestamp" in body["metadata"]
    wanted = plan_pool_finalizers(body["metadata"].get("finalizers", []), users, is_leaving=is_leaving)
    if wanted is not None:
        await ports.cluster.set_finalizers(PROVIDER_POOLS, body, wanted)
    return is_leaving and not users


async def _reconcile_invalid(ports: Ports, key: Key, body: Body, refused: Refused) -> timedelta | None:
    """Say what is wrong with a pool; whom it lets use it cannot be read, and its own namespace may always.

    One that is held back stays so for all who name it: some of them may have been let in.
    """
    ports.probes.want(key, ())
    is_held = POOL_FINALIZER in body["metadata"].get("finalizers", [])
    agents = [agent["metadata"] for agent in ports.cache.users_of(key.namespace, key.name)]
    users = tuple(
        User(agent["namespace"], agent["name"]) for agent in agents if is_held or agent["namespace"] == key.namespace
    )
    if await _hold_or_let_go(ports, body, users):
        return None
    before = parse_status(ProviderPoolStatus, body)
    generation = body["metadata"].get("generation")
    status = report_invalid_pool(before, refused.message, generation=generation, now=ports.now())
    return await write_if_changed(ports, PROVIDER_POOLS, body, before, status)


def _forget(ports: Ports, key: Key) -> None:
    ports.probes.want(key, ())
    memory = ports.pools.pop(key, None)
    if memory is not None:
        ports.cluster.forget(memory.uid)
        ports.pacer.forget(memory.uid)
