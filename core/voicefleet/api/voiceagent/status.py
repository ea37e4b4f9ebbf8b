"""What the operator says about a VoiceAgent."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from voicefleet.api.base import ApiModel
from voicefleet.api.conditions import CommonStatus
from voicefleet.api.markers import ListMap
from voicefleet.api.types import Count, Items, Price, Seconds, Timestamp

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
    """Calls on them."""
    created_at: Timestamp | None = None
    """When it first appeared."""


class RolloutStatus(ApiModel):
    """The rollout under way, or the last one."""

    revision: RevisionName
    """Revision that is rolled out."""
    phase: Literal["Progressing", "Paused", "Draining", "Complete", "RolledBack", "Stalled"]
    """How far it is."""
    step: Count = 0
    """Step of the canary, counted from 1."""
    share_percent: Annotated[int, Field(ge=0, le=100)] = 100
    """Share of new calls that go to the new revision."""
    calls_drained: Count = 0
    """Calls that old workers held when they were cordoned."""
    calls_finished: Count = 0
    """Of those, calls that came to their own end."""
    calls_cut: Count = 0
    """Of those, calls that were ended by a limit."""
    started_at: Timestamp | None = None
    """When it began."""
    verdict: Sentence = ""
    """What the comparison of the revisions says."""


class ScaleDecision(ApiModel):
    """Why there are as many workers as there are."""

    desired: Count
    """Workers that are wanted."""
    limit: Annotated[str, StringConstraints(max_length=64)] = ""
    """What binds: Demand, Min, Max, Schedule, Budget, ProviderQuota, WarmFloor or Blind."""
    reasons: Annotated[Items[Sentence], Field(max_length=16)] = ()
    """The steps from the load to the number, in words."""
    at: Timestamp | None = None
    """When the number last changed."""


class VoiceAgentStatus(CommonStatus):
    """What the operator says about a VoiceAgent."""

    replicas: Count = 0
    """Workers that exist and are not leaving, for the scale subresource."""
    selector: Annotated[str, StringConstraints(max_length=512)] = ""
    """Selector of those workers, for the scale subresource."""
    calls: Count = 0
    """Calls right now."""
    free_slots: Count = 0
    """Calls that could begin at this moment."""
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
    cost_per_hour: Price | None = None
    """What the fleet costs at this moment."""
