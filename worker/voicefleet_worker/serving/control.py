"""The control port: probes and metrics for anybody, state and commands for whoever holds the token."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError

from voicefleet.names import (
    CALLERS_PATH,
    CORDON_PATH,
    DRAIN_PATH,
    HEARTBEAT_SECONDS,
    LOAD_PATH,
    STATE_PATH,
    UNCORDON_PATH,
)
from voicefleet.wire import Away, CallersAnswer, CallersOrder, LoadOrder, ProviderWord
from voicefleet_worker.access.secret_files import read_secret
from voicefleet_worker.desk.desk import Desk
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.problems import BadInputError

_GUARDED = "/v1/"
_STALLED_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_LONGEST_ORDER_BYTES = 256 * 1024
Order = TypeVar("Order", LoadOrder, CallersOrder)
_NOT_JOINED = {
    None: "not registered with LiveKit",
    Away.REFUSES: "not registered: LiveKit refuses the worker's key",
    Away.SILENT: "not registered: LiveKit cannot be reached",
}


@dataclass(frozen=True, slots=True)
class Control:
    """The routes of the control port, over one desk."""

    desk: Desk
    metrics: Metrics
    token_file: Path | None
    """Without one nobody may ask for more than anybody may."""
    leave: Callable[[], None]
    """Makes the worker go once its calls are over."""
    look_for_callers: Callable[[CallersOrder], Awaitable[CallersAnswer | None]]
    """Has callers dispatched again who found no slot; nothing when LiveKit is away."""
    takes_calls: bool = True
    """Whoever takes none is ready without LiveKit knowing it."""
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    words: Callable[[], tuple[ProviderWord, ...] | None] = lambda: None
    """Says how the providers are; heartbeats tell it on."""

    def build_app(self) -> web.Application:
        """Return the application; the token is asked for on every path under /v1."""
        app = web.Application(middlewares=[self._guard], client_max_size=_LONGEST_ORDER_BYTES)
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.read_metrics)
        app.router.add_get(STATE_PATH, self.stream_state)
        app.router.add_post(CORDON_PATH, self.cordon)
        app.router.add_post(UNCORDON_PATH, self.uncordon)
        app.router.add_post(LOAD_PATH, self.ask_load)
        app.router.add_post(DRAIN_PATH, self.drain)
        app.router.add_post(CALLERS_PATH, self.look)
        return app

    async def livez(self, _request: web.Request) -> web.Response:
        """Answer as long as the event loop turns; an unreachable LiveKit is no reason to end live calls."""
        return web.Response(text="ok\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        """Answer 200 once LiveKit can send calls here."""
        return _plain(self._why_not_ready())

    async def health(self, _request: web.Request) -> web.Response:
        """Say in full what readyz says in a word."""
        problem = self._why_not_ready()
        body = {
            "status": "ok" if problem is None else problem,
            "registered": self.desk.registered,
            "cordoned": self.desk.cordoned,
            "draining": self.desk.draining,
            "sessions": self.desk.slots.used,
            "slots": self.desk.slots.limit,
        }
        return web.json_response(body, status=200 if problem is None else 503)

    async def read_metrics(self, _request: web.Request) -> web.Response:
        """Answer in Prometheus' text format."""
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def stream_state(self, request: web.Request) -> web.StreamResponse:
        """Send the state at once, on every change, and as a heartbeat, until one side goes."""
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(request)
        changed = self.desk.listen()
        loop, words_due = asyncio.get_running_loop(), 0.0
        try:
            while True:
                changed.clear()
                # Once in a heartbeat, however often something changes in between.
                words = self.words() if loop.time() >= words_due else None
                words_due = loop.time() + self.heartbeat_seconds if words is not None else words_due
                # A reader that takes nothing for so long is gone; the operator would dial again.
                async with asyncio.timeout(_STALLED_SECONDS):
                    await response.write(self._line(words))
                try:
                    async with asyncio.timeout(self.heartbeat_seconds):
                        await changed.wait()
                except TimeoutError:
                    continue
        except TimeoutError:
            # A polite end would wait for the same reader.
            if request.transport is not None:
                request.transport.abort()
            return response
        except ConnectionError:
            return response
        finally:
            self.desk.unlisten(changed)

    async def cordon(self, _request: web.Request) -> web.Response:
        """Take no more calls; calls under way go on."""
        self.desk.cordon()
        return self._state()

    async def uncordon(self, _request: web.Request) -> web.Response:
        """Take calls again."""
        if not self.desk.uncordon():
            return web.Response(status=409, text="the worker is draining, which can't be undone\n")
        return self._state()

    async def ask_load(self, request: web.Request) -> web.Response:
        """Report the load that is asked for, as long as the worker is open."""
        order = await _read(request, LoadOrder, '{"load": a number from -1e18 to 0.99}')
        self.desk.ask_load(order.load)
        return self._state()

    async def drain(self, _request: web.Request) -> web.Response:
        """Take no more calls, let those under way come to their end however long it takes, and go."""
        self.desk.drain()
        self.leave()
        return self._state()

    async def look(self, request: web.Request) -> web.Response:
        """Look for callers who found no slot, in the whole fleet, and have some of them dispatched again."""
        order = await _read(request, CallersOrder, '{"agent": …, "holdSeconds": …, "room": …}')
        # What the operator knows of this worker is a moment old.
        own = tuple(call.dispatch for call in self.desk.slots.held(now_seconds=0.0))
        answer = await self.look_for_callers(order.model_copy(update={"held": (*order.held, *own)}))
        if answer is None:
            return web.Response(status=503, text="LiveKit cannot be asked\n")
        return web.Response(text=answer.model_dump_json(by_alias=True), content_type="application/json")

    @property
    def _guard(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(_GUARDED) and not await self._is_authorised(request):
                return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"}, text="wrong or no token\n")
            return await handler(request)

        return guard

    async def _is_authorised(self, request: web.Request) -> bool:
        if self.token_file is None:
            return False
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        try:
            # Read on every request, so that a rotated token counts at once.
            wanted = await asyncio.to_thread(read_secret, self.token_file)
        except BadInputError:
            return False
        # Bytes that are no UTF-8 stand in a header as surrogates.
        same = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), wanted.encode())
        return scheme.lower() == "bearer" and same

    def _why_not_ready(self) -> str | None:
        if self.desk.draining:
            return "draining"
        is_ready = self.desk.registered or not self.takes_calls
        return None if is_ready else _NOT_JOINED[self.desk.away]

    def _line(self, words: tuple[ProviderWord, ...] | None = None) -> bytes:
        return self.desk.next_state(words).model_dump_json(by_alias=True).encode() + b"\n"

    def _state(self) -> web.Response:
        return web.Response(body=self._line(), content_type="application/json")


async def start_control(control: Control, *, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Listen, and return the runner together with the port, which is the system's choice when 0 was asked for."""
    # A stream never ends by itself: cancelling its handler is how it learns that the reader went.
    runner = web.AppRunner(
        control.build_app(), access_log=None, handler_cancellation=True, shutdown_timeout=_CLOSE_SECONDS
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise BadInputError("--control-port", f"{port} cannot be listened on: {error.strerror}") from None
    return runner, int(runner.addresses[0][1])


async def _read(request: web.Request, kind: type[Order], expected: str) -> Order:
    """Return the order in a request, or refuse the request in words."""
    try:
        return kind.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=f"expected {expected}: {_first(error)}\n") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise web.HTTPBadRequest(text=f"an order is no longer than {_LONGEST_ORDER_BYTES} bytes\n") from error


def _first(error: ValidationError) -> str:
    """Return what is wrong, without what was sent."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return ": ".join([*map(str, first["loc"]), first["msg"]])


def _plain(problem: str | None) -> web.Response:
    return web.Response(status=200 if problem is None else 503, text=f"{problem or 'ok'}\n")
