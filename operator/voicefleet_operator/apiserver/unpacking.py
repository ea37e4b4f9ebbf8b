"""The apiserver's JSON, however deep: an object may have ten thousand levels, and no parser goes down so far.

Whoever may write an agent may write such a one, and all agents come in one list: it must not hide the others.
"""

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import orjson

if TYPE_CHECKING:
    from aiohttp.connector import Connection

# orjson goes a little deeper.
_DEEP = 1_000
# What is left of an object that is deeper still: more than any spec needs.
_KEPT_LEVELS = 200
# Texts too, since they may hold braces.
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_LEFT_OUT = b"null"


def unpack(data: bytes) -> Any:  # noqa: ANN401 - whatever the server says
    """Read JSON; where it is too deep to be read, its depths are left out."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return orjson.loads(_without_depths(data))


async def lines_of(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield whole lines, however long: an object may be as long as the server lets it be."""
    parts: list[bytes] = []
    async for chunk in content.iter_any():
        *whole, rest = chunk.split(b"\n")
        for end in whole:
            line = b"".join([*parts, end])
            parts.clear()
            if line:
                yield line
        parts.append(rest)


class Answer(aiohttp.ClientResponse):
    """An answer to somebody who reads its JSON by himself, line by line or as a whole."""

    async def start(self, connection: "Connection") -> aiohttp.ClientResponse:
        """Read the headers."""
        await super().start(connection)
        self.content = cast("aiohttp.StreamReader", _Shallow(self.content))
        return self

    async def json(self, **_: object) -> Any:  # noqa: ANN401 - whatever the server says
        """Read all of it."""
        return unpack(await self.read())


class _Shallow:
    """A stream of lines, each without what is too deep in it."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is as it was
        return getattr(self._content, name)

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        async for line in lines_of(self._content):
            yield _readable(line) + b"\n"


def _readable(line: bytes) -> bytes:
    # Counting takes no time, and hardly any object has so many levels side by side.
    if line.count(b"{") + line.count(b"[") > _DEEP:
        try:
            orjson.loads(line)
        except orjson.JSONDecodeError:
            return _without_depths(line)
    return line


def _without_depths(data: bytes) -> bytes:
    kept, level, copied, cut_at = bytearray(), 0, 0, 0
    for mark in _MARKS.finditer(data):
        if mark[0] in b"[{":
            level += 1
            cut_at = mark.start() if level == _KEPT_LEVELS + 1 else cut_at
        elif mark[0] in b"]}":
            if level == _KEPT_LEVELS + 1:
                kept += data[copied:cut_at] + _LEFT_OUT
                copied = mark.end()
            level -= 1
    return bytes(kept + data[copied:])
