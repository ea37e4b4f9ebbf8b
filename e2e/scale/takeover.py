"""Measurement 5: how soon a standby's first pod is there after the leader was killed, and after it was stopped."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from e2e.operating import OperatorProcess
from e2e.scale.client import until
from e2e.scale.figures import Figure, Outcome
from e2e.scale.objects import AGENTS_PATH, PODS_PATH, agent
from e2e.scale.stage import OPERATORS, Stage
from voicefleet.names import LABEL_AGENT

_LATEST_SECONDS = 60.0
Ending = Callable[[OperatorProcess], object]
# A killed one leaves a lease of 15 s behind; a stopped one gives it away.
_ENDINGS: dict[str, tuple[Ending, float]] = {"kill": (OperatorProcess.kill, 20), "stop": (OperatorProcess.stop, 3)}


async def measure_takeover(stage: Stage, *, rounds: int) -> Outcome:
    """End the leader again and again, and let whoever stands by create an agent's first pod."""
    other = OperatorProcess(stage.bench, OPERATORS, log=stage.bench.logs_dir / "other-operator.log")
    await asyncio.to_thread(other.start)
    leader, standby = stage.operator, other
    took: dict[str, list[float]] = {how: [] for how in _ENDINGS}
    async with stage.namespaces("takeover", 1) as (namespace,):
        for number in range(rounds):
            for how, (end, _) in _ENDINGS.items():
                began = time.monotonic()
                await asyncio.to_thread(end, leader)
                await _first_pod(stage, namespace, f"{how}-{number}")
                took[how].append(time.monotonic() - began)
                await asyncio.to_thread(leader.start)
                leader, standby = standby, leader
    # Whatever is measured next is measured at the one that everybody knows.
    await asyncio.to_thread(other.stop)
    await until(stage.is_leading, "the first to lead again", within_seconds=_LATEST_SECONDS)
    figures = [
        Figure(f"{how} to the standby's first pod, worst", max(took[how]), "s", at_most=limit)
        for how, (_, limit) in _ENDINGS.items()
    ]
    return Outcome("takeover", "A standby takes over", tuple(figures), (), {"rounds": rounds})


async def _first_pod(stage: Stage, namespace: str, name: str) -> None:
    await stage.client.post(AGENTS_PATH.format(namespace=namespace), agent(namespace, name, workers=1))
    there = partial(_is_there, stage, PODS_PATH.format(namespace=namespace), name)
    await until(there, f"a pod of {name}", within_seconds=_LATEST_SECONDS, every_seconds=0.05)


async def _is_there(stage: Stage, path: str, name: str) -> bool:
    answer = await stage.client.get(path, labelSelector=f"{LABEL_AGENT}={name}", limit="1")
    return bool(answer["items"])
