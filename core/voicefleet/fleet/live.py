"""A fleet as a rollout sees it: by revision, and by the calls that each worker holds."""

from collections import defaultdict
from datetime import datetime

from voicefleet.fleet.observed import Activity, Fleet, Worker
from voicefleet.rollout import LiveRevision, WorkerCalls


def live_revisions(fleet: Fleet, now: datetime) -> tuple[LiveRevision, ...]:
    """Return the revisions that have workers; one that leaves counts for as long as it may hold calls."""
    workers: defaultdict[str, list[Worker]] = defaultdict(list)
    for worker in fleet:
        if not worker.pod.ended and (not worker.pod.leaving or worker.calls(now)):
            workers[worker.pod.revision].append(worker)
    return tuple(_live(name, members, now) for name, members in sorted(workers.items()))


def _live(name: str, workers: list[Worker], now: datetime) -> LiveRevision:
    created = [worker.pod.created_at for worker in workers if worker.pod.created_at is not None]
    return LiveRevision(
        name=name,
        workers=len(workers),
        taking=sum(worker.takes_calls(now) for worker in workers),
        closed=sum(worker.activity(now) in (Activity.CORDONED, Activity.LEAVING) for worker in workers),
        calls=sum(worker.calls_by_last_word(now) for worker in workers),
        oldest=min(created, default=None),
    )


def calls_of_workers(fleet: Fleet, now: datetime) -> tuple[WorkerCalls, ...]:
    """Return what each worker holds, for the count of calls that a rollout drains."""
    return tuple(_calls(worker, now) for worker in fleet)


def _calls(worker: Worker, now: datetime) -> WorkerCalls:
    silent = worker.pod.ended or worker.state(now) is None
    return WorkerCalls(
        uid=worker.pod.ref.uid,
        revision=worker.pod.revision,
        calls=None if silent else worker.calls(now),
        closed=worker.pod.leaving or worker.activity(now) is Activity.CORDONED,
        ended=worker.pod.ended,
        ending_calls=worker.pod.ends_calls,
        process=worker.heard.state.instance if worker.heard is not None else "",
    )
