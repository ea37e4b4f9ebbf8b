"""What keeping files of calls asks of a worker's pod: claims to mount, and addresses that hand out its identity."""

from voicefleet.api import VoiceAgent
from voicefleet.api.voiceagent.records import Store

# By protocol of the store: where clouds hand out the identity of a pod. Google's address is the one at which a node
# without workload identity hands out its own, so nobody may reach it who does not need it.
_IDENTITY_ADDRESSES = {
    "S3": ("169.254.170.23/32", "fd00:ec2::23/128"),
    "GCS": ("169.254.169.254/32", "169.254.169.252/32"),
}


def claims_of_worker(agent: VoiceAgent) -> tuple[str, ...]:
    """Return the PersistentVolumeClaims in which files of an agent's calls are kept, sorted."""
    return tuple(sorted({store.claim_name for store in _stores_of(agent) if store.claim_name is not None}))


def identity_addresses(agent: VoiceAgent) -> tuple[str, ...]:
    """Return whom workers have to ask to be somebody: nobody, unless a store takes the pod's identity."""
    buckets = [store.object_store for store in _stores_of(agent) if store.object_store is not None]
    needed = {address for each in buckets if each.credentials is None for address in _IDENTITY_ADDRESSES[each.provider]}
    return tuple(sorted(needed))


def _stores_of(agent: VoiceAgent) -> list[Store]:
    spec = agent.spec
    wanted = (
        spec.recording.store if spec.recording.enabled else None,
        spec.transcript.store if spec.transcript.enabled else None,
        spec.billing.store if spec.billing is not None else None,
    )
    return [store for store in wanted if store is not None]
