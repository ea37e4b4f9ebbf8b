"""One request or socket: its entry in the ledger, and the faults that reach into its stream."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Literal

from aiohttp import WSMsgType, web

from e2e.providers.dialects import error_body, read_key
from e2e.providers.faults import Fault
from e2e.providers.ledger import Entry, fingerprint, public_options
from e2e.providers.studio import STUDIO, Studio
from e2e.providers.wire import Json, new_id

Delivery = Literal["send", "drop", "garble"]
GARBAGE = '{"type": "Results", "channel": [{"alternatives'
_KEPT_TURNS = 200
# Longer than any client of ours waits.
_STALLS_SECONDS = 60.0


class StreamDied(Exception):  # noqa: N818 - the wire died, the programme did not
    """The fault cut the connection; there is nobody left to answer."""


class Exchange:
    """What happens between one client and one service."""

    def __init__(self, request: web.Request, provider: str, service: str) -> None:
        self.studio: Studio = request.app[STUDIO]
        self.request = request
        self.instance = request.match_info.get("instance", "main")
        self.key = (self.instance, provider, service)
        self.request_id = new_id("req_")
        self.is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
        self.secret = read_key(provider, request)
        self.entry = Entry(
            time_seconds=time.time(),
            instance=self.instance,
            provider=provider,
            service=service,
            transport="ws" if self.is_socket else "http",
            key=fingerprint(self.secret),
            model=request.query.get("model", ""),
            language=request.query.get("language", ""),
            options=public_options(dict(request.query)),
        )
        self.studio.ledger.add(self.entry)
        self._opened = self._turn_started = time.perf_counter()
        self._turn_answered = False
        self._chunks = self._bytes = 0
        self._revision = self.studio.faults.revision(self.key)
        self.fault: Fault = self.studio.faults.admit(self.key, now_seconds=time.monotonic())
        self.entry.fault = self.fault.mode

    def begin_turn(self) -> None:
        """Start the clock of an utterance, a sentence or a response."""
        self.entry.turns += 1
        self._turn_started = time.perf_counter()
        self._turn_answered = False

    async def before_send(self, size: int) -> Delivery:
        """Let the fault act on the next chunk, and count the chunk if it goes out."""
        fault = self.current_fault()
        if fault.mode == "silent":
            return "drop"
        if delay_seconds := fault.delay_seconds(first=self._chunks == 0):
            await asyncio.sleep(delay_seconds)
        if fault.mode in ("dead_mid_stream", "stalled_mid_stream") and self._is_spent(fault, size):
            if fault.mode == "stalled_mid_stream":
                await asyncio.sleep(_STALLS_SECONDS)
            self.cut("died")
        self._chunks += 1
        self._bytes += size
        self._note_first_byte()
        return "garble" if fault.mode == "wrong" else "send"

    def current_fault(self) -> Fault:
        """Return the fault in force, which the control API may have changed since the request came."""
        revision = self.studio.faults.revision(self.key)
        if revision != self._revision:
            self._revision = revision
            self._chunks = self._bytes = 0
            self.fault = self.studio.faults.admit(self.key, now_seconds=time.monotonic())
            self.entry.fault = self.fault.mode
        return self.fault

    def cut(self, outcome: str) -> None:
        """Drop the TCP connection without a goodbye."""
        self.entry.outcome = outcome
        if self.request.transport is not None:
            self.request.transport.abort()
        raise StreamDied(outcome)

    def close(self) -> None:
        """Write down how it went."""
        self.entry.duration_ms = _since_ms(self._opened)
        if self.entry.outcome == "open":
            is_told = self.fault.mode in ("silent", "stalled_mid_stream", "wrong")
            self.entry.outcome = self.fault.mode if is_told else "ok"

    def refuse(self, status: int, message: str, outcome: str, headers: dict[str, str] | None = None) -> web.Response:
        """Answer with the provider's kind of error."""
        self.entry.outcome, self.entry.status = outcome, status
        body = error_body(self.key[1], status, message, self.request_id)
        return web.json_response(body, status=status, headers=headers)

    async def reply_json(self, body: Json) -> web.StreamResponse:
        """Answer a plain request."""
        return await self.reply(json.dumps(body).encode(), content_type="application/json")

    async def reply(self, data: bytes, *, content_type: str) -> web.StreamResponse:
        """Answer with one body; a connection that dies does so in the middle of it."""
        self.entry.status = 200
        response = web.StreamResponse(headers={"x-request-id": self.request_id})
        response.content_type = content_type
        response.content_length = len(data)
        if self.current_fault().mode == "dead_mid_stream":
            await response.prepare(self.request)
            await response.write(data[: len(data) // 2])
            self.cut("died")
        if await self.before_send(len(data)) == "garble":
            data = data[: len(data) // 2]
            response.content_length = len(data)
        await response.prepare(self.request)
        await response.write(data)
        return response

    async def start_stream(self, content_type: str) -> "Stream":
        """Begin an answer in chunks."""
        self.entry.status = 200
        response = web.StreamResponse(headers={"x-request-id": self.request_id, "cache-control": "no-cache"})
        response.content_type = content_type
        # Headers wait for the first byte: that is what a client measures.
        return Stream(self, response)

    async def upgrade(self) -> "Socket":
        """Accept a WebSocket."""
        socket = web.WebSocketResponse(heartbeat=None, max_msg_size=16 << 20)
        socket.headers["x-request-id"] = self.request_id
        socket.headers["dg-request-id"] = self.request_id
        await socket.prepare(self.request)
        self.entry.status = 101
        return Socket(self, socket)

    def _is_spent(self, fault: Fault, size: int) -> bool:
        if fault.after_bytes is not None:
            return self._bytes + size > fault.after_bytes
        return self._chunks >= fault.after_chunks

    def _note_first_byte(self) -> None:
        if self._turn_answered:
            return
        self._turn_answered = True
        took_ms = _since_ms(self._turn_started)
        if self.entry.ttfb_ms is None:
            self.entry.ttfb_ms = took_ms
        if self.entry.turns and len(self.entry.turn_ttfb_ms) < _KEPT_TURNS:
            self.entry.turn_ttfb_ms.append(took_ms)


class Stream:
    """A chunked HTTP answer."""

    def __init__(self, exchange: Exchange, response: web.StreamResponse) -> None:
        self._exchange = exchange
        self.response = response

    async def write(self, data: bytes) -> None:
        """Send one chunk."""
        delivery = await self._exchange.before_send(len(data))
        if not self.response.prepared:
            await self.response.prepare(self._exchange.request)
        if delivery == "send":
            await self.response.write(data)
        elif delivery == "garble":
            await self.response.write(f"data: {GARBAGE}\n\n".encode())

    async def send_event(self, body: Json, *, name: str = "") -> None:
        """Send one server-sent event."""
        prefix = f"event: {name}\n" if name else ""
        await self.write(f"{prefix}data: {json.dumps(body)}\n\n".encode())


class Socket:
    """A WebSocket, seen from the provider."""

    def __init__(self, exchange: Exchange, socket: web.WebSocketResponse) -> None:
        self._exchange = exchange
        self.socket = socket

    async def send(self, body: Json) -> None:
        """Send one JSON message."""
        text = json.dumps(body)
        match await self._exchange.before_send(len(text)):
            case "send":
                await self.socket.send_str(text)
            case "garble":
                await self.socket.send_str(GARBAGE)
            case "drop":
                pass

    async def send_bytes(self, data: bytes) -> None:
        """Send one binary message."""
        match await self._exchange.before_send(len(data)):
            case "send":
                await self.socket.send_bytes(data)
            case "garble":
                await self.socket.send_str(GARBAGE)
            case "drop":
                pass

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Yield what the client sends until it goes away."""
        async for message in self.socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                yield message.data

    async def close(self) -> None:
        """Say goodbye properly, unless the fault is to say nothing."""
        if self._exchange.current_fault().mode != "silent":
            await self.socket.close()


def _since_ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
