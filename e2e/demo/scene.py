"""The scene: one caller, three turns, and what kubectl says meanwhile and afterwards."""

import asyncio
import json
import os
import sys

from e2e.bench import BenchError
from e2e.bench.bench import CommandFailed
from e2e.bench.diagnosis import describe_namespace
from e2e.bench.waiting import wait_for
from e2e.caller import Caller, CallReport, Line, Seat
from e2e.demo.stage import AGENT, NAMESPACE, Stage
from e2e.demo.telling import show, step

READY_SECONDS = 90
LINES = ("Hello, what are your opening hours?", "Can I come on Friday afternoon?", "Thank you, goodbye.")


def what_to_try_next(stage: Stage) -> str:
    """Return commands for another terminal."""
    livekit = stage.bench.livekit
    python = os.path.relpath(sys.executable)
    two_workers = json.dumps({"spec": {"scaling": {"min": 2}}})
    return f"""\
The fleet stays up until Ctrl-C. In another terminal:

  alias k='{python} -m e2e.bench kubectl --name {stage.bench.name} -- -n {NAMESPACE}'
  k get va                        # is it well, how many calls, how much room
  k describe va {AGENT}      # why there are as many workers as there are
  k patch va {AGENT} --type merge -p '{two_workers}'
  k get pods -w                   # a second worker comes up
  k delete pp default             # then read what the agent says about it

  export LIVEKIT_API_KEY={livekit.api_key} LIVEKIT_API_SECRET={livekit.api_secret}
  {python} -m e2e.caller --url {livekit.ws_url} --agent {NAMESPACE}.{AGENT} --say "When are you open?"
"""


def play(stage: Stage) -> CallReport:
    """Wait for the worker, make the call, and show what kubectl says."""
    with step("worker ready: scheduled, started, registered with LiveKit"):
        _wait_until_ready(stage)
    with step("one caller, three turns"):
        report = asyncio.run(_call(stage))
    show("the conversation", report.as_text())
    wait_for(lambda: _calls(stage) == "0", "the call to be over in the status")
    show("kubectl get va -o wide", stage.kubectl("get", "va", "-o", "wide"))
    return report


def _wait_until_ready(stage: Stage) -> None:
    try:
        stage.kubectl("wait", "--for=condition=Ready", f"va/{AGENT}", f"--timeout={READY_SECONDS}s")
    except CommandFailed as error:
        for title, text in describe_namespace(stage.bench, NAMESPACE):
            show(title, text)
        raise BenchError(f"{AGENT} was not ready within {READY_SECONDS} s; what there is stands above") from error


async def _call(stage: Stage) -> CallReport:
    livekit = stage.bench.livekit
    line = Line(livekit.ws_url, livekit.api_key, livekit.api_secret)
    async with Caller(line, seat=Seat.made_up(f"{NAMESPACE}.{AGENT}")) as caller:
        await caller.listen()
        for number, words in enumerate(LINES):
            await caller.say(words)
            if number == 0:
                answer = await asyncio.to_thread(stage.kubectl, "get", "va,pods")
                show("kubectl get va,pods, during the call", answer)
    return caller.report()


def _calls(stage: Stage) -> str:
    return stage.kubectl("get", "va", AGENT, "-o", "jsonpath={.status.calls}")
