"""The control API: break things, script things, and ask what happened."""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from e2e.providers.exchange import StreamDied
from e2e.providers.faults import ANY, MAIN, BadFaultError, Fault
from e2e.providers.persona import BadRuleError, Rule
from e2e.providers.studio import STUDIO
from e2e.providers.wire import Json

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def read_body(request: web.Request) -> Json:
    """Read a JSON object or answer 400."""
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be an object")
    return body


async def put_fault(request: web.Request) -> web.Response:
    """`PUT /control/faults/{provider}/{service}?instance=main`."""
    studio = request.app[STUDIO]
    body = await read_body(request)
    instance = str(body.pop("instance", request.query.get("instance", MAIN)))
    try:
        fault = Fault.parse(body)
    except BadFaultError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    key = (instance, request.match_info["provider"], request.match_info["service"])
    studio.faults.put(key, fault, now_seconds=time.monotonic())
    return web.json_response(studio.faults.snapshot())


async def get_faults(request: web.Request) -> web.Response:
    """`GET /control/faults`."""
    return web.json_response(request.app[STUDIO].faults.snapshot())


async def delete_faults(request: web.Request) -> web.Response:
    """`DELETE /control/faults?instance=`: mend one instance, or all."""
    request.app[STUDIO].faults.clear(request.query.get("instance"))
    return web.json_response({})


async def drop_connections(request: web.Request) -> web.Response:
    """`POST /control/drop?instance=&provider=&service=`: cut every open connection that fits."""
    wanted = tuple(request.query.get(name, ANY) for name in ("instance", "provider", "service"))
    dropped = 0
    for exchange in list(request.app[STUDIO].live):
        if all(want in (ANY, has) for want, has in zip(wanted, exchange.key, strict=True)):
            dropped += 1
            try:
                exchange.cut("died")
            except StreamDied:
                continue
    return web.json_response({"dropped": dropped})


async def put_rules(request: web.Request) -> web.Response:
    """`PUT /control/llm/rules`: replace the model's rules; an empty list restores the receptionist."""
    body = await read_body(request)
    try:
        rules = [Rule.parse(rule) for rule in body.get("rules", [])]
    except BadRuleError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    request.app[STUDIO].rules[:] = rules
    return web.json_response({"rules": len(rules)})


async def put_script(request: web.Request) -> web.Response:
    """`PUT /control/stt/script`: choose hearing or a script of transcripts, and the endpointing."""
    hearing = request.app[STUDIO].hearing
    body = await read_body(request)
    mode = body.get("mode", "script")
    if mode not in ("hear", "script"):
        raise web.HTTPBadRequest(text=f"mode must be hear or script, was {mode!r}")
    if mode != hearing.mode:
        hearing.reset(mode)
    if "transcripts" in body:
        hearing.put_script(str(body.get("instance") or ANY), [str(text) for text in body["transcripts"]])
    hearing.least_silence_ms = int(body.get("least_silence_ms", hearing.least_silence_ms))
    hearing.interim_ms = int(body.get("interim_ms", hearing.interim_ms))
    return web.json_response({"mode": hearing.mode})


async def put_keys(request: web.Request) -> web.Response:
    """`PUT /control/keys?instance=`: accept only these keys, by provider."""
    body = await read_body(request)
    for provider, keys in body.items():
        request.app[STUDIO].keys.put(request.query.get("instance", ANY), provider, [str(key) for key in keys])
    return web.json_response({provider: len(keys) for provider, keys in body.items()})


async def delete_keys(request: web.Request) -> web.Response:
    """`DELETE /control/keys`: accept any key again."""
    request.app[STUDIO].keys.clear()
    return web.json_response({})


async def get_requests(request: web.Request) -> web.Response:
    """`GET /control/requests`."""
    return web.json_response({"requests": request.app[STUDIO].ledger.rows()})


async def delete_requests(request: web.Request) -> web.Response:
    """`DELETE /control/requests`: forget requests, and what was heard and said."""
    studio = request.app[STUDIO]
    studio.ledger.clear()
    studio.spoken.clear()
    studio.hearing.notes.clear()
    return web.json_response({})


async def get_counts(request: web.Request) -> web.Response:
    """`GET /control/counts`."""
    return web.json_response(request.app[STUDIO].ledger.counts())


async def get_heard(request: web.Request) -> web.Response:
    """`GET /control/heard`: every utterance, its words and how long recognition took."""
    return web.json_response({"heard": request.app[STUDIO].hearing.rows()})


async def get_spoken(request: web.Request) -> web.Response:
    """`GET /control/spoken`: every sentence said aloud."""
    return web.json_response({"spoken": list(request.app[STUDIO].spoken)})


async def get_health(request: web.Request) -> web.Response:
    """`GET /control/health`: ready, and how it hears."""
    return web.json_response({"status": "ok", "hearing": request.app[STUDIO].hearing.mode})


ROUTES: tuple[tuple[str, str, Route], ...] = (
    ("PUT", "/control/faults/{provider}/{service}", put_fault),
    ("GET", "/control/faults", get_faults),
    ("DELETE", "/control/faults", delete_faults),
    ("POST", "/control/drop", drop_connections),
    ("PUT", "/control/llm/rules", put_rules),
    ("PUT", "/control/stt/script", put_script),
    ("PUT", "/control/keys", put_keys),
    ("DELETE", "/control/keys", delete_keys),
    ("GET", "/control/requests", get_requests),
    ("DELETE", "/control/requests", delete_requests),
    ("GET", "/control/counts", get_counts),
    ("GET", "/control/heard", get_heard),
    ("GET", "/control/spoken", get_spoken),
    ("GET", "/control/health", get_health),
)
