"""`make demo`: everything up, one call, and then it is yours until Ctrl-C."""

import argparse
import os
import shutil
import signal
import subprocess
import sys

from livekit.rtc import ConnectError

from e2e.bench import BenchError
from e2e.demo.scene import LINES, play, what_to_try_next
from e2e.demo.stage import Stage, set_stage
from e2e.demo.telling import fail
from e2e.providers.launch import DidNotStartError

# What a step ends with that does not go as it should: words for a person, not a traceback.
_STEP_FAILED = (BenchError, ConnectError, DidNotStartError, TimeoutError, subprocess.SubprocessError)


def main() -> int:
    """Run the demo; 0 when the call went as it should."""
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the call instead of staying up")
    parser.add_argument("--name", help="name of the bench, for a second demo beside the first")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() != 0:
        return fail("a real node needs root: run `sudo make demo`")
    if shutil.which("go") is None:
        return fail("go is not on PATH: install Go 1.26 or later")
    try:
        with set_stage(name=options.name or "demo") as stage:
            report = play(stage)
            answered = [turn for turn in report.turns if turn.heard_seconds]
            if report.was_cut or len(answered) < 1 + len(LINES):
                return fail("the call did not go as it should; the text above says where")
            if not options.once:
                _stay(stage)
    except _STEP_FAILED as error:
        return fail(str(error))
    except KeyboardInterrupt:
        pass
    return 0


def _stay(stage: Stage) -> None:
    print(what_to_try_next(stage), flush=True)
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
