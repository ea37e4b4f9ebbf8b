"""What a process does with news while it does not lead: it observes, hears the workers, and decides nothing.

Whoever begins to dial ten thousand of them when it is to lead keeps callers waiting for as long as that takes, and
knows nothing of how long calls last and how many come.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from voicefleet_operator.handlers.observing_pods import follow_workers
from voicefleet_operator.handlers.voiceagent import look_at_voice_agent
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import Ports
from voicefleet_operator.turns.workqueue import Key, WorkQueue

logger = logging.getLogger(__name__)


class Standby:
    """Takes keys from the queue until somebody decides about them."""

    def __init__(self, queue: WorkQueue, ports: Ports, metrics: Metrics) -> None:
        self._queue = queue
        self._ports = ports
        self._metrics = metrics
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Look on for the length of the block, or until all is handed over."""
        self._looking = asyncio.create_task(self._look_on(), name="look on")
        try:
            yield
        finally:
            await self._end()

    async def hand_over(self) -> None:
        """Have every worker heard, and everything looked at by whoever decides from now on."""
        await self._end()
        for memory in self._ports.memories.values():
            memory.begin_to_decide()
        for body in self._ports.cache.agents:
            key = _key("VoiceAgent", body["metadata"])
            follow_workers(self._ports, key)
            self._queue.add(key)
        for body in self._ports.cache.pools:
            self._queue.add(_key("ProviderPool", body["metadata"]))

    async def _look_on(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                if key.kind == "VoiceAgent":
                    await look_at_voice_agent(key, self._ports)
            except Exception:
                # One object that nobody expected must not end the hearing of all others.
                logger.exception("looking on failed", extra={"namespace": key.namespace, "object": key.name})
            finally:
                self._metrics.delays.forget(key)
                self._queue.done(key)
                # Nobody has looked after it yet.
                self._queue.forget(key)
            await asyncio.sleep(0)

    async def _end(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)


def _key(kind: str, metadata: dict[str, str]) -> Key:
    return Key(kind, metadata["namespace"], metadata["name"])
