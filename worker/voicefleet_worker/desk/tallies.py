"""The worker's counts: what its calls have reported, the live ones as far as they have come."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from voicefleet.wire import Tally
from voicefleet_worker.desk.reports import CallReport


@dataclass(slots=True)
class Tallies:
    """Counts of one worker process. Not for threads: one event loop owns it."""

    total: Tally = field(default_factory=Tally)
    latency_seconds: float = 0.0
    """The latency of all turns together."""
    _live: dict[str, CallReport] = field(default_factory=dict)

    def hear(self, report: CallReport) -> None:
        """Take in a report, and of its counts what they have grown by."""
        before = self._live.get(report.job_id) or CallReport(job_id=report.job_id)
        now = _later(before, report)
        self._live[report.job_id] = now
        self.latency_seconds += now.latency_seconds - before.latency_seconds
        self.total = self.total.model_copy(
            update={
                "turn_latency": _sums(self.total.turn_latency, now.turn_latency, before.turn_latency),
                "provider_requests": self.total.provider_requests + now.provider_requests - before.provider_requests,
                "provider_errors": self.total.provider_errors + now.provider_errors - before.provider_errors,
            }
        )

    def has_ended(self, job_id: str) -> bool:
        """Tell whether a call whose process is still there said that it is over."""
        return job_id in self._live and self._live[job_id].farewell

    def end(self, job_ids: Iterable[str]) -> None:
        """Count calls whose process is gone; without a farewell it has crashed."""
        for job_id in job_ids:
            last = self._live.pop(job_id, CallReport(job_id=job_id))
            self.total = self.total.model_copy(
                update={
                    "calls_ended": self.total.calls_ended + 1,
                    "calls_failed": self.total.calls_failed + (last.failed or not last.farewell),
                    "hung_up_early": self.total.hung_up_early + last.hung_up_early,
                }
            )


def _later(before: CallReport, now: CallReport) -> CallReport:
    """Return the two as one, in which nothing has fallen."""
    requests = max(before.provider_requests, now.provider_requests)
    return CallReport(
        job_id=now.job_id,
        turn_latency=tuple(map(max, before.turn_latency, now.turn_latency)),
        latency_seconds=max(before.latency_seconds, now.latency_seconds),
        provider_requests=requests,
        provider_errors=min(requests, max(before.provider_errors, now.provider_errors)),
        farewell=before.farewell or now.farewell,
        failed=before.failed or now.failed,
        hung_up_early=before.hung_up_early or now.hung_up_early,
    )


def _sums(total: tuple[int, ...], now: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(whole + new - old for whole, new, old in zip(total, now, before, strict=True))
