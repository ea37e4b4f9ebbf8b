"""Why LiveKit does not know the worker. The SDK tries to join for ever, and tells only its log what comes of it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from voicefleet.wire import Away

# A LiveKit that starts anew is joined again within seconds, which is nobody's trouble.
PATIENCE_SECONDS = 5.0
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_SDK_LOGGER = "livekit.agents"


class Joining(logging.Handler):
    """Hears how each try ends; of a server that takes a connection and says nothing more there is no word at all."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock
        self._since: float | None = None
        self._refused = False

    def emit(self, record: logging.LogRecord) -> None:
        """Take in the one line that tells of a try; a test fails when a release words it otherwise."""
        if hasattr(record, "retry_count"):
            self._refused = getattr(getattr(record, "error", None), "status", None) in _REFUSED

    def away(self, *, registered: bool) -> Away | None:
        """Tell why LiveKit does not know the worker, once it has had the time to join."""
        if registered:
            self._since, self._refused = None, False
            return None
        now = self._clock()
        self._since = now if self._since is None else self._since
        if now - self._since < PATIENCE_SECONDS:
            return None
        return Away.REFUSES if self._refused else Away.SILENT


@contextmanager
def listening(clock: Callable[[], float]) -> Iterator[Joining]:
    """Listen to the SDK while the block runs."""
    joining, log = Joining(clock), logging.getLogger(_SDK_LOGGER)
    log.addHandler(joining)
    try:
        yield joining
    finally:
        log.removeHandler(joining)
