"""Measurement 5: how long a worker takes from the start of its process until it takes calls."""

from collections import defaultdict

from e2e.scale.figures import Figure, Outcome
from e2e.voice_bench.pairs import median_or_nothing
from e2e.voice_bench.sides import OURS, PLAIN
from e2e.voice_bench.stage import Stage
from e2e.voice_bench.workers import agent_manifest, pool_manifest, run_ours, run_plain

LIMIT_SECONDS = 5.0


def measure_start(stage: Stage, *, rounds: int) -> Outcome:
    """Start both, one after the other, alone on the machine, with what earlier starts left in the page cache."""
    pool, agent = pool_manifest(stage.livekit, stage.providers), agent_manifest("starting")
    took: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        with run_plain(stage.folder, stage.livekit, stage.providers, "starting-plain") as plain:
            pass
        with run_ours(stage.folder, stage.livekit, pool, agent) as ours:
            pass
        # The first ones read their code from the disk.
        if number > 0:
            took[PLAIN].append(plain.ready_seconds)
            took[OURS].append(ours.ready_seconds)
        stage.tell(f"start: ours {ours.ready_seconds:.1f} s, plain {plain.ready_seconds:.1f} s")
    figures = (
        Figure(f"{OURS}: p50", median_or_nothing(took[OURS]), "s", LIMIT_SECONDS),
        Figure(f"{OURS}: worst", max(took[OURS]), "s", LIMIT_SECONDS),
        Figure(f"{PLAIN}: p50", median_or_nothing(took[PLAIN]), "s"),
        Figure(f"{PLAIN}: worst", max(took[PLAIN]), "s"),
    )
    notes = ("from the start of the process until LiveKit has it registered and it says that it is ready",)
    return Outcome("start", "A worker starts", figures, notes, {"rounds": rounds})
