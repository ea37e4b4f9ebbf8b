"""How a call's own process tells the worker what becomes of the call: datagrams over a socket in the file system.

The SDK's channel between the two is not ours to use. A call never waits for this one: a report that cannot be sent at
once is dropped. So each holds everything that the ones before it held, and the next one makes good what was lost. News
of providers add up; what a full line does not take is sent in its turn, some moments later. A line in a pod holds ten.
"""

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from voicefleet.providers.routing import Refusal
from voicefleet.wire import LATENCY_BOUNDS_MILLISECONDS, Problem, WireModel, latency_class

logger = logging.getLogger("voicefleet.worker")

_LONGEST_BYTES = 4096
_MOST_AT_ONCE = 1000
_MOST_LATE = 200
_CATCH_UP_SECONDS = 0.02
_FAREWELL_TRIES = 40
_FAREWELL_PAUSE_SECONDS = 0.05
_LONGEST_TURN_SECONDS = 3600.0
_CLASSES = len(LATENCY_BOUNDS_MILLISECONDS) + 1

# No call has more of anything; the sum over all calls of a worker stays far from the bounds of its state.
_Count = Annotated[int, Field(ge=0, le=1_000_000)]


class CallReport(WireModel):
    """What became of one call so far; no count in it ever falls."""

    job_id: Annotated[str, Field(max_length=256)]
    turn_latency: Annotated[tuple[_Count, ...], Field(min_length=_CLASSES, max_length=_CLASSES)] = (0,) * _CLASSES
    latency_seconds: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """The latency of all turns together."""
    provider_requests: _Count = 0
    provider_errors: _Count = 0
    farewell: bool = False
    """The call is over; a process that vanishes without having said so has crashed."""
    failed: bool = False
    hung_up_early: bool = False


class ProviderNews(WireModel):
    """What a call has just learned of one provider; what a call that dies takes along, the next learns by itself."""

    job_id: Annotated[str, Field(max_length=256)]
    provider: Annotated[str, Field(max_length=63)]
    in_use: _Count = 0
    """Requests and streams of this call at this provider."""
    begun: bool = False
    """A request begins."""
    began_at: Annotated[float, Field(ge=0, le=1e11)] = 0.0
    """When the request began that this is about."""
    outcome: Literal["", "Well", "CalledOff", "Failures", "Throttled", "CredentialsRefused"] = ""
    rest_seconds: Annotated[float, Field(ge=0, le=1e6)] | None = None
    key: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Fingerprint of the key that was refused."""
    first_seconds: Annotated[float, Field(ge=0, le=1e4)] | None = None
    """Time to the first answer."""
    stands_in: bool = False
    """The request that begins takes over from one that has failed."""
    tokens: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Tokens that a request has used."""
    refusal: Refusal | None = None
    """Why a request did not begin."""
    problem: Problem = ""
    """What a request that failed came to."""


