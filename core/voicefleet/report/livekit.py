"""What workers say of the LiveKit server that they cannot join, in words for whoever runs the fleet."""

from datetime import datetime

from voicefleet.api import ProviderPool
from voicefleet.fleet import Fleet, Trouble, Worker
from voicefleet.names import Reason
from voicefleet.wire import Away


def is_away(worker: Worker, now: datetime) -> bool:
    """Tell whether a worker tries to join LiveKit in vain."""
    return not worker.pod.leaving and _away_of(worker, now) is not None


def find_livekit_trouble(fleet: Fleet, pool: ProviderPool | None, namespace: str, now: datetime) -> Trouble | None:
    """Say what keeps workers that are up from taking calls; a refusal is the word of a server that is there."""
    said = {_away_of(worker, now) for worker in fleet if not worker.pod.leaving} - {None}
    if not said or pool is None:
        return None
    where = f"LiveKit at {pool.spec.livekit.url}"
    named = f"spec.livekit of ProviderPool {pool.metadata.namespace}/{pool.metadata.name}"
    if Away.REFUSES in said:
        access = pool.spec.livekit
        keys = dict.fromkeys(
            f"Secret {namespace}/{ref.name}, key {ref.key}" for ref in (access.api_key, access.api_secret)
        )
        words = (
            f"{where} refuses the workers (401 or 403) with {' and '.join(keys)}: put a pair there that it accepts, "
            f"and workers take it up without a restart, or correct {named}."
        )
        return Trouble(Reason.LIVEKIT_REFUSES, words)
    words = (
        f"workers are up and cannot reach {where}: check that it runs, {named}, and that network policies "
        "let workers reach it. They join by themselves as soon as it answers."
    )
    return Trouble(Reason.LIVEKIT_SILENT, words)


def _away_of(worker: Worker, now: datetime) -> Away | None:
    state = worker.state(now)
    return state.livekit_away if state is not None and not state.registered else None
