"""The status of a ProviderPool: what is in it and who uses it. Nothing is asked of the providers yet."""

from datetime import datetime

from voicefleet.api import ProviderPool
from voicefleet.api.providerpool.status import ProviderPoolStatus, ProviderStatus, TrunkStatus
from voicefleet.names import Reason
from voicefleet.report.conditions import Standing, Statement, build_conditions, stalled

_UNPROBED = (
    "the pool is well-formed; its providers are not probed by this version, so whether they answer shows in calls"
)


def report_pool(pool: ProviderPool, before: ProviderPoolStatus, *, agents: int, now: datetime) -> ProviderPoolStatus:
    """Return the whole status of a pool; whether providers are well is unknown, and it says so."""
    enabled = sum(provider.enabled for provider in pool.spec.providers)
    generation = pool.metadata.generation
    standing = Standing(ready=Statement("Unknown", Reason.NOT_PROBED, _UNPROBED))
    return ProviderPoolStatus(
        observed_generation=generation,
        conditions=build_conditions(standing, before.conditions, generation=generation, now=now),
        summary=f"{enabled} of {len(pool.spec.providers)} providers enabled, none probed",
        healthy=f"?/{enabled}",
        agents=agents,
        providers=tuple(
            ProviderStatus(
                name=provider.name,
                state="Unknown" if provider.enabled else "Disabled",
                quota=provider.quota.concurrent if provider.quota else None,
            )
            for provider in pool.spec.providers
        ),
        trunks=tuple(TrunkStatus(name=trunk.name) for trunk in pool.spec.trunks),
    )


def report_invalid_pool(
    before: ProviderPoolStatus, message: str, *, generation: int | None, now: datetime
) -> ProviderPoolStatus:
    """Return the status of a pool whose spec this version cannot read."""
    standing = stalled(Reason.INVALID, f"{message}. Correct the spec.")
    return before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": build_conditions(standing, before.conditions, generation=generation, now=now),
            "summary": "spec is not valid",
        }
    )
