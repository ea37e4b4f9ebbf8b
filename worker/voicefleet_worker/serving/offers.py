"""What a worker says to the calls that LiveKit offers, and what it asks LiveKit about them."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from livekit.agents import JobRequest
from livekit.agents.job import RunningJobInfo
from livekit.protocol.agent import Job

from voicefleet.autoscaling.holding import SETTLED_SECONDS
from voicefleet.conversation.call_variables import Missing, read_call_variables, resolve_variables
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet_worker.desk.desk import Answer, Desk
from voicefleet_worker.metrics import Metrics

logger = logging.getLogger("voicefleet.worker")

# An offer that is as old as this may be outdated by the time that it is taken.
_LATE_BEFORE_SECONDS = 2.0


class Rooms(Protocol):
    """What LiveKit knows of the rooms of calls; what it does not say is so."""

    async def is_wished_for(self, dispatch: str, room: str) -> bool:
        """Tell whether a dispatch still stands."""

    async def is_there(self, identity: str, room: str) -> bool:
        """Tell whether somebody is in a room."""


class Offers:
    """Answers to the calls that LiveKit offers."""

    def __init__(
        self,
        plan: DialoguePlan,
        desk: Desk,
        metrics: Metrics,
        rooms: Rooms,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._plan = plan
        self._desk = desk
        self._metrics = metrics
        self._rooms = rooms
        self._clock = clock
        self._behind_seconds = 0.0

    async def answer(self, request: JobRequest) -> None:
        """Take the call if there is a slot, else let LiveKit ask another worker."""
        answer = self._decide(request)
        if answer is Answer.ACCEPTED and await self._is_outdated(request.job):
            self._desk.give_back(request.id)
            answer = Answer.OUTDATED
        self._metrics.count_offer(answer)
        if answer is not Answer.ACCEPTED:
            logger.info("call refused", extra={"job_id": request.id, "reason": answer.value})
            # What is wrong with the call is so everywhere; any other may be taken by the next worker.
            await request.reject(terminate=answer in (Answer.VARIABLES_MISSING, Answer.OUTDATED))
            return
        try:
            await request.accept()
        except BaseException:
            self._desk.give_back(request.id)
            raise
        self._desk.mark_launched(request.id)
        self._metrics.count_start()

    async def _is_outdated(self, job: Job) -> bool:
        """Tell whether an offer comes so late that the caller may have been dispatched anew, and was."""
        is_late = self._may_be_late(self._clock() - job.room.creation_time_ms / 1000)
        return is_late and await self.is_withdrawn(job)

    async def is_withdrawn(self, job: Job) -> bool:
        """Tell whether the dispatch of a call is known to be gone."""
        return bool(job.dispatch_id) and not await self._rooms.is_wished_for(job.dispatch_id, job.room.name)

    def has_ended(self, job: Job) -> bool:
        """Tell whether a call said itself that it is over."""
        return self._desk.has_ended(job.id)

    async def is_there(self, call: RunningJobInfo) -> bool:
        """Tell whether the agent of a call is in its room, for all that is known."""
        return await self._rooms.is_there(call.accept_arguments.identity, call.job.room.name)

    def _may_be_late(self, age_seconds: float) -> bool:
        """Tell whether a room may have waited for long: LiveKit dates it, and our clock may be behind.

        It is by as much as the youngest room seems not to be made yet; for how long that one waits it does not tell.
        """
        if -age_seconds > self._behind_seconds:
            self._behind_seconds = -age_seconds
            return True
        return age_seconds + self._behind_seconds >= SETTLED_SECONDS - _LATE_BEFORE_SECONDS

    def _decide(self, request: JobRequest) -> Answer:
        values = resolve_variables(self._plan.variables, read_call_variables(request.job.metadata))
        # What is looked up when the call begins is not known yet.
        if isinstance(values, Missing) and self._plan.lookup is None:
            return Answer.VARIABLES_MISSING
        return self._desk.answer(request.id, request.job.dispatch_id)
