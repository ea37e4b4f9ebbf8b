"""ProviderPool: who uses it, and how it is."""

from datetime import timedelta

from voicefleet.api import ProviderPool
from voicefleet.api.providerpool import ProviderPoolStatus
from voicefleet.report.pool import report_invalid_pool, report_pool
from voicefleet_operator.handlers.parsing import Refused, parse_resource, parse_status
from voicefleet_operator.handlers.reporting import write_if_changed
from voicefleet_operator.kube import PROVIDER_POOLS
from voicefleet_operator.ports import GONE, Ports
from voicefleet_operator.workqueue import Key


async def reconcile_provider_pool(key: Key, ports: Ports) -> timedelta | None:
    """Report one pool; there is nothing to act on yet."""
    body = ports.cache.pools.get(key.namespace, key.name)
    if body is None:
        return GONE
    pool, now = parse_resource(ProviderPool, body), ports.now()
    before = parse_status(ProviderPoolStatus, body)
    if isinstance(pool, Refused):
        status = report_invalid_pool(before, pool.message, generation=body["metadata"].get("generation"), now=now)
    else:
        agents = len(ports.cache.users_of(key.namespace, key.name))
        status = report_pool(pool, before, agents=agents, now=now)
    return await write_if_changed(ports, PROVIDER_POOLS, body, before, status)
