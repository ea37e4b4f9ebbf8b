"""What the operator remembers of one agent between turns; all of it can be learned again."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic, TypeVar

from voicefleet.fleet import Fleet, Heard, Worker
from voicefleet.fleet.ended import EndedCalls
from voicefleet.fleet.lookout import LookoutPlan
from voicefleet.fleet.memory import FleetMemory
from voicefleet.providers.alone import SharingLedger
from voicefleet.providers.fleet_view import ProviderView
from voicefleet.providers.growth import ProviderLedger
from voicefleet.rollout import Drains, Ledger, RolloutDecision
from voicefleet_operator.errors import ApiError

logger = logging.getLogger(__name__)

ValueT = TypeVar("ValueT")


@dataclass(slots=True)
class Kept(Generic[ValueT]):
    """Something that is worked out once for each version of what it depends on."""

    version: object = None
    value: ValueT | None = None


@dataclass(slots=True)
class AgentMemory:
    """The past of one agent's fleet, and what was worked out for its present spec."""

    uid: str
    fleet: FleetMemory = field(default_factory=FleetMemory)
    ledger: Ledger = field(default_factory=Ledger)
    ended_calls: EndedCalls = field(default_factory=EndedCalls)
    drains: Drains | None = None
    noted: dict[str, Heard] = field(default_factory=dict)
    """The word of each worker that the ledger has."""
    lookout_refusal: str = ""
    """Why the cluster did not do the last time what was asked of it about the lookout."""
    ends: dict[str, datetime] = field(default_factory=dict)
    """When each pod that is over was first seen so."""
    parsed: Kept[object] = field(default_factory=Kept)
    pool: Kept[object] = field(default_factory=Kept)
    rendered: Kept[object] = field(default_factory=Kept)

    def begin_to_decide(self) -> None:
        """Count from now on: what was counted before is in the status, by whoever decided then."""
        self.ledger.close_look({}, ())
        self.fleet.begin_to_decide()

    def note_drains(self, rollout: RolloutDecision | None) -> None:
        """Keep how calls ended, whether or not it may be told now: a worker that was seen empty may be gone by then."""
        if rollout is not None:
            self.drains = rollout.drains

    def note_lookout(self, plan: LookoutPlan, refusal: ApiError | None, now: datetime) -> None:
        """Keep why the cluster takes no lookout, and let the next try wait."""
        if plan.create is None:
            return
        self.lookout_refusal = str(refusal or "")
        if refusal is not None:
            logger.warning("a lookout is refused", extra={"status": refusal.status, "error": str(refusal)})
            self.fleet.unwatched_since = now

    def date_ends(self, fleet: Fleet, now: datetime) -> Fleet:
        """Return the same fleet, in which no pod ended later than it was seen so: a node's clock may run ahead."""
        ended = [worker.pod.ref.uid for worker in fleet if worker.pod.ended]
        self.ends = {uid: self.ends.get(uid, now) for uid in ended}
        return replace(fleet, workers=tuple(map(self._date_end, fleet))) if ended else fleet

    def _date_end(self, worker: Worker) -> Worker:
        seen_at, ended_at = self.ends.get(worker.pod.ref.uid), worker.pod.ended_at
        if seen_at is None or ended_at is None or ended_at <= seen_at:
            return worker
        return replace(worker, pod=replace(worker.pod, ended_at=seen_at))

    def note_tallies(self, fleet: Fleet, *, compared: bool) -> None:
        """Write down what the workers counted since they last spoke; sums by revision are kept if they are compared."""
        for worker in fleet:
            uid, heard = worker.pod.ref.uid, worker.heard
            before = self.noted.get(uid)
            if worker.pod.ended:
                counted = self.ledger.crashed(uid)
            elif heard is not None and before is not heard:
                self.noted[uid] = heard
                counted = self.ledger.note(uid, worker.pod.revision, heard.state)
            else:
                continue
            if before is not None:
                self.ended_calls.count(counted.calls_ended, counted.calls_failed, since=before.at)
        uids = {worker.pod.ref.uid for worker in fleet}
        self.ledger.retain(uids)
        self.noted = {uid: heard for uid, heard in self.noted.items() if uid in uids}
        if not compared:
            # Nobody would ever take away what was summed up for revisions that come and go.
            self.ledger.close_look({}, ())


@dataclass(slots=True)
class PoolMemory:
    """What the workers of a pool's agents said of its providers."""

    uid: str
    ledger: ProviderLedger = field(default_factory=ProviderLedger)
    sharing: SharingLedger = field(default_factory=SharingLedger)
    parsed: Kept[object] = field(default_factory=Kept)
    noted: dict[str, Heard] = field(default_factory=dict)
    """The word of each worker that the ledger has."""
    views: Kept[tuple[ProviderView, ...]] = field(default_factory=Kept)
    looked_at: datetime | None = None
    figures_at: datetime | None = None
    """When figures were last written."""

    def note(self, uid: str, namespace: str, heard: Heard) -> None:
        """Write down what a worker has said, unless that was done."""
        if self.noted.get(uid) is not heard:
            self.noted[uid] = heard
            self.ledger.note(uid, namespace, heard.state, heard.at.timestamp())
            self.sharing.note(uid, heard.state, heard.at.timestamp())

    def end_look(self, uids: Collection[str], providers: Collection[str], now: datetime) -> None:
        """Forget what a look did not find."""
        self.noted = {uid: heard for uid, heard in self.noted.items() if uid in uids}
        self.ledger.retain(uids, providers)
        self.sharing.retain(uids)
        self.looked_at = now
