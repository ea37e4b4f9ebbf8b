"""What the state stream of each worker said, from its first line to its last.

It is the worker's word about its calls while they last: which it holds at any moment, and its tally of those that ended
and those that failed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from e2e.bench import Bench
from e2e.bench.api import Api
from e2e.operating import control_token_of
from voicefleet.names import CONTROL_PORT, LABEL_AGENT, LABEL_REVISION, STATE_PATH
from voicefleet.wire import WorkerState

_LOOK_SECONDS = 0.5


@dataclass
class Record:
    """One worker, as it speaks of itself."""

    pod: str
    revision: str
    last: WorkerState | None = None
    processes: set[str] = field(default_factory=set)
    """More than one means that its container was started again, and that its calls were lost."""
    held: set[str] = field(default_factory=set)
    """Every call that it ever held."""
    leaving: bool = False
    """Its pod is being deleted."""
    emptied_with_calls: bool = False
    """It was told to take no more calls while it held some."""

    @property
    def now(self) -> set[str]:
        """The calls that it holds."""
        return {session.id for session in self.last.sessions} if self.last else set()

    @property
    def is_open(self) -> bool:
        """Whether it takes calls, or would if it had a free slot."""
        return self.last is not None and self.last.registered and not (self.last.cordoned or self.last.draining)

    def take(self, state: WorkerState) -> None:
        """Take in one line."""
        self.last = state
        self.processes.add(state.instance)
        self.held |= self.now
        self.emptied_with_calls |= state.cordoned and bool(state.sessions)


class Records:
    """The records of all workers that an agent ever had while somebody looked."""

    def __init__(self, bench: Bench, namespace: str, agent: str) -> None:
        self._bench = bench
        self._api = Api(bench.api_url, bench.ca_file, bench.admin_token)
        self._path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={LABEL_AGENT}%3D{agent}"
        self._followers: dict[str, asyncio.Task[None]] = {}
        self.by_uid: dict[str, Record] = {}

    @property
    def heard(self) -> list[Record]:
        """All workers that ever spoke."""
        return [record for record in self.by_uid.values() if record.last]

    @property
    def alive(self) -> list[Record]:
        """The workers that are on the line now."""
        on_the_line = {uid for uid, task in self._followers.items() if not task.done()}
        return [record for uid, record in self.by_uid.items() if uid in on_the_line and record.last]

    def held_now(self) -> set[str]:
        """The calls that workers hold at this moment."""
        return set().union(*(record.now for record in self.alive))

    def tally(self) -> tuple[int, int, int]:
        """Count the calls that ended, failed, and were hung up early, over all workers there ever were."""
        tallies = [record.last.tally for record in self.by_uid.values() if record.last]
        return (
            sum(tally.calls_ended for tally in tallies),
            sum(tally.calls_failed for tally in tallies),
            sum(tally.hung_up_early for tally in tallies),
        )

    @asynccontextmanager
    async def kept(self) -> AsyncIterator["Records"]:
        """Look for new workers, and listen to each, for the length of the block."""
        looking = asyncio.create_task(self._look())
        try:
            yield self
        finally:
            tasks = [looking, *self._followers.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            answer = await asyncio.to_thread(self._api.get, self._path)
            # No answer is no news: an apiserver that is away takes nobody off the line.
            pods = answer.body["items"] if answer.status == 200 else []
            for pod in pods:
                self._note(pod)
            await asyncio.sleep(_LOOK_SECONDS)

    def _note(self, pod: dict[str, Any]) -> None:
        metadata, status = pod["metadata"], pod["status"]
        uid, address = metadata["uid"], status.get("podIP")
        if not address or status["phase"] != "Running":
            return
        record = self.by_uid.setdefault(uid, Record(metadata["name"], metadata["labels"][LABEL_REVISION]))
        record.leaving = "deletionTimestamp" in metadata
        if uid not in self._followers or self._followers[uid].done():
            self._followers[uid] = asyncio.create_task(self._follow(pod, address))

    async def _follow(self, pod: dict[str, Any], address: str) -> None:
        uid = pod["metadata"]["uid"]
        token = await asyncio.to_thread(control_token_of, self._bench, pod)
        headers = {"Authorization": f"Bearer {token}"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2)
        url = f"http://{address}:{CONTROL_PORT}{STATE_PATH}"
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, headers=headers) as stream:
                if stream.status != 200:
                    return
                async for line in stream.content:
                    state = WorkerState.model_validate_json(line)
                    if state.pod_uid == uid:
                        self.by_uid[uid].take(state)
