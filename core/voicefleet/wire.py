"""What processes of voicefleet say to each other.

Readers ignore fields that they don't know: a rolling upgrade keeps two versions alive. What a worker says may be
wrong or a lie, so every number has bounds: nothing that is read here can overflow what is computed from it.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from voicefleet.providers.breaker import Cause, State

LATENCY_BOUNDS_MILLISECONDS = (
    100, 200, 300, 400, 500, 600, 800, 1000, 1200, 1500, 2000, 2500, 3000, 4000, 5000, 7500, 10_000,
)  # fmt: skip
"""Upper bounds, included, of the classes that turns are counted in; slower ones are counted behind the last."""

_CLASSES = len(LATENCY_BOUNDS_MILLISECONDS) + 1
_LOWEST_LOAD = -1e18
_HIGHEST_LOAD = 1e9
# At 1 LiveKit sends a worker no calls.
_HIGHEST_OPEN_LOAD = 0.99
_LONGEST_AGE_SECONDS = 1e9
_LATEST_MOMENT = 1e11

MOST_HELD = 2000
"""Dispatches that one order can name."""

Count = Annotated[int, Field(ge=0, le=2**53)]
"""How often something happened; JSON readers of every language keep it exact."""

LatencyCounts = Annotated[tuple[Count, ...], Field(min_length=_CLASSES, max_length=_CLASSES)]
"""Turns by how long the answer took, one count for each class."""

Problem = Annotated[str, Field(max_length=64, pattern=r"^([A-Za-z_]\w*( \d{3})?)?$")]
"""What a request that failed came to: the kind of error, and the status that was answered, if one was."""

AskedLoad = Annotated[float, Field(ge=_LOWEST_LOAD, le=_HIGHEST_OPEN_LOAD)]


class Away(StrEnum):
    """Why LiveKit does not know a worker that has tried to join for a while."""

    REFUSES = "Refuses"
    """It answers, and takes the worker's key for a wrong one."""
    SILENT = "Silent"
    """It is not reached, or says nothing that a LiveKit would say."""


class WireModel(BaseModel):
    """A message, frozen, in camelCase, without NaN and infinities."""

    model_config = ConfigDict(
        alias_generator=to_camel, allow_inf_nan=False, extra="ignore", frozen=True, populate_by_name=True
    )


class Session(WireModel):
    """One call on a worker; its age is all that the operator may know of it."""

    id: Annotated[str, Field(max_length=64)]
    dispatch: Annotated[str, Field(max_length=64)] = ""
    """LiveKit's id of the dispatch that it came of; old workers don't tell."""
    age_seconds: Annotated[float, Field(ge=0, le=_LONGEST_AGE_SECONDS)]


class Tally(WireModel):
    """What became of the calls and turns of one worker process since it began; no count ever falls."""

    calls_ended: Count = 0
    calls_failed: Count = 0
    """Ended calls whose process crashed, whose session broke, or that were cut."""
    hung_up_early: Count = 0
    """Ended calls whose caller hung up within ten seconds."""
    provider_requests: Count = 0
    """Requests to speech and language providers, those that failed included."""
    provider_errors: Count = 0
    turn_latency: LatencyCounts = (0,) * _CLASSES
    """Turns by the time from the end of the caller's speech to the first sound of the answer."""

    @model_validator(mode="after")
    def _parts_are_no_more_than_the_whole(self) -> Self:
        """Refuse shares above one: statistics over them would be nonsense."""
        if max(self.calls_failed, self.hung_up_early) > self.calls_ended:
            raise ValueError("more calls failed or were hung up early than ended")
        if self.provider_errors > self.provider_requests:
            raise ValueError("more requests failed than were made")
        return self


class ProviderWord(WireModel):
    """What one worker has seen of one provider since its process began; no count in it ever falls."""

    name: Annotated[str, Field(max_length=63)]
    state: State = State.CLOSED
    """State of its breaker as this worker knows it."""
    since: Annotated[float, Field(ge=0, le=_LATEST_MOMENT)] = 0.0
    """When that state began, by the worker's clock; 0 if it never changed."""
    cause: Cause | None = None
    """Why it is not closed."""
    in_use: Count = 0
    """Requests and streams at this moment."""
    requests: Count = 0
    errors: Count = 0
    latency: LatencyCounts = (0,) * _CLASSES
    """Requests by the time to their first answer."""
    problem: Problem = ""
    """What the last one that failed came to; old workers don't tell."""
    problem_at: Annotated[float, Field(ge=0, le=_LATEST_MOMENT)] = 0.0
    """When that was, by the worker's clock."""
    is_missing: bool = False
    """Whether the worker's image has no plugin for it, so that no call can be with it."""


