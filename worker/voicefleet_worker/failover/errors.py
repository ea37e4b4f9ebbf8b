"""What a failed request says about its provider."""

import email.utils
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from livekit.agents import APIStatusError

from voicefleet.providers.breaker import LONGEST_REST_SECONDS, Cause, Outcome
from voicefleet_worker.problems import BadInputError

_KEY_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
# The request was wrong, not the provider: it would have been elsewhere, too.
_OUR_FAULT = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
_MOST_CAUSES = 8
_SHOWN_CHARACTERS = 200


class ErrorEvent(Protocol):
    """What the SDK tells of a failed request, whichever kind of provider it went to."""

    error: Exception


class Overheard:
    """What the last error of a provider said when it happened.

    The SDK raises it anew on its way to us, and what led to it is lost: among that how long the provider wants to be
    left alone, and what a WebSocket was answered.
    """

    def __init__(self) -> None:
        self._last: Finding | None = None

    def hear(self, event: ErrorEvent) -> None:
        """Take in an error at the place where it happens."""
        self._last = _find_out(event.error)

    def finding(self, error: BaseException) -> "Finding":
        """Return what is known of an error that has come to us."""
        if self._last is not None and error is self._last.error:
            return self._last
        return _find_out(error)


@dataclass(frozen=True, slots=True)
class Finding:
    """What went wrong, as far as it can be told."""

    error: BaseException
    status: int | None
    rest_seconds: float | None

    def outcome(self, began_at: float, key: int = 0) -> Outcome | None:
        """Return what is learned from it, made with this key, or None if it says nothing about the provider."""
        if isinstance(self.error, BadInputError) or self.status in _KEY_REFUSED:
            return Outcome(began_at, Cause.CREDENTIALS, key=key)
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return Outcome(began_at, Cause.THROTTLED, self.rest_seconds)
        return None if self.status in _OUR_FAULT else Outcome(began_at, Cause.FAILURES)

    def __str__(self) -> str:
        """Say it in one line without what was said in the call: providers quote requests in their answers."""
        if isinstance(self.error, BadInputError):
            return str(self.error)[:_SHOWN_CHARACTERS]
        kind = type(self.error).__name__
        return f"{kind} {self.status}" if self.status else kind


def _find_out(error: BaseException) -> Finding:
    return Finding(error, _status_of(error), _rest_seconds(error))


def _status_of(error: BaseException) -> int | None:
    for each in _chain(error):
        if isinstance(each, APIStatusError) and each.status_code > 0:
            return each.status_code
        # What a WebSocket was answered instead of being opened.
        status = getattr(each, "status", None)
        if isinstance(status, int) and status >= HTTPStatus.BAD_REQUEST:
            return status
    return None


def _rest_seconds(error: BaseException) -> float | None:
    """Return for how long a provider wants to be left alone, from the headers of its answer."""
    for each in _chain(error):
        answer = getattr(each, "response", each)
        headers = getattr(answer, "headers", None)
        if isinstance(headers, Mapping):
            said = headers.get("retry-after") or headers.get("Retry-After")
            if said:
                return _read_retry_after(said)
    return None


def _read_retry_after(text: str) -> float | None:
    """Read seconds, or the date that HTTP allows in their place."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_REST_SECONDS) if not math.isnan(seconds) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    each: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if each is None:
            return
        yield each
        each = each.__cause__ or each.__context__
