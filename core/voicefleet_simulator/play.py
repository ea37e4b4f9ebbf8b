"""Playing many policies over one trace, on as many cores as wished; the figures do not depend on how many."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from voicefleet_simulator.catalogue import CONTENDERS, Contender, frontier
from voicefleet_simulator.compare import Figures, play
from voicefleet_simulator.outcome import Outcome
from voicefleet_simulator.trace import Trace
from voicefleet_simulator.world import World

_here: dict[str, tuple[Trace, World]] = {}


def play_all(contenders: Sequence[Contender], trace: Trace, world: World, *, jobs: int) -> Iterator[Figures]:
    """Yield the figures of each policy, in the order given."""
    if jobs <= 1 or len(contenders) <= 1:
        yield from (play(contender, trace, world) for contender in contenders)
        return
    # A policy holds functions, which cannot be sent to another process; its name can.
    with ProcessPoolExecutor(
        min(jobs, len(contenders)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_remember,
        initargs=(trace, world),
    ) as pool:
        played = pool.map(_play_by_name, [(c.name, c.dispatch.value) for c in contenders])
        for contender, (outcome, ratio) in zip(contenders, played, strict=True):
            yield Figures(contender, outcome, ratio)


def _remember(trace: Trace, world: World) -> None:
    _here["day"] = (trace, world)


def _play_by_name(key: tuple[str, str]) -> tuple[Outcome, float | None]:
    figures = play(_by_name(key), *_here["day"])
    return figures.outcome, figures.ratio


def _by_name(key: tuple[str, str]) -> Contender:
    return next(c for c in (*CONTENDERS, *frontier()) if (c.name, c.dispatch.value) == key)
