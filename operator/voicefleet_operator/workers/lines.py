"""A worker's stream of lines, read as it comes: HTTP/1.1 with nothing that one long answer does not need.

A fleet has thousands of these open at once, and a general client keeps several times the memory for each and spends
several times the work on each line. What a worker sends is bounded: a line, a header and a silence that are too long
end the stream.
"""

import asyncio
from collections.abc import Callable

LONGEST_LINE = 65_536
_LONGEST_HEAD = 8_192
_LONGEST_CHUNK_HEAD = 32
_REFUSED = " to the operator's token: its own follows from another control key"
# 200 calls are a line of 12 KB: some 250 such lines at once, and 15 a second on and on.
_MOST_BYTES_AT_ONCE = 4_194_304
_BYTES_PER_SECOND = 262_144
_BYTES_OF_A_STEP = 1_024
"""What a line or a part of a chunk costs us besides its length: empty ones without end are as bad as long ones."""


class LinesError(Exception):
    """What arrives is not a stream of lines; says of whoever sends it what it sends instead."""


class SilenceError(Exception):
    """Nothing arrives at all, which may be anybody's fault."""


class LineStream(asyncio.Protocol):
    """One request whose answer is lines; `ended` is done when no more come."""

    def __init__(self, request: bytes, hear: Callable[[bytes], None], *, silent_after_seconds: float) -> None:
        self._request = request
        self._hear = hear
        self._silent_after_seconds = silent_after_seconds
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._read: Callable[[], bool] = self._read_head
        self._raw = b""
        self._text = b""
        self._chunk_left = 0
        self._allowed_bytes = float(_MOST_BYTES_AT_ONCE)
        self._heard_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            transport.write(self._request)
        self._timer = self._loop.call_later(self._silent_after_seconds, self._check_silence)

    def data_received(self, data: bytes) -> None:
        """Take in what came, and hand on each line that is whole."""
        before, self._heard_at = self._heard_at, self._loop.time()
        earned = (self._heard_at - before) * _BYTES_PER_SECOND
        self._allowed_bytes = min(_MOST_BYTES_AT_ONCE, self._allowed_bytes + earned) - len(data)
        self._raw += data
        try:
            while self._raw and self._read():
                self._spend()
        except Exception as error:  # noqa: BLE001 - whoever waits for the end is told
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that no more will come."""
        self._end(exc)

    def close(self) -> None:
        """Hang up."""
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._raw = b""
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)

    def _check_silence(self) -> None:
        left = self._heard_at + self._silent_after_seconds - self._loop.time()
        if left <= 0:
            self._end(SilenceError())
        else:
            self._timer = self._loop.call_later(left, self._check_silence)

    def _read_head(self) -> bool:
        head, found, rest = self._raw.partition(b"\r\n\r\n")
        if not found:
            _bound(self._raw, _LONGEST_HEAD, "head")
            return False
        status, *fields = head.split(b"\r\n")
        words = status.split(b" ", 2)
        # A worker sends nobody elsewhere, and we would not go.
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or words[1] != b"200":
            raise LinesError(
                f"it answers {status[:32].decode('latin-1')!r}{_REFUSED if words[1:2] == [b'401'] else ''}"
            )
        chunked = any(field.lower().replace(b" ", b"") == b"transfer-encoding:chunked" for field in fields)
        self._raw, self._read = rest, self._read_chunk_head if chunked else self._read_plain
        return True

    def _read_plain(self) -> bool:
        self._take(self._raw)
        self._raw = b""
        return False

    def _read_chunk_head(self) -> bool:
        size, found, rest = self._raw.partition(b"\r\n")
        if not found:
            _bound(self._raw, _LONGEST_CHUNK_HEAD, "chunk")
            return False
        try:
            self._chunk_left = int(size.partition(b";")[0], 16)
        except ValueError:
            raise LinesError("it sends a chunk without a size") from None
        if self._chunk_left <= 0:
            self._end(None)
            return False
        self._raw, self._read = rest, self._read_chunk
        return True

    def _read_chunk(self) -> bool:
        part, self._raw = self._raw[: self._chunk_left], self._raw[self._chunk_left :]
        self._chunk_left -= len(part)
        if not self._chunk_left:
            self._read = self._read_chunk_tail
        self._take(part)
        return not self._chunk_left

    def _read_chunk_tail(self) -> bool:
        if len(self._raw) < 2:
            return False
        if not self._raw.startswith(b"\r\n"):
            raise LinesError("it sends a chunk longer than its size")
        self._raw, self._read = self._raw[2:], self._read_chunk_head
        return True

    def _spend(self) -> None:
        self._allowed_bytes -= _BYTES_OF_A_STEP
        if self._allowed_bytes < 0:
            raise LinesError("it sends lines without end")

    def _take(self, part: bytes) -> None:
        *whole, rest = (self._text + part).split(b"\n")
        for line in whole:
            self._spend()
            if not self.ended.done():
                self._hear(line)
        _bound(rest, LONGEST_LINE, "line")
        self._text = rest


def _bound(text: bytes, longest: int, what: str) -> None:
    if len(text) > longest:
        raise LinesError(f"it sends a {what} without end")
