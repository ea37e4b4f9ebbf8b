"""The operator's own port: whether it lives, whether it is ready, and what it counts."""

from collections.abc import Callable, Iterable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from voicefleet_operator.errors import ConfigError
from voicefleet_operator.metrics import Metrics

Problem = Callable[[], str | None]


def build_app(
    metrics: Metrics, *, why_dead: Problem, why_not_ready: Problem, tell: Callable[[], Iterable[str]] = tuple
) -> web.Application:
    """Return the application; a problem is told in words, None is none, and /livez adds what there is to tell."""

    async def livez(_request: web.Request) -> web.Response:
        return _plain(why_dead(), *tell())

    async def readyz(_request: web.Request) -> web.Response:
        return _plain(why_not_ready())

    async def read_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", read_metrics)
    return app


async def serve(app: web.Application, host: str, port: int) -> web.AppRunner:
    """Listen."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(f"--http-port {port}: {error.strerror}") from error
    return runner


def _plain(problem: str | None, *more: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text="".join(f"{line}\n" for line in (problem or "ok", *more)))
