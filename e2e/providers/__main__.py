"""`python -m e2e.providers --port 0`: serve the stand-ins until told to stop."""

import argparse
import asyncio
import json
import logging
import signal
import sys
from dataclasses import dataclass
from typing import get_args

from aiohttp import web

from e2e.providers.app import build_app
from e2e.providers.urls import Providers
from e2e.providers.wire import HearingMode

_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    host: str
    port: int
    advertise: str
    hearing: HearingMode
    print_json: bool
    tethered: bool


async def serve(options: Options) -> None:
    """Serve until SIGTERM, SIGINT or, on a tether, the end of stdin."""
    # A client that goes away takes its handler with it: a silent provider would hold it for ever.
    runner = web.AppRunner(
        build_app(hearing_mode=options.hearing),
        handler_cancellation=True,
        shutdown_timeout=_GRACE_SECONDS,
        access_log=None,
    )
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port)
    await site.start()
    bound_port = runner.addresses[0][1]
    providers = Providers.at(f"http://{options.advertise or options.host}:{bound_port}")
    print(json.dumps(providers.as_json()) if options.print_json else providers.control_url, flush=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.tethered:
        # Nobody writes to it: it becomes readable when the process that holds the other end is gone.
        loop.add_reader(sys.stdin.fileno(), stop.set)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m e2e.providers", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for pods")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--advertise", default="", help="host to print in the URLs instead of --host")
    parser.add_argument("--hearing", choices=get_args(HearingMode), default="hear")
    parser.add_argument("--print-json", action="store_true", help="print one line with every URL when ready")
    parser.add_argument("--tethered", action="store_true", help="end when stdin does")
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(Options(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
