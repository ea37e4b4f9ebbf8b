"""Who is compared with whom: ours like the plain one, ours as it is by default, and the plain one with itself."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from e2e.caller import Caller
from e2e.voice_bench.stage import Stage
from e2e.voice_bench.talk import calls
from e2e.voice_bench.workers import Worker, agent_manifest, pool_manifest, run_ours, run_plain

# Recognising nothing takes no time, but two cores may.
ATTEMPT = {"timeoutMilliseconds": 10_000}
OURS, PLAIN, CLEANING, AGAIN = "ours", "plain", "ours, cleaning", "plain again"
Calls = dict[str, Sequence[Caller]]
"""Callers by the name of whom they speak with."""
_UNCLEANED = {"noiseSuppression": {"mode": "Off"}}


@dataclass(frozen=True, slots=True)
class Sides:
    """All workers at once; what happens to the machine happens to all of them."""

    workers: dict[str, Worker]

    def __getitem__(self, name: str) -> Worker:
        return self.workers[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Who is there."""
        return tuple(self.workers)

    def in_turn(self, number: int) -> tuple[str, ...]:
        """Return the names, each time beginning with another one, so that nobody is always first."""
        first = number % len(self.workers)
        return (*self.names[first:], *self.names[:first])


@contextmanager
def run_sides(stage: Stage) -> Iterator[Sides]:
    """Start all of them."""
    livekit, providers, folder = stage.livekit, stage.providers, stage.folder
    pool = pool_manifest(livekit, providers, attempt=ATTEMPT)
    with ExitStack() as stack:
        start = stack.enter_context
        workers = {
            OURS: start(run_ours(folder, livekit, pool, agent_manifest("ours", conversation=_UNCLEANED))),
            PLAIN: start(run_plain(folder, livekit, providers, "plain")),
            CLEANING: start(run_ours(folder, livekit, pool, agent_manifest("cleaning"))),
            AGAIN: start(run_plain(folder, livekit, providers, "again")),
        }
        stage.tell(f"{len(workers)} workers wait for calls")
        yield Sides(workers)


@asynccontextmanager
async def call_all(stage: Stage, sides: Sides, count: int) -> AsyncIterator[Calls]:
    """Have so many calls with each worker at once."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(calls(stage.line, worker, count))
            for name, worker in sides.workers.items()
        }