class Reporter:
    """The call's end of the line. Touched by one event loop only."""

    def __init__(self, job_id: str, address: Path | None) -> None:
        self._report = CallReport(job_id=job_id)
        self._address = address
        self._late: deque[bytes] = deque(maxlen=_MOST_LATE)
        """News that the line has not taken yet, in their order."""
        self._catching_up: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        if address is not None:
            self._socket = _open_socket()

    def count_turn(self, latency_seconds: float) -> None:
        """Count one answered turn by the time that the caller waited."""
        # Clocks are set back now and then.
        latency = min(max(0.0, latency_seconds), _LONGEST_TURN_SECONDS)
        counts, its_class = self._report.turn_latency, latency_class(latency)
        self._say(
            turn_latency=(*counts[:its_class], counts[its_class] + 1, *counts[its_class + 1 :]),
            latency_seconds=self._report.latency_seconds + latency,
        )

    def count_request(self, *, failed: bool = False) -> None:
        """Count one request to a provider."""
        self._say(
            provider_requests=self._report.provider_requests + 1,
            provider_errors=self._report.provider_errors + failed,
        )

    def note_failure(self) -> None:
        """Note that this call will have failed, however it ends."""
        self._say(failed=True)

    def note_end(self, *, hung_up_early: bool = False) -> None:
        """Tell that the call is over, if it can be told at once: what follows is clean-up, which may crash."""
        self._say(farewell=True, hung_up_early=hung_up_early or self._report.hung_up_early)

    async def say_farewell(self) -> None:
        """Tell for the last time that the call is over, and take some trouble over it."""
        for _ in range(_FAREWELL_TRIES):
            self._catch_up()
            if not self._late and self._say(farewell=True):
                break
            await asyncio.sleep(_FAREWELL_PAUSE_SECONDS)
        self._stop_catching_up()
        if self._socket is not None:
            self._socket.close()

    def tell_of(self, provider: str, **news: Any) -> None:  # noqa: ANN401 - fields of the news
        """Tell what was learned of a provider, soon if not at once; a call never waits for that."""
        with contextlib.suppress(ValidationError):
            self._late.append(_written(ProviderNews(job_id=self._report.job_id, provider=provider, **news)))
        if self._catching_up is None:
            self._catch_up()

    def _catch_up(self) -> None:
        """Send news as far as the line takes them, and the rest later."""
        self._stop_catching_up()
        try:
            while self._late:
                self._put(self._late[0])
                self._late.popleft()
        except BlockingIOError:
            # Where no event loop runs, the next news take along what is left.
            with contextlib.suppress(RuntimeError):
                self._catching_up = asyncio.get_running_loop().call_later(_CATCH_UP_SECONDS, self._catch_up)
        except OSError:
            # The worker is gone, or this call has said its farewell.
            self._late.clear()

    def _stop_catching_up(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
            self._catching_up = None

    def _say(self, **change: Any) -> bool:  # noqa: ANN401 - fields of a report
        self._report = self._report.model_copy(update=change)
        return self._send(_written(self._report))

    def _send(self, said: bytes) -> bool:
        try:
            self._put(said)
        except OSError:
            # The worker is busy or gone, or this call has said its farewell.
            return False
        return True

    def _put(self, said: bytes) -> None:
        if self._socket is not None:
            self._socket.sendto(said, str(self._address))


def _written(said: WireModel) -> bytes:
    return said.model_dump_json(by_alias=True).encode()


# Only news name a provider, without which they are no news.
_HEARD: TypeAdapter[ProviderNews | CallReport] = TypeAdapter(ProviderNews | CallReport)


def _not_interested(_: ProviderNews) -> None:
    """Learn nothing of providers."""


class ReportBox:
    """The worker's end of the line."""

    def __init__(
        self,
        directory: Path,
        hear: Callable[[CallReport], None],
        learn: Callable[[ProviderNews], None] = _not_interested,
    ) -> None:
        self.address = directory / "reports"
        self._hear = hear
        self._learn = learn
        self._socket = _open_socket()
        self._socket.bind(str(self.address))

    def read(self) -> None:
        """Take in what has come so far."""
        for _ in range(_MOST_AT_ONCE):
            try:
                said = self._socket.recv(_LONGEST_BYTES)
            except BlockingIOError:
                return
            try:
                heard = _HEARD.validate_json(said)
            except ValidationError as error:
                logger.warning("a call's report cannot be read", extra={"problem": f"{error.error_count()} errors"})
                continue
            if isinstance(heard, ProviderNews):
                self._learn(heard)
            else:
                self._hear(heard)

    def fileno(self) -> int:
        """Return what an event loop waits for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


def _open_socket() -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.setblocking(False)
    return opened


@contextlib.contextmanager
def open_reports(
    directory: Path, hear: Callable[[CallReport], None], learn: Callable[[ProviderNews], None] = _not_interested
) -> Iterator[ReportBox]:
    """Hear the calls of this worker while the event loop runs."""
    box = ReportBox(directory, hear, learn)
    loop = asyncio.get_running_loop()
    loop.add_reader(box, box.read)
    try:
        yield box
    finally:
        loop.remove_reader(box)
        box.close()
