"""Control ports of a thousand workers in one process: each on its simulated pod's own address.

It says what a worker says, in the worker's own way: a stream in chunks, a line on each change and as a heartbeat.
`python -m e2e.scale.swarm` serves an idle worker for each line of its input, says `ok` to each empty one, ends with it.
"""

import asyncio
import json
import re
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from voicefleet.names import CALLERS_PATH, CONTROL_PORT, CORDON_PATH, HEARTBEAT_SECONDS, LOAD_PATH, STATE_PATH
from voicefleet.wire import LoadOrder

_STEPS = 100
_LENGTH = re.compile(rb"(?i)content-length: (\d+)")
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(slots=True)
class Member:
    """One worker: whose pod it speaks for, and how it is."""

    uid: str
    name: str
    address: str
    revision: str
    slots: int = 12
    cordoned: bool = False
    load: float | None = None
    """What it was told to report to LiveKit."""
    calls: dict[str, float] = field(default_factory=dict)
    """When each call began."""
    was_busy_when_asked: bool = False
    """It held a call when it was told to take no more."""
    sequence: int = 0
    listeners: set["_Connection"] = field(default_factory=set)
    connections: set["_Connection"] = field(default_factory=set)
    """Of listeners, and of whoever only gave orders."""

    def line(self) -> bytes:
        """Say how it is."""
        self.sequence += 1
        now = time.monotonic()
        state = {
            "sequence": self.sequence,
            "revision": self.revision,
            "podUid": self.uid,
            "slots": self.slots,
            "sessions": [{"id": call, "ageSeconds": round(now - began, 3)} for call, began in self.calls.items()],
            "registered": True,
            "looksForCallers": True,
            "cordoned": self.cordoned,
            "draining": False,
            "askedLoad": self.load,
            "reportedLoad": -1.0 if self.load is None else self.load,
        }
        return json.dumps(state, separators=(",", ":")).encode() + b"\n"

    def tell(self) -> None:
        """Say it to whoever listens."""
        if self.listeners:
            line = self.line()
            for listener in self.listeners:
                listener.send(line)

    def command(self, path: str, body: bytes) -> None:
        """Obey."""
        if path == LOAD_PATH:
            self.load = LoadOrder.model_validate_json(body).load
        elif path != CALLERS_PATH:
            self.cordoned = path == CORDON_PATH
        self.was_busy_when_asked = self.was_busy_when_asked or (self.cordoned and bool(self.calls))
        self.tell()


class _Connection(asyncio.Protocol):
    def __init__(self, member: Member) -> None:
        self._member = member
        self._transport: asyncio.WriteTransport | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport
            self._member.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            self._read = b""
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        if self._transport is None or b"bearer " not in head.lower():
            self.hang_up()
        elif method == "GET" and path == STATE_PATH:
            self._transport.write(_STREAM_HEAD)
            self.send(self._member.line())
            self._member.listeners.add(self)
        else:
            self._member.command(path, body)
            line = self._member.line()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(line), line))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._member.listeners.discard(self)
        self._member.connections.discard(self)

    def send(self, line: bytes) -> None:
        """Send one line as a chunk."""
        if self._transport is not None:
            self._transport.write(b"%x\r\n%b\r\n" % (len(line), line))

    def hang_up(self) -> None:
        """End it at once, whether or not all that was said has been read."""
        if self._transport is not None:
            self._transport.abort()


class Swarm:
    """Workers by the uid of their pods; an `async with` block ends them."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._beating is not None:
            self._beating.cancel()
        for uid in list(self._servers):
            self.leave(uid)
        # A connection is closed when the loop comes to it.
        await asyncio.sleep(0)

    async def join(self, members: Iterable[Member]) -> None:
        """Serve these, too."""
        loop = asyncio.get_running_loop()
        for member in members:
            if member.uid in self.members:
                continue
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((member.address, CONTROL_PORT))
            self.members[member.uid] = member
            self._servers[member.uid] = await loop.create_server(partial(_Connection, member), sock=listener)

    def leave(self, uid: str) -> Member:
        """End one."""
        member = self.members.pop(uid)
        self._servers.pop(uid).close()
        for connection in list(member.connections):
            connection.hang_up()
        return member

    @property
    def heard(self) -> int:
        """Count those whom somebody listens to."""
        return sum(bool(member.listeners) for member in self.members.values())

    async def _beat(self) -> None:
        step = 0
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS / _STEPS)
            for index, member in enumerate(list(self.members.values())):
                if index % _STEPS == step:
                    member.tell()
            step = (step + 1) % _STEPS


async def _serve_input() -> None:
    async with Swarm() as swarm:
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line == "\n":
                print("ok", flush=True)
            else:
                await swarm.join([Member(*json.loads(line))])


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_input())