class WorkerState(WireModel):
    """One line of a worker's state stream: sent on every change, and as a heartbeat."""

    sequence: Count
    revision: Annotated[str, Field(max_length=63)]
    pod_uid: Annotated[str, Field(max_length=64)] = ""
    """Whose state it is; empty outside Kubernetes. Addresses go to other pods, whose word is not believed."""
    instance: Annotated[str, Field(max_length=32)] = ""
    """Which process it is: a restarted container is the same pod, and counts from zero. Old workers don't tell."""
    slots: Annotated[int, Field(ge=0, le=200)]
    sessions: Annotated[tuple[Session, ...], Field(max_length=200)] = ()
    registered: bool = False
    livekit_away: Away | None = None
    """Why it is not registered, if that is not for want of time; old workers don't tell."""
    cordoned: bool = False
    draining: bool = False
    asked_load: AskedLoad | None = None
    """The load that the worker was told to report while it is open."""
    reported_load: Annotated[float, Field(ge=_LOWEST_LOAD, le=_HIGHEST_LOAD)] = 0.0
    refused: Count = 0
    """Calls that LiveKit offered while the worker was full or closed, since the process began."""
    looks_for_callers: bool = False
    """Whether it can be asked to; old workers can't."""
    tally: Tally = Tally()
    """Rides on changes and heartbeats; a change of it alone sends no line."""
    providers: Annotated[tuple[ProviderWord, ...], Field(max_length=64)] | None = None
    """Rides on heartbeats; a line without it says nothing about providers."""
    unsent_for_seconds: Annotated[float, Field(ge=0, le=_LONGEST_AGE_SECONDS)] | None = None
    """How long something that calls left has waited on this worker's disk to be sent; None if nothing waits."""
    secrets_changed_seconds_ago: Annotated[float, Field(ge=0, le=_LONGEST_AGE_SECONDS)] | None = None
    """Since the files of its Secrets last changed under this process; nothing is told of what is in them (promise 5).

    None if they never did; old workers don't tell."""
    shares_health: bool | None = None
    """Whether it goes by what the whole fleet knows of its providers; None where no Redis is configured."""


def refusals_of(state: WorkerState) -> tuple[float, ...]:
    """Return when each key that a worker has was refused, by its clock; LiveKit refuses one anew all the time."""
    words = [word for word in state.providers or () if word.state is State.OPEN and word.cause is Cause.CREDENTIALS]
    by_livekit = () if state.registered or state.livekit_away is not Away.REFUSES else (_LATEST_MOMENT,)
    return (*(word.since for word in words), *by_livekit)


class LoadOrder(WireModel):
    """The body of an order to report a load: the lower, the more calls LiveKit sends, by weights of 1 - load."""

    load: Annotated[AskedLoad, Field(strict=True)]


MOST_TOLD = 1000
Callers = Annotated[int, Field(ge=0, le=MOST_TOLD)]
"""So many at most are told of; nothing that one worker says makes a fleet larger than that."""


class CallersOrder(WireModel):
    """The body of an order to look for callers who found no slot, and to have some of them dispatched again."""

    agent: Annotated[str, Field(strict=True, min_length=1, max_length=320)]
    """The name under which they ask for the agent, which may be another than the worker's own."""
    hold_seconds: Annotated[int, Field(strict=True, ge=1, le=120)]
    """Whoever has waited for longer is left alone."""
    pause_seconds: Annotated[float, Field(ge=0, le=60)] = 1.0
    """How long ago the look before was; whoever gave up since then is told of."""
    room: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
    """Callers for whom there is a slot."""
    held: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=MOST_HELD)] = ()
    """Dispatches that workers have calls of; LiveKit itself may learn of them seconds later."""


class CallersAnswer(WireModel):
    """What a look for callers found."""

    waiting: Callers = 0
    """Callers who still wait."""
    dispatched: Callers = 0
    """Callers whom LiveKit was asked to find a worker for once more."""
    lost: Callers = 0
    """Callers who have waited for too long since the look before."""
    more: bool = False
    """There were more rooms than it looked into."""


def latency_class(latency_seconds: float) -> int:
    """Return which count of `Tally.turn_latency` a turn belongs to: 0.1 s to the first, 0.101 s to the second."""
    milliseconds = latency_seconds * 1000
    return sum(milliseconds > bound for bound in LATENCY_BOUNDS_MILLISECONDS)
