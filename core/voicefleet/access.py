"""Whether a namespace may use a ProviderPool."""

from collections.abc import Mapping

from voicefleet.api import ProviderPool


def asks_for_labels(pool: ProviderPool, namespace: str) -> bool:
    """Tell whether the answer depends on the namespace's labels, which cost a request to read."""
    grant = pool.spec.allowed_namespaces
    if grant is None or pool.metadata.namespace == namespace or grant.all:
        return False
    return grant.match_labels is not None and namespace not in grant.names


def may_use_pool(pool: ProviderPool, namespace: str, labels: Mapping[str, str]) -> bool:
    """Tell whether agents of a namespace may draw on a pool: its own may, others by the pool's word."""
    if pool.metadata.namespace == namespace:
        return True
    grant = pool.spec.allowed_namespaces
    if grant is None:
        return False
    if grant.all or namespace in grant.names:
        return True
    return grant.match_labels is not None and grant.match_labels.items() <= labels.items()
