"""A stream of lines, whatever the pieces in which it arrives, and however it is meant."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet_operator.workers.lines import LONGEST_LINE, LinesError, LineStream, SilenceError

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n"


class Transport(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.aborted = True


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def lines_of(pieces: Sequence[bytes]) -> list[bytes]:
    """Return the lines that are heard; what ends the stream is raised."""
    heard: list[bytes] = []
    stream = LineStream(b"GET / HTTP/1.1\r\n\r\n", heard.append, silent_after_seconds=15)
    stream.connection_made(Transport())
    for piece in pieces:
        stream.data_received(piece)
    stream.connection_lost(None)
    await stream.ended
    return heard


async def test_each_chunk_of_a_line_is_a_line() -> None:
    assert await lines_of([CHUNKED, chunk(b"one\n"), chunk(b"two\n")]) == [b"one", b"two"]


async def test_an_answer_without_chunks_is_read_until_it_ends() -> None:
    assert await lines_of([PLAIN + b"one\ntw", b"o\nthree"]) == [b"one", b"two"]


async def test_the_request_is_sent_as_soon_as_there_is_somebody() -> None:
    stream, transport = LineStream(b"ask", lambda _: None, silent_after_seconds=15), Transport()
    stream.connection_made(transport)

    assert transport.written == b"ask"
    stream.close()
    assert transport.aborted


@given(
    lines=st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b" ")), max_size=8),
    size=st.integers(1, 60),
    cut=st.integers(1, 40),
)
def test_how_it_is_cut_into_chunks_and_packets_makes_no_difference(lines: list[bytes], size: int, cut: int) -> None:
    text = b"".join(line + b"\n" for line in lines)
    answer = CHUNKED + b"".join(chunk(text[start : start + size]) for start in range(0, len(text), size))
    packets = [answer[start : start + cut] for start in range(0, len(answer), cut)]

    assert asyncio.run(lines_of(packets)) == lines


@given(st.lists(st.binary(max_size=200), max_size=5), st.sampled_from([b"", CHUNKED, PLAIN]))
def test_whatever_arrives_the_stream_ends_in_order_or_with_words(pieces: list[bytes], head: bytes) -> None:
    with suppress(LinesError):
        asyncio.run(lines_of([head, *pieces]))


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([CHUNKED, *[chunk(b"x" * 8_000)] * 12], id="a line in small chunks"),
        pytest.param([CHUNKED, b"%x\r\n" % 10**9, *[b"x" * 8_000] * 12], id="a line in one endless chunk"),
        pytest.param([PLAIN, *[b"x" * 8_000] * 12], id="a line without chunks"),
        pytest.param([b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 2_000], id="a head"),
        pytest.param([CHUNKED, b"1" * 100], id="the size of a chunk"),
        pytest.param([PLAIN, *[b"\n" * 250] * 20], id="empty lines"),
        pytest.param([CHUNKED, *[chunk(b"x\n") * 50] * 50], id="chunks of a line each"),
        pytest.param([PLAIN, *[(b"x" * 50_000) + b"\n"] * 100], id="long lines"),
    ],
)
async def test_what_has_no_end_is_ended_by_us(pieces: list[bytes]) -> None:
    with pytest.raises(LinesError, match="without end"):
        await lines_of(pieces)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
async def test_only_an_answer_of_200_is_heard(answer: bytes) -> None:
    with pytest.raises(LinesError, match="it answers '"):
        await lines_of([answer, b"line\n"])


async def test_as_many_lines_as_a_rush_of_calls_brings_are_heard() -> None:
    line = b"x" * 12_000 + b"\n"

    assert len(await lines_of([CHUNKED, *[chunk(line)] * 200])) == 200


async def test_whoever_speaks_on_and_on_may_do_so_at_leisure(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, heard = LineStream(b"ask", lambda _: None, silent_after_seconds=15), 0
    stream.data_received(PLAIN)
    loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()

    for second in range(600):
        monkeypatch.setattr(loop, "time", lambda second=second: began + second)
        stream.data_received((b"x" * 12_000 + b"\n") * 10)
        heard += not stream.ended.done()

    assert heard == 600


async def test_a_line_as_long_as_allowed_is_heard() -> None:
    line = b"x" * LONGEST_LINE

    assert await lines_of([CHUNKED, chunk(line), chunk(b"\n")]) == [line]


async def test_a_chunk_that_is_longer_than_it_says_ends_the_stream() -> None:
    with pytest.raises(LinesError, match="longer than its size"):
        await lines_of([CHUNKED, b"3\r\none\n\r\n"])


async def test_silence_ends_the_stream_and_a_word_puts_that_off(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, now = asyncio.get_running_loop(), 0.0
    timers: list[tuple[float, object]] = []
    monkeypatch.setattr(loop, "time", lambda: now)
    stream = LineStream(b"", lambda _: None, silent_after_seconds=15)
    monkeypatch.setattr(
        loop,
        "call_later",
        lambda delay, check: timers.append((delay, check)) or asyncio.TimerHandle(0, check, (), loop),
    )
    stream.connection_made(Transport())
    now = 10.0
    stream.data_received(CHUNKED)

    now = 15.0
    stream._check_silence()
    assert [delay for delay, _ in timers] == [15, 10]
    assert not stream.ended.done()

    now = 25.0
    stream._check_silence()
    with pytest.raises(SilenceError):
        await stream.ended


async def test_an_error_of_the_hearer_ends_the_stream_and_is_told() -> None:
    def hear(_: bytes) -> None:
        raise RuntimeError("another pod answers")

    stream, transport = LineStream(b"", hear, silent_after_seconds=15), Transport()
    stream.connection_made(transport)
    stream.data_received(PLAIN + b"line\nline\n")

    with pytest.raises(RuntimeError, match="another pod answers"):
        await stream.ended
    assert transport.aborted
