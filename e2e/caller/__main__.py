"""`python -m e2e.caller --url ws://… --api-key K --api-secret S --agent default.receptionist --say "…"`."""

import argparse
import asyncio
import json
import os
import sys

from e2e.caller.caller import Caller
from e2e.caller.line import Dispatch, Line, Seat
from e2e.caller.report import CallReport


async def call(options: argparse.Namespace) -> CallReport:
    """Make one call and return how it was."""
    made_up = Seat.made_up(options.agent, room=options.room)
    seat = Seat(room=made_up.room, identity=made_up.identity, agent=options.agent, metadata=options.metadata)
    line = Line(options.url, options.api_key, options.api_secret)
    caller = Caller(line, seat=seat, dispatch=Dispatch(options.dispatch))
    async with caller:
        await caller.listen(timeout_seconds=options.timeout)
        for sentence in options.say:
            await caller.say(sentence, timeout_seconds=options.timeout)
        if options.hold:
            await caller.hold(options.hold)
    return caller.report()


def main() -> int:
    """Call, print, and return 1 if the call was cut or nobody answered."""
    parser = argparse.ArgumentParser(prog="python -m e2e.caller", description="Call an agent and tell how it went.")
    parser.add_argument("--url", default=os.environ.get("LIVEKIT_URL", "ws://127.0.0.1:7880"))
    parser.add_argument("--api-key", default=os.environ.get("LIVEKIT_API_KEY", ""))
    parser.add_argument("--api-secret", default=os.environ.get("LIVEKIT_API_SECRET", ""))
    parser.add_argument("--agent", required=True, help="name to dispatch, such as default.receptionist")
    parser.add_argument("--say", action="append", default=[], metavar="TEXT", help="a sentence; repeat for more turns")
    parser.add_argument("--hold", type=float, default=0, metavar="SECONDS", help="stay on the line afterwards")
    parser.add_argument("--room", default="", help="made up by default")
    parser.add_argument("--metadata", default="", help='of the dispatch, such as {"variables": {"name": "Ada"}}')
    parser.add_argument("--dispatch", choices=[kind.value for kind in Dispatch], default=Dispatch.TOKEN.value)
    parser.add_argument("--timeout", type=float, default=20, metavar="SECONDS", help="for the answer to a turn")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = asyncio.run(call(options))
    print(json.dumps(report.as_json(), indent=2) if options.json else report.as_text())
    return 1 if report.was_cut or not report.agent_identity else 0


if __name__ == "__main__":
    sys.exit(main())
