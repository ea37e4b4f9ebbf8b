"""What the operator says about a VoiceAgent."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel
from voicefleet.api.conditions import CommonStatus
from voicefleet.api.markers import Between, ListMap
from voicefleet.api.schedule import CalendarDay
from voicefleet.api.types import Count, Items, Seconds, Timestamp

RevisionName = Annotated[str, StringConstraints(max_length=63)]
Sentence = Annotated[str, StringConstraints(max_length=1024)]


class WorkerCounts(ApiModel):
    """Workers by what they are doing."""

    starting: Count = 0
    """Created and not yet taking calls."""
    ready: Count = 0
    """Taking calls."""
    full: Count = 0
    """Without a free slot."""
    cordoned: Count = 0
    """Taking no new calls."""
    silent: Count = 0
    """Not heard of for fifteen seconds; counted as busy and without free slots."""
    failed: Count = 0
    """Crashed, lost or never started."""


class RevisionStatus(ApiModel):
    """One revision of the template."""

    name: RevisionName
    """Hash of the rendered template."""
    number: Count = 0
    """Number of the revision, counted from the first."""
    role: Literal["Stable", "Canary", "Old"] = "Stable"
    """What part it plays."""
    workers: Count = 0
    """Workers of this revision."""
    calls: Count = 0
    """Calls on them; of a silent one those that it told of last."""
    created_at: Timestamp | None = None
    """When it first appeared."""
    took_calls: bool = False
    """Whether a worker of it ever took calls; a revision that never did is replaced without a canary."""


# Of 10,000 workers at the highest price; in some currencies a worker costs thousands an hour.
Cost = Annotated[float, Between(0, 1_000_000_000_000)]
LargeCount = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
LogEvidence = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


class RevisionFigures(ApiModel):
    """What became of the calls of one revision while two were compared."""

    calls_ended: LargeCount = 0
    """Calls that ended."""
    calls_failed: LargeCount = 0
    """Of those, calls that failed."""
    hung_up_early: LargeCount = 0
    """Of those, calls whose caller hung up within ten seconds."""
    turns: LargeCount = 0
    """Turns that were answered."""
    slow_turns: LargeCount = 0
    """Of those, turns that surely took longer than maxTurnLatencyMilliseconds."""
    provider_requests: LargeCount = 0
    """Requests to providers."""
    provider_errors: LargeCount = 0
    """Of those, requests that failed."""
    turn_latency_p95_milliseconds: Annotated[int, Field(ge=0, le=60_000)] | None = None
    """95th percentile of turn latency between the last two looks, rounded up to the bound of its class."""


class RolloutAnalysis(ApiModel):
    """What was learned by comparing the canary with the stable revision."""

    canary: RevisionFigures = RevisionFigures()
    """What became of the canary's calls."""
    stable: RevisionFigures = RevisionFigures()
    """What became of the stable revision's calls in the same time."""
    failed_calls_evidence: Annotated[Items[LogEvidence], Field(max_length=8)] = ()
    """Thousandths of the logarithm of how much likelier these failures are if the canary fails more often."""
    slow_turns_evidence: Annotated[Items[LogEvidence], Field(max_length=8)] = ()
    """The same for slow turns."""
    provider_errors_evidence: Annotated[Items[LogEvidence], Field(max_length=8)] = ()
    """The same for failed requests to providers."""
    looked_at: Timestamp | None = None
    """When the revisions were last compared."""
    found_worse: bool = False
    """Whether the canary was found worse; it stays so until a person lets it go on."""


class RolloutStatus(ApiModel):
    """The rollout under way, or the last one."""

    revision: RevisionName
    """Revision that is rolled out."""
    stable: RevisionName | None = None
    """Revision that calls go back to if this one is worse; the same once it has taken over."""
    rejected: RevisionName | None = None
    """Revision that was found worse and is not tried again until the template changes."""
    phase: Literal["Progressing", "Paused", "Draining", "Complete", "RolledBack", "Stalled"]
    """How far it is."""
    step: Count = 0
    """Step of the canary, counted from 1; one more than there are once all were taken, 0 without a canary."""
    step_started_at: Timestamp | None = None
    """When the canary first took calls in this step; moved on by the time that it was held."""
    paused_at: Timestamp | None = None
    """Since when the steps are held."""
    taking: Count = 0
    """Most workers of the revision that took calls since workers have been missing."""
    missing_since: Timestamp | None = None
    """Since when workers have been missing without progress."""
    share_percent: Annotated[int, Field(ge=0, le=100)] = 100
    """Share of new calls that go to the new revision."""
    calls_drained: Count = 0
    """Calls that old workers held when they were cordoned."""
    calls_finished: Count = 0
    """Of those, calls that came to their own end."""
    calls_cut: Count = 0
    """Of those, calls that were ended by a limit."""
    started_at: Timestamp | None = None
    """When it began; absent while it waits for the end of a pause."""
    verdict: Sentence = ""
    """What the comparison of the revisions says, or what the rollout waits for."""
    analysis: RolloutAnalysis | None = None
    """What was learned by comparing the revisions."""
    highest_number: Count = 0
    """Highest number that a revision was given; it is not given again after the revision is forgotten."""


class ScaleDecision(ApiModel):
    """Why there are as many workers as there are."""

    desired: Count
    """Workers that are wanted."""
    limit: Annotated[str, StringConstraints(max_length=64)] = ""
    """What binds: Demand, Burst, WarmFloor, Schedule, Min, Max, Budget, ProviderQuota, External, Suspended or Blind."""
    reasons: Annotated[Items[Sentence], Field(max_length=16)] = ()
    """The steps from the load to the number, in words."""
    at: Timestamp | None = None
    """When the number last changed."""


class WorkerHours(ApiModel):
    """What a budget for the day counts."""

    day: CalendarDay
    """Day, in UTC."""
    hours: Count = 0
    """Whole hours that all workers of that day have run, added up."""


class VoiceAgentStatus(CommonStatus):
    """What the operator says about a VoiceAgent."""

    replicas: Count = 0
    """Workers that exist and are not leaving, for the scale subresource."""
    selector: Annotated[str, StringConstraints(max_length=512)] = ""
    """Selector of those workers, for the scale subresource."""
    calls: Count = 0
    """Calls right now; of a silent worker those that it told of last."""
    free_slots: Count = 0
    """Calls that could begin at this moment."""
    waiting_calls: Count = 0
    """Calls that found no free slot and wait for one."""
    slots: Count = 0
    """Calls that all workers together can hold."""
    workers: WorkerCounts = WorkerCounts()
    """Workers by what they are doing."""
    summary: Annotated[str, StringConstraints(max_length=256)] = ""
    """State in one line."""
    revision: RevisionName | None = None
    """Revision that new calls go to."""
    revisions: Annotated[Items[RevisionStatus], Field(max_length=64), ListMap("name")] = ()
    """Revisions that still live or are remembered."""
    rollout: RolloutStatus | None = None
    """The rollout under way, or the last one."""
    scale: ScaleDecision | None = None
    """Why there are as many workers as there are."""
    startup_seconds: Seconds | None = None
    """Measured 95th percentile of a worker's start-up."""
    cost_per_hour: Cost | None = None
    """What the fleet costs at this moment."""
    worker_hours: WorkerHours | None = None
    """Worker hours of the day, if the budget limits them."""
    children_digest: Annotated[str, StringConstraints(max_length=64)] | None = None
    """Short form of the objects beside the workers as they were last applied."""
