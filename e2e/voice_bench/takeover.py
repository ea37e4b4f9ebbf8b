"""Measurement 4: how soon the second provider is heard when the first one says nothing."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from e2e.caller import Caller, Turn
from e2e.scale.figures import Figure, Outcome
from e2e.voice_bench.pairs import median_or_nothing
from e2e.voice_bench.stage import Stage
from e2e.voice_bench.talk import ask, calls
from e2e.voice_bench.workers import agent_manifest, pool_manifest, run_ours

TIMEOUT_MS = 1_500
LIMIT_MS = 300.0
_SECOND = "second"
_SILENT = {"who thinks": ("openai", "chat"), "who speaks": ("cartesia", "tts")}
# Open for as long as nobody asks, so that each turn begins with the first one.
_BREAKER = {"failures": 1, "failureFraction": 0, "openSeconds": 1, "maxOpenSeconds": 1}
_REST_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class _Wait:
    """How long the caller of one turn waited."""

    after_speech_ms: float
    after_request_ms: float
    """From the moment at which the first model was asked to answer."""


async def measure_failover(stage: Stage, *, rounds: int) -> Outcome:
    """Silence the first of two providers in every other turn, and see how much later the answer is heard."""
    pool = pool_manifest(
        stage.livekit,
        stage.providers,
        stage.providers.for_instance(_SECOND),
        attempt={"timeoutMilliseconds": TIMEOUT_MS},
        breaker=_BREAKER,
    )
    # An answer that is begun before the turn is over would hide a part of the wait.
    agent = agent_manifest("standing-by", preemptive=False)
    with run_ours(stage.folder, stage.livekit, pool, agent) as worker:
        async with calls(stage.line, worker, 1) as (caller,):
            found = {who: await _silence(stage, caller, who, rounds) for who in _SILENT}
    figures = [figure for who, (well, silent) in found.items() for figure in _figures(who, well, silent)]
    notes = (
        "when somebody is silent, the time-out of an attempt is taken off the wait",
        "from request: since the first model was asked, so that what the second needs for its answer counts as well",
    )
    return Outcome("failover", "The second provider takes over", tuple(figures), notes, {"time-out": TIMEOUT_MS})


async def _silence(stage: Stage, caller: Caller, who: str, rounds: int) -> tuple[list[_Wait], list[_Wait]]:
    provider, service = _SILENT[who]
    waits: dict[bool, list[_Wait]] = defaultdict(list)
    for turn in range(2 * rounds + 2):
        silent = turn % 2 == 1
        if silent:
            await asyncio.to_thread(stage.control.break_service, provider, service, "silent")
        heard = await _wait(stage, caller)
        await asyncio.to_thread(stage.control.mend)
        # The first of each kind opens lines that later ones find open.
        if turn >= 2:
            waits[silent].append(heard)
    stage.tell(f"failover: {who} was silent {rounds} times")
    return waits[False], waits[True]


async def _wait(stage: Stage, caller: Caller) -> _Wait:
    await asyncio.sleep(_REST_SECONDS)
    await asyncio.to_thread(stage.control.forget)
    turn = await ask(caller)
    requests = await asyncio.to_thread(stage.control.requests, "openai", "chat", instance="main")
    asked_at = requests[0]["time_seconds"] if requests else float("-inf")
    return _Wait(turn.response_ms or float("inf"), _since(turn, asked_at))


def _since(turn: Turn, asked_at: float) -> float:
    return float("inf") if turn.first_sound_at is None else (turn.first_sound_at - asked_at) * 1000


def _figures(who: str, well: list[_Wait], silent: list[_Wait]) -> list[Figure]:
    usual = median_or_nothing([wait.after_speech_ms for wait in well])
    later = [wait.after_speech_ms - usual - TIMEOUT_MS for wait in silent]
    from_request = [wait.after_request_ms - TIMEOUT_MS for wait in silent]
    return [
        Figure(f"{who} is well: wait", usual, "ms"),
        Figure(f"{who} is well: from request", median_or_nothing([wait.after_request_ms for wait in well]), "ms"),
        Figure(f"{who} is silent: later than that, p50", median_or_nothing(later), "ms", LIMIT_MS),
        Figure(f"{who} is silent: later than that, worst", max(later), "ms", LIMIT_MS),
        Figure(f"{who} is silent: from request, p50", median_or_nothing(from_request), "ms", LIMIT_MS),
        Figure(f"{who} is silent: from request, worst", max(from_request), "ms", LIMIT_MS),
    ]
