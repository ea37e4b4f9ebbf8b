"""What a failure says about its provider, whichever client it came through."""

import email.utils
import time
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from livekit.agents import APIConnectionError, APIStatusError, APITimeoutError

from voicefleet.providers.breaker import Cause
from voicefleet_worker.failover.errors import Overheard
from voicefleet_worker.problems import BadInputError


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def upgrade_refused(status: int, **headers: str) -> aiohttp.WSServerHandshakeError:
    info: Any = SimpleNamespace(real_url="wss://x")
    return aiohttp.WSServerHandshakeError(info, (), status=status, headers=headers)  # type: ignore[arg-type]


class ThrottledError(Exception):
    """As HTTP clients have it."""

    def __init__(self, **headers: str) -> None:
        super().__init__("x")
        self.response = SimpleNamespace(headers=headers)


@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        (APIStatusError("x", status_code=401), Cause.CREDENTIALS, "APIStatusError 401"),
        (APIStatusError("x", status_code=403), Cause.CREDENTIALS, "APIStatusError 403"),
        (APIStatusError("x", status_code=429), Cause.THROTTLED, "APIStatusError 429"),
        (APIStatusError("x", status_code=500), Cause.FAILURES, "APIStatusError 500"),
        (APIStatusError("x", status_code=404), Cause.FAILURES, "APIStatusError 404"),
        (APITimeoutError("x"), Cause.FAILURES, "APITimeoutError"),
        (ValueError("what the caller said"), Cause.FAILURES, "ValueError"),
        (caused(APIConnectionError("x"), upgrade_refused(401)), Cause.CREDENTIALS, "APIConnectionError 401"),
        (BadInputError("/secrets/a/b", "secret is empty"), Cause.CREDENTIALS, "/secrets/a/b: secret is empty"),
    ],
    ids=["401", "403", "429", "500", "404", "time-out", "bug", "refused upgrade", "no key here"],
)
def test_failures_are_told_apart(error: BaseException, cause: Cause, words: str) -> None:
    finding = Overheard().finding(error)
    outcome = finding.outcome(5.0)

    assert outcome is not None
    assert (outcome.failed, outcome.began_at) == (cause, 5.0)
    assert str(finding) == words


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_wrong_request_says_nothing_of_a_provider(status: int) -> None:
    assert Overheard().finding(APIStatusError("x", status_code=status)).outcome(5.0) is None


@pytest.mark.parametrize(
    ("cause", "seconds"),
    [
        (ThrottledError(**{"retry-after": "7"}), 7.0),
        (upgrade_refused(429, **{"Retry-After": "0.5"}), 0.5),
        (ThrottledError(**{"retry-after": email.utils.formatdate(time.time() + 900, usegmt=True)}), 900.0),
        (ThrottledError(**{"retry-after": "soon"}), None),
        (ThrottledError(**{"retry-after": "inf"}), 3600.0),
        (ThrottledError(**{"retry-after": "nan"}), None),
        (ThrottledError(**{"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}), 3600.0),
        (ThrottledError(**{"retry-after": "-3"}), 0.0),
        (ThrottledError(), None),
    ],
    ids=["s", "of an upgrade", "a date", "nonsense", "for ever", "nan", "the far future", "the past", "not said"],
)
def test_who_is_throttled_waits_as_long_as_it_is_told(cause: BaseException, seconds: float | None) -> None:
    overheard, error = Overheard(), caused(APIStatusError("x", status_code=429), cause)
    overheard.hear(SimpleNamespace(error=error))
    # As the SDK does on the way to us.
    error.__cause__ = error.__context__ = None

    outcome = overheard.finding(error).outcome(5.0)

    assert outcome is not None
    # The date is that of when the tests were collected.
    slack = 600 if seconds and seconds > 100 else 0.1
    assert outcome.rest_seconds == (None if seconds is None else pytest.approx(seconds, abs=slack))
