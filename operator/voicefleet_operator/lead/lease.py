"""Who leads: one process holds a Lease and renews it; whoever cannot renew ends at once.

Clocks of two machines are never compared. A holder counts as gone when its record did not change for a whole lease
by the clock of the one who looks, or when it ran where only one process runs at a time, and that is now the one who
looks. A change of the record names the version that it was decided on, so of two who try at once one is refused, and
a leader need not look before it renews what it wrote itself: on a slow server that would be half of the wait.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from voicefleet_operator.apiserver.kube import LEASES, Body, Kube
from voicefleet_operator.errors import ApiError

logger = logging.getLogger(__name__)

_DURATION_SECONDS = 15
# The margin pays for a request under way and for a clock that runs a little slower than the next one's.
_RENEW_WITHIN_SECONDS = 10.0
_RETRY_SECONDS = 2.0
# After one that failed there has to be time for another one.
_AGAIN_SECONDS = 0.5
_REQUEST_SECONDS = 4.0
# Who takes longer than that to answer a request is also late in telling.
_SLOW_SECONDS = 1.5
_DELETED: Body = {"metadata": {"resourceVersion": "deleted"}, "spec": {"holderIdentity": "deleted"}}


@dataclass(frozen=True, slots=True)
class _Sight:
    """A record, and when it was first seen like this."""

    version: str
    at: float


class Lease:
    """One process's part in the election."""

    def __init__(
        self, kube: Kube, *, namespace: str, name: str, identity: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kube = kube
        self._collection = LEASES.path(namespace)
        self._path = LEASES.path(namespace, name)
        self._name = name
        self._identity = identity
        self._clock = clock
        self._sight: _Sight | None = None
        self._abandoned_at = float("inf")
        self._renewed_at: float | None = None
        self._took_seconds = 0.0
        self._written: Body | None = None
        """The record as this process wrote it, unless another one may have since."""

    def is_valid(self) -> bool:
        """Tell whether this process may still change anything."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < _RENEW_WITHIN_SECONDS

    def age_seconds(self) -> float | None:
        """Return how long ago this process last renewed its lead, if it leads."""
        return self._clock() - self._renewed_at if self.is_valid() and self._renewed_at is not None else None

    def is_slow(self) -> bool:
        """Tell whether the apiserver takes so long to renew a lead that what it tells may be old."""
        if self._renewed_at is None:
            return False
        overdue = self._clock() - self._renewed_at - _RETRY_SECONDS
        return max(self._took_seconds, overdue) > _SLOW_SECONDS

    async def acquire(self) -> bool:
        """Wait until this process leads, and say so."""
        while not await self._try():  # noqa: ASYNC110 - the event would have to come from the server
            await asyncio.sleep(self._pause_seconds())
        logger.info("leading", extra={"identity": self._identity})
        return True

    async def keep(
        self, on_return: Callable[[], object] = lambda: None, is_stuck: Callable[[], bool] = lambda: False
    ) -> None:
        """Renew for as long as that works; returns the moment the lead is lost, even from within a request.

        Whoever asks is told when the apiserver answers again that was out of reach. Who is stuck keeps nothing.
        """
        held = True
        while self.is_valid():
            await asyncio.sleep(_RETRY_SECONDS if held else _AGAIN_SECONDS)
            before, held = held, False
            with suppress(TimeoutError):
                async with asyncio.timeout(self._remaining_seconds()):
                    held = not is_stuck() and await self._try()
            if held and not before:
                on_return()

    async def release(self) -> None:
        """Give the lead away, so that the next one need not wait."""
        if not self.is_valid():
            return
        self._renewed_at = None
        try:
            lease = await self._kube.request("GET", self._path, timeout_seconds=_REQUEST_SECONDS)
            if lease["spec"].get("holderIdentity") == self._identity:
                await self._change(lease, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except ApiError as error:
            logger.warning("the lead could not be given away", extra={"error": str(error)})

    def _pause_seconds(self) -> float:
        """Return when to look again: the moment a silent holder counts as gone, if that comes first."""
        left = self._abandoned_at - self._clock()
        return left if 0 < left < _RETRY_SECONDS else _RETRY_SECONDS

    def _remaining_seconds(self) -> float:
        return _RENEW_WITHIN_SECONDS - (self._clock() - (self._renewed_at or 0.0))

    async def _try(self) -> bool:
        # Counted from before the request: it may have taken effect at any moment since.
        began = self._clock()
        try:
            held = await self._take()
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                logger.warning("the lease is out of reach", extra={"status": error.status, "error": str(error)})
            return False
        if held:
            self._renewed_at = began
        elif self._renewed_at is not None:
            # Somebody else holds it: there is nothing left to renew.
            self._renewed_at = float("-inf")
        return held

    async def _take(self) -> bool:
        # Of a request without an answer nobody knows whether it was heard.
        written, self._written = self._written, None
        if written is not None and self.is_valid():
            try:
                self._written = await self._change(written, self._renewal())
            except ApiError as error:
                if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                    raise
            else:
                return True
        return await self._look_and_take()

    async def _look_and_take(self) -> bool:
        try:
            lease = await self._kube.request("GET", self._path, timeout_seconds=_REQUEST_SECONDS)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            if self._sight is not None and self._renewed_at is None and not self._is_abandoned(_DELETED):
                # Somebody has deleted it, and whoever held it goes on until the next renewal.
                return False
            await self._create()
            return True
        spec = lease.get("spec", {})
        mine = spec.get("holderIdentity") == self._identity
        if not mine and not self._is_abandoned(lease):
            return False
        fields = self._renewal()
        if not mine:
            transitions = (spec.get("leaseTransitions") or 0) + 1
            fields |= {"acquireTime": fields["renewTime"], "leaseTransitions": transitions}
        self._written = await self._change(lease, fields)
        return True

    def _renewal(self) -> Body:
        now = _micro_time()
        return {"holderIdentity": self._identity, "renewTime": now, "leaseDurationSeconds": _DURATION_SECONDS}

    def _is_abandoned(self, lease: Body) -> bool:
        version, now = lease["metadata"]["resourceVersion"], self._clock()
        if self._sight is None or self._sight.version != version:
            self._sight = _Sight(version, now)
        spec = lease.get("spec", {})
        self._abandoned_at = self._sight.at + (spec.get("leaseDurationSeconds") or _DURATION_SECONDS)
        holder = spec.get("holderIdentity")
        return not holder or self._was_before_us(holder) or now >= self._abandoned_at

    def _was_before_us(self, holder: str) -> bool:
        """Tell whether a holder ran where this process runs now, and so is no more.

        Who has led takes nothing back by this: if another one got here, the place was not ours alone.
        """
        place = _place(self._identity)
        return place != "" and place == _place(holder) and self._renewed_at is None

    async def _change(self, lease: Body, fields: Body) -> Body:
        metadata = {"resourceVersion": lease["metadata"]["resourceVersion"]}
        began = self._clock()
        written = await self._kube.merge(
            self._path, {"metadata": metadata, "spec": fields}, timeout_seconds=_REQUEST_SECONDS
        )
        self._took_seconds = self._clock() - began
        return written

    async def _create(self) -> None:
        renewal = self._renewal()
        spec = {**renewal, "acquireTime": renewal["renewTime"], "leaseTransitions": 0}
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": spec,
        }
        await self._kube.request("POST", self._collection, body=body, timeout_seconds=_REQUEST_SECONDS)


def _place(identity: str) -> str:
    return identity.rpartition("_")[0]


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
