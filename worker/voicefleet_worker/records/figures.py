"""What the records of finished calls add up to, as metrics: over all job processes, and none of it names a person."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from voicefleet.records.ends import Disposition
from voicefleet.records.journal import Stages
from voicefleet.records.record import CallRecord, RecordedUse
from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS

_STAGES = {
    "hearing": "hearing_seconds",
    "deciding": "deciding_seconds",
    "thinking": "thinking_seconds",
    "speaking": "speaking_seconds",
    "total": "total_seconds",
}
_BUCKETS = tuple(bound / 1000 for bound in (20, 50, *LATENCY_BOUNDS_MILLISECONDS))


class Figures:
    """Those of one worker process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"voicefleet_worker_{name}", text, labels, registry=registry)

        self._ends = counter("calls", "Calls that are over, by what became of them.", "disposition")
        for disposition in Disposition:
            self._ends.labels(disposition.value)
        self._stages = Histogram(
            "voicefleet_worker_stage_latency_seconds",
            "Where the time of a turn went; counted when its call is over.",
            ["stage"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._talk = counter("talk_seconds", "Time that callers and agents had together.")
        self._interruptions = counter("interruptions", "Answers that a caller spoke over.")
        self._tools = counter("tool_calls", "Tools that were used.", "outcome")
        by_provider = ("provider", "role")
        self._tokens = counter("tokens", "Tokens read and written.", *by_provider, "direction")
        self._characters = counter("characters", "Characters spoken.", *by_provider)
        self._audio = counter("audio_seconds", "Audio heard and spoken.", *by_provider)
        self._cost = counter("cost", "Cost by the pool's price book.", *by_provider, "currency")

    def count(self, record: CallRecord) -> None:
        """Count one finished call."""
        self._ends.labels(record.disposition.value).inc()
        self._talk.inc(record.talk_seconds)
        self._interruptions.inc(record.interruptions)
        self._tools.labels("failed").inc(record.tool_failures)
        self._tools.labels("done").inc(record.tool_calls - record.tool_failures)
        for turn in record.turns:
            self._observe(turn.stages)
        for use in record.usage:
            self._count_use(use, record.currency)

    def _observe(self, stages: Stages) -> None:
        for stage, field in _STAGES.items():
            seconds = getattr(stages, field)
            if seconds is not None:
                self._stages.labels(stage).observe(seconds)

    def _count_use(self, use: RecordedUse, currency: str) -> None:
        of, usage = (use.provider, use.role), use.usage
        self._tokens.labels(*of, "input").inc(usage.input_tokens)
        self._tokens.labels(*of, "output").inc(usage.output_tokens)
        self._characters.labels(*of).inc(usage.characters)
        self._audio.labels(*of).inc(usage.audio_seconds)
        self._cost.labels(*of, currency).inc(use.cost)
