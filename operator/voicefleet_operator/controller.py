"""The workers that take keys from the queue, and what becomes of each turn."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from voicefleet_operator.errors import ApiError, NotLeaderError
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import GONE, Ports
from voicefleet_operator.turns.workqueue import Key, QueueClosed, WorkQueue

logger = logging.getLogger(__name__)

Reconcile = Callable[[Key, Ports], Awaitable[timedelta | None]]

# Everything is looked at now and then whether or not anything happened; spread, so that not all comes at once.
_RESYNC_SECONDS = 600.0
_RESYNC_SPREAD = 0.2
# A turn that takes this long hangs; each of its requests has a shorter time-out of its own.
_TURN_SECONDS = 120.0


class Controller:
    """Takes keys from the queue until it is closed."""

    def __init__(self, queue: WorkQueue, ports: Ports, handlers: Mapping[str, Reconcile], metrics: Metrics) -> None:
        self._queue = queue
        self._ports = ports
        self._handlers = handlers
        self._metrics = metrics

    async def work(self) -> None:
        """Take one key after another."""
        while True:
            try:
                key = await self._queue.get()
            except QueueClosed:
                return
            try:
                await self._turn(key)
            finally:
                self._queue.done(key)

    async def _turn(self, key: Key) -> None:
        outcome = "error"
        with self._metrics.reconcile_seconds.labels(key.kind).time():
            try:
                async with asyncio.timeout(_TURN_SECONDS):
                    look_again = await self._handlers[key.kind](key, self._ports)
            except ApiError as error:
                outcome = "conflict" if error.status == 409 else "refused"
                self._metrics.delays.decided(key)
                self._log_failure(key, error, expected=outcome == "conflict")
            except NotLeaderError:
                outcome = "not-leader"
            except Exception:  # a bug in one agent's turn must not end all others
                logger.exception("reconciling failed", extra=_fields(key))
                self._queue.fail(key)
            else:
                outcome = "ok"
                self._metrics.delays.decided(key)
                self._queue.succeed(key)
                self._look_again(key, look_again)
        self._metrics.reconciles.labels(key.kind, outcome).inc()

    def _look_again(self, key: Key, after: timedelta | None) -> None:
        if after == GONE:
            self._queue.forget(key)
            return
        seconds = _RESYNC_SECONDS * (1 + random.uniform(-_RESYNC_SPREAD, _RESYNC_SPREAD))  # noqa: S311 - a spread
        self._queue.add_after(key, min(seconds, after.total_seconds()) if after is not None else seconds)

    def _log_failure(self, key: Key, error: ApiError, *, expected: bool) -> None:
        pause = self._queue.fail(key)
        log = logger.info if expected else logger.warning
        fields = _fields(key) | {"status": error.status, "error": str(error), "again_in_seconds": round(pause, 1)}
        log("reconciling will be tried again", extra=fields)


def _fields(key: Key) -> dict[str, object]:
    return {"kind": key.kind, "namespace": key.namespace, "object": key.name}
