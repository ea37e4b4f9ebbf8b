"""The way in to every service: the key and the faults are dealt with before a handler sees a request."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from e2e.providers.exchange import GARBAGE, Exchange, StreamDied

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]
# A silent provider holds the connection; no client of ours waits for longer.
_SILENCE_SECONDS = 600.0


def guard(provider: str, service: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Wrap a service's handler."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        exchange = Exchange(request, provider, service)
        exchange.studio.live.add(exchange)
        try:
            return await (_turn_away(exchange) or handler(exchange))
        except (StreamDied, ConnectionError):
            # aiohttp insists on an answer even where nobody is left to read it.
            return web.Response(status=499)
        except BaseExceptionGroup as group:
            _, bugs = group.split((StreamDied, ConnectionError))
            if bugs is not None:
                raise bugs from None
            return web.Response(status=499)
        except asyncio.CancelledError:
            # A socket's client may hang up at any time; a request's client has given up on us.
            gave_up = not exchange.is_socket and exchange.fault.mode != "silent"
            if gave_up and exchange.entry.outcome == "open":
                exchange.entry.outcome = "client_gone"
            raise
        finally:
            exchange.close()
            exchange.studio.live.discard(exchange)

    return guarded


def _turn_away(exchange: Exchange) -> Awaitable[web.StreamResponse] | None:
    """Return the answer that keeps a request from its handler, if there is one."""
    fault = exchange.fault
    match fault.mode:
        case "refuse":
            exchange.cut("refused")
        case "throttled":
            headers = {"Retry-After": str(fault.retry_after_seconds)}
            return _ready(exchange.refuse(fault.status or 429, "Too many requests", "throttled", headers))
        case "unauthorized":
            return _ready(_refuse_key(exchange, fault.status or 401))
        case "error":
            return _ready(exchange.refuse(fault.status or 500, "Something went wrong", "error"))
        case "silent" if not exchange.is_socket:
            return _say_nothing(exchange)
        case "wrong" if not exchange.is_socket and exchange.key[2] != "chat":
            return _answer_garbage(exchange)
    if not exchange.studio.keys.accepts(exchange.instance, exchange.key[1], exchange.secret):
        return _ready(_refuse_key(exchange, 401))
    return None


def _refuse_key(exchange: Exchange, status: int) -> web.Response:
    """Refuse it as some do: with the key in the words."""
    return exchange.refuse(status, f"Incorrect API key provided: {exchange.secret}", "unauthorized")


async def _ready(response: web.StreamResponse) -> web.StreamResponse:
    return response


async def _say_nothing(exchange: Exchange) -> web.StreamResponse:
    await exchange.request.read()
    await asyncio.sleep(_SILENCE_SECONDS)
    return web.Response(status=504)


async def _answer_garbage(exchange: Exchange) -> web.StreamResponse:
    await exchange.request.read()
    exchange.entry.outcome = "wrong"
    return await exchange.reply(GARBAGE.encode(), content_type="application/json")
