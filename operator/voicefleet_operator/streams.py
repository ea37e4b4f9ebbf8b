"""Hearing the workers: one long-lived connection to each control port, and the two words that we say back."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
from pydantic import ValidationError

from voicefleet.fleet import Heard
from voicefleet.names import CONTROL_PORT, CORDON_PATH, SILENT_AFTER_SECONDS, STATE_PATH, UNCORDON_PATH
from voicefleet.wire import WorkerState
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import Address
from voicefleet_operator.workqueue import Key, WorkQueue

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 3.0
_COMMAND_SECONDS = 3.0
_LONGEST_PAUSE_SECONDS = 5.0
# Changes of a busy fleet come in showers; one decision serves them all.
_BATCH_SECONDS = 0.2


@dataclass(slots=True)
class _Line:
    key: Key
    address: Address
    task: asyncio.Task[None]
    heard: Heard | None = None
    answered: bool = False


class WorkerStreams:
    """The control ports of all workers, by the uid of their pods."""

    def __init__(self, queue: WorkQueue, metrics: Metrics, *, now: Callable[[], datetime]) -> None:
        self._queue = queue
        self._metrics = metrics
        self._now = now
        self._lines: dict[str, _Line] = {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=SILENT_AFTER_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0), trust_env=False)

    def follow(self, key: Key, addresses: Mapping[str, Address]) -> None:
        """Hear these workers of an agent, and no others."""
        for uid, line in list(self._lines.items()):
            if line.key == key and addresses.get(uid) != line.address:
                self._drop(uid)
        for uid, address in addresses.items():
            if uid not in self._lines:
                task = asyncio.create_task(self._listen(uid), name=f"hear {address.pod}")
                self._lines[uid] = _Line(key, address, task)
        self._count()

    def heard(self, uid: str) -> Heard | None:
        """Return the last thing that a worker said."""
        line = self._lines.get(uid)
        return line.heard if line else None

    async def cordon(self, uid: str) -> None:
        """Tell a worker to take no more calls."""
        await self._tell(uid, CORDON_PATH)

    async def uncordon(self, uid: str) -> None:
        """Tell a worker to take calls again."""
        await self._tell(uid, UNCORDON_PATH)

    async def settle(self, within_seconds: float) -> None:
        """Wait until each worker was heard or did not answer, so that a new leader does not decide blindly."""
        deadline = asyncio.get_running_loop().time() + within_seconds
        while any(not line.answered for line in self._lines.values()):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Stop hearing."""
        tasks = [line.task for line in self._lines.values()]
        for uid in list(self._lines):
            self._drop(uid)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    def _drop(self, uid: str) -> None:
        self._lines.pop(uid).task.cancel()

    def _count(self) -> None:
        self._metrics.streams.set(len(self._lines))

    async def _listen(self, uid: str) -> None:
        pause = 0.1
        while line := self._lines.get(uid):
            before = line.heard
            try:
                await self._read(line)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                logger.debug("worker is not heard", extra={"pod": line.address.pod, "error": type(error).__name__})
            line.answered = True
            # By then it counts as silent, unless it is heard again.
            self._queue.add_after(line.key, SILENT_AFTER_SECONDS + 0.5)
            pause = 0.1 if line.heard is not before else min(pause * 2, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - spreads reconnects

    async def _read(self, line: _Line) -> None:
        async with self._session.get(_url(line.address, STATE_PATH), headers=_headers(line.address)) as response:
            response.raise_for_status()
            async for text in response.content:
                self._hear(line, text)

    def _hear(self, line: _Line, text: bytes) -> None:
        try:
            state = WorkerState.model_validate_json(text)
        except ValidationError as error:
            # Without the input: what a broken worker writes is none of the log's business.
            logger.warning(
                "a worker's state cannot be read", extra={"pod": line.address.pod, "errors": error.error_count()}
            )
            return
        before, line.heard, line.answered = line.heard, Heard(state, self._now()), True
        if before is None or _essence(before.state) != _essence(state):
            self._queue.add_after(line.key, _BATCH_SECONDS)

    async def _tell(self, uid: str, path: str) -> None:
        line = self._lines.get(uid)
        if line is None:
            return
        timeout = aiohttp.ClientTimeout(total=_COMMAND_SECONDS)
        try:
            async with self._session.post(
                _url(line.address, path), headers=_headers(line.address), timeout=timeout
            ) as response:
                response.raise_for_status()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Nothing is taken for granted: only the worker's own state says that it is cordoned.
            logger.warning(
                "a worker does not take a command",
                extra={"pod": line.address.pod, "path": path, "error": type(error).__name__},
            )


def _essence(state: WorkerState) -> tuple[Any, ...]:
    """Return what decisions hang on; ages and the sequence change all the time."""
    sessions = len(state.sessions)
    return (state.revision, state.slots, sessions, state.registered, state.cordoned, state.draining)


def _url(address: Address, path: str) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"http://{host}:{CONTROL_PORT}{path}"


def _headers(address: Address) -> dict[str, str]:
    return {"Authorization": f"Bearer {address.token}"}
