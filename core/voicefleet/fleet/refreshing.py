"""Having the kubelets look at the Secrets of running workers now, and not when they next would.

The operator may not read Secrets, so it cannot see that one has changed, unless it was let to. Somebody says so with an
annotation, or a worker does, the first of its fleet under which the files change: each kubelet looks at another moment.
And a key that is refused may long have been replaced, which one kubelet is to find out at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from voicefleet.fleet.guards import WRITES_AT_ONCE
from voicefleet.fleet.observed import PodRef, Worker
from voicefleet.names import KUBELET_PERIOD_SECONDS
from voicefleet.wire import refusals_of

_PERIOD = timedelta(seconds=KUBELET_PERIOD_SECONDS)
_PATIENCE = timedelta(seconds=30)
"""So long at least lies between two pods of a fleet that are written to because of a refused key."""
_SETTLED = timedelta(seconds=1)
"""A kubelet may hear of the pod before it hears of the Secret, and Secrets are often written several at a time."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """A pod that is to bear the moment, and what was said if anything was; that it changes makes its kubelet look."""

    pod: PodRef
    word: str = ""


def plan_refreshes(word: str, staying: Iterable[Worker], *, now: datetime) -> tuple[Refresh, ...]:
    """Return the pods whose kubelets have yet to be made to look; the next turn goes on where there are many.

    Nothing here comes about by time alone, so what was refreshed stays so until something new is said.
    """
    workers = list(staying)
    latest = max((at for worker in workers if (at := _changed_at(worker)) is not None), default=None)
    # Of an older change the kubelets know by themselves.
    seen_at = latest if latest is not None and now - latest <= _PERIOD else None
    lacking = [
        worker
        for worker in workers
        if _lacks_word(worker, word) or _may_lag(worker, seen_at) or _is_behind(worker, now)
    ]
    scouts = [] if lacking else _scouts(workers, now)
    return tuple(Refresh(worker.pod.ref, word) for worker in [*lacking, *scouts][:WRITES_AT_ONCE])


def next_refresh(workers: Iterable[Worker], now: datetime) -> timedelta | None:
    """Return when the next kubelet is to be made to look because of a Secret that was just written, if any is.

    Those that are to look now change their pods, and that brings the next turn.
    """
    moments = [at for worker in workers if (at := _due_at(worker, now)) is not None and at > now]
    return min(moments) - now if moments else None


def _is_behind(worker: Worker, now: datetime) -> bool:
    """Tell whether a Secret that it mounts was written, and its kubelet has yet to be made to look."""
    due_at = _due_at(worker, now)
    return due_at is not None and due_at <= now


def _due_at(worker: Worker, now: datetime) -> datetime | None:
    pod, written_at = worker.pod, worker.pod.secrets_written_at
    if written_at is None or pod.phase != "Running" or (pod.created_at is not None and pod.created_at >= written_at):
        return None
    looked_at = pod.refreshed_at or datetime.min.replace(tzinfo=UTC)
    # Of an older write the kubelets know by themselves.
    if looked_at >= written_at or now - written_at > _PERIOD:
        return None
    # Whoever writes a Secret all the time costs no more writes than this.
    return max(written_at + _SETTLED, looked_at + _PATIENCE)


def _lacks_word(worker: Worker, word: str) -> bool:
    return bool(word) and worker.pod.secrets_changed != word


def _may_lag(worker: Worker, seen_at: datetime | None) -> bool:
    """Tell whether a pod may still have the files from before another worker saw its own change.

    A whole period lies between two refreshes of a pod: what its neighbours see seconds later is the same change, lines
    are late, its revision may mount other Secrets, and who lies about changes costs no more than one write a period.
    """
    pod = worker.pod
    if seen_at is None or pod.phase != "Running" or (pod.created_at is not None and pod.created_at >= seen_at):
        return False
    looked = (_changed_at(worker), pod.refreshed_at)
    return all(at is None or at < seen_at - _PERIOD for at in looked)


def _scouts(workers: Iterable[Worker], now: datetime) -> list[Worker]:
    """Return the one worker whose kubelet looks for the sake of a refused key, if none has since it was refused.

    Where it finds another key, the kubelets of all others follow.
    """
    refused = {worker.pod.ref: at for worker in workers if (at := _refused_at(worker)) is not None}
    running = [worker for worker in workers if worker.pod.ref in refused and worker.pod.phase == "Running"]
    if not running:
        return []
    latest = min(max(refused.values()), now - _PATIENCE)
    return [] if any(at >= latest for at in map(_looked_at, running)) else [min(running, key=_looked_at)]


def _looked_at(worker: Worker) -> datetime:
    """Return when its kubelet was last seen to look."""
    known = (_changed_at(worker), worker.pod.refreshed_at)
    return max((at for at in known if at is not None), default=datetime.min.replace(tzinfo=UTC))


def _changed_at(worker: Worker) -> datetime | None:
    """Return when it last saw the files of its Secrets change; that stays true while it is silent."""
    if worker.heard is None or worker.heard.state.secrets_changed_seconds_ago is None:
        return None
    return worker.heard.at - timedelta(seconds=worker.heard.state.secrets_changed_seconds_ago)


def _refused_at(worker: Worker) -> datetime | None:
    """Return when a key was last refused that it still has; its clock may be ahead of ours."""
    moments = refusals_of(worker.heard.state) if worker.heard is not None else ()
    if worker.heard is None or not moments:
        return None
    return min(worker.heard.at, datetime.fromtimestamp(max(moments), UTC))
