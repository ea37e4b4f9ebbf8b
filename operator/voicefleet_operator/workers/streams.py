"""Hearing the workers: one long-lived connection to each control port, and the two words that we say back."""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from pydantic import ValidationError

from voicefleet.fleet import Heard
from voicefleet.fleet.callers import LookForCallers
from voicefleet.names import (
    CALLERS_PATH,
    CONTROL_PORT,
    CORDON_PATH,
    LOAD_PATH,
    SILENT_AFTER_SECONDS,
    STATE_PATH,
    UNCORDON_PATH,
)
from voicefleet.wire import CallersAnswer, LoadOrder, WorkerState
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.ports import Address
from voicefleet_operator.turns.workqueue import Key, WorkQueue
from voicefleet_operator.workers.commands import Commands, headers_for, host_of
from voicefleet_operator.workers.dials import Dials
from voicefleet_operator.workers.lines import LinesError, LineStream
from voicefleet_operator.workers.words import essence_of, health_of, with_providers

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 3.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# A stream that lasted as long as this was a good one, and is dialed again at once.
_GOOD_SECONDS = 10.0
_COMPLAINTS_PER_LINE = 3
_ANOTHER = "another pod answers in its place"
_NAMELESS = "whoever answers does not say which pod it is"


@dataclass(slots=True)
class _Line:
    uid: str
    key: Key
    address: Address
    task: asyncio.Task[None]
    heard: Heard | None = None
    answered: bool = False
    """Whether it was heard, or is not to be expected to be heard soon."""
    was_slow: bool = False
    """Whether it did not answer in time when it was dialed last."""
    connected: bool = False
    sequence: int = 0
    """Number of the last state on this connection; what is older was overtaken."""
    problem: str | None = None
    """What is wrong with what it says, in words for the status."""
    called_back_at: float | None = None
    """When it was told to take calls again, until it is known what became of that."""
    complaints: int = 0
    """Warnings about it so far, so that a worker that talks nonsense does not fill the log."""

    def doubt(self) -> None:
        """Let what was heard last be no proof any more that the worker is empty."""
        if self.heard is not None:
            self.heard = replace(self.heard, live=False)


class WorkerStreams:
    """The control ports of all workers, by the uid of their pods."""

    def __init__(
        self,
        queue: WorkQueue,
        metrics: Metrics,
        *,
        now: Callable[[], datetime],
        may_order: Callable[[], bool] = lambda: True,
        health_changed: Callable[[Key], None] = lambda _key: None,
    ) -> None:
        self._queue = queue
        self._may_order = may_order
        self._health_changed = health_changed
        self._metrics = metrics
        self._now = now
        self._lines: dict[str, _Line] = {}
        metrics.streams.set_function(lambda: len(self._lines))
        self._by_key: defaultdict[Key, set[str]] = defaultdict(set)
        self._dials = Dials()
        self._looks: dict[Key, asyncio.Task[None]] = {}
        self._closed = False
        self._commands = Commands()

    def follow(self, key: Key, addresses: Mapping[str, Address]) -> None:
        """Hear these workers of an agent, and no others."""
        if self._closed:
            return
        self._metrics.delays.seen(key)
        followed = self._by_key.get(key, set())
        for uid in [uid for uid in followed if addresses.get(uid) != self._lines[uid].address]:
            self._drop(uid)
        for uid, address in addresses.items():
            self.hear(key, uid, address)

    def hear(self, key: Key, uid: str, address: Address) -> None:
        """Hear one more worker of an agent; where it is heard is for a turn to change."""
        if self._closed or uid in self._lines:
            return
        task = asyncio.create_task(self._listen(uid), name=f"hear {address.pod}")
        self._lines[uid] = _Line(uid, key, address, task)
        self._by_key[key].add(uid)

    def heard(self, uid: str) -> Heard | None:
        """Return the last thing that a worker said."""
        line = self._lines.get(uid)
        return line.heard if line else None

    def problem(self, uid: str) -> str | None:
        """Say what is wrong with what a worker says, if anything."""
        line = self._lines.get(uid)
        return line.problem if line else None

    async def cordon(self, uid: str) -> None:
        """Tell a worker to take no more calls."""
        await self._tell(uid, CORDON_PATH)

    async def uncordon(self, uid: str) -> None:
        """Tell a worker to take calls again; from now on that it was empty proves nothing."""
        if line := self._lines.get(uid):
            line.doubt()
            line.called_back_at = asyncio.get_running_loop().time()
        await self._tell(uid, UNCORDON_PATH)

    async def report_load(self, uid: str, load: float) -> None:
        """Tell a worker which load to report to LiveKit while it is open."""
        await self._tell(uid, LOAD_PATH, LoadOrder(load=load).model_dump_json())

    def look_for_callers(self, key: Key, look: LookForCallers, heard: Callable[[CallersAnswer], None]) -> None:
        """Have a worker dispatch an agent's callers again who found no slot, and tell what it found if it answers."""
        line = self._lines.get(look.pod.uid)
        if line is not None and not self._closed and key not in self._looks:
            self._looks[key] = asyncio.create_task(self._look(line, look, heard), name=f"look for callers of {key}")
            self._looks[key].add_done_callback(lambda _: self._looks.pop(key))

    async def _look(self, line: _Line, look: LookForCallers, heard: Callable[[CallersAnswer], None]) -> None:
        text = await self._ask(line, CALLERS_PATH, look.order.model_dump_json(by_alias=True))
        with suppress(ValidationError):
            answer = CallersAnswer.model_validate_json(text or b"")
            self._metrics.count_callers(answer)
            heard(answer)

    async def settle(self, within_seconds: float) -> None:
        """Wait until each worker was heard or did not answer, so that a new leader does not decide blindly."""
        deadline = asyncio.get_running_loop().time() + within_seconds
        # Those that come up meanwhile hold no calls that anybody would have to know of.
        lines = list(self._lines.values())
        while any(not line.answered for line in lines):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.05)

    async def aclose(self) -> None:
        """Stop hearing; what was heard stays, so that the last turns don't take the end for silence."""
        self._closed = True
        tasks = [*(line.task for line in self._lines.values()), *self._looks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._commands.aclose()

    def _drop(self, uid: str) -> None:
        line = self._lines.pop(uid)
        line.task.cancel()
        self._by_key[line.key].discard(uid)
        if not self._by_key[line.key]:
            del self._by_key[line.key]

    async def _listen(self, uid: str) -> None:
        pause, loop = _FIRST_PAUSE_SECONDS, asyncio.get_running_loop()
        while line := self._lines.get(uid):
            began = loop.time()
            slow = False
            try:
                await self._read(line)
            except LinesError as error:
                line.problem = str(error)
                _complain(line, "a worker is not understood", error=str(error))
            except Exception as error:  # noqa: BLE001 - a worker may send anything, and must be heard again
                logger.debug("worker is not heard", extra={"pod": line.address.pod, "error": type(error).__name__})
                slow = isinstance(error, TimeoutError)
            # Of ten thousand that are dialed, one that is slow once is not yet one that is silent.
            line.answered = line.answered or not slow or line.was_slow
            line.was_slow = slow
            line.connected = False
            line.doubt()
            # By then it counts as silent, unless it is heard again.
            self._queue.add_after(line.key, SILENT_AFTER_SECONDS + 0.5)
            pause = _next_pause(pause, lasted_seconds=loop.time() - began)
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - spreads reconnects

    async def _read(self, line: _Line) -> None:
        def begin() -> LineStream:
            return LineStream(
                _request(line.address), partial(self._hear, line), silent_after_seconds=SILENT_AFTER_SECONDS
            )

        line.sequence = 0
        async with self._dials.place(), asyncio.timeout(_CONNECT_SECONDS):
            connect = asyncio.get_running_loop().create_connection
            _, stream = await connect(begin, line.address.host, CONTROL_PORT)
        try:
            await stream.ended
        finally:
            stream.close()

    def _hear(self, line: _Line, text: bytes) -> None:
        line.connected = True
        try:
            state = WorkerState.model_validate_json(text)
        except ValidationError as error:
            # Without the input: what a broken worker writes is none of the log's business.
            line.problem = "what it says about itself cannot be read"
            _complain(line, "a worker's state cannot be read", errors=error.error_count())
            return
        if state.pod_uid != line.uid:
            # Addresses are given to the next pod as soon as they are free.
            raise LinesError(_ANOTHER if state.pod_uid else _NAMELESS)
        line.problem = None
        self._take_in(line, state)

    def _take_in(self, line: _Line, state: WorkerState, *, is_answer: bool = False) -> None:
        if state.sequence < line.sequence:
            return
        if is_answer or not state.cordoned:
            line.called_back_at = None
        before, line.sequence, line.answered = line.heard, state.sequence, True
        state = with_providers(state, before.state if before else None)
        line.heard = Heard(state, self._now(), live=line.connected and not _is_called_back(line))
        if before is None or before.live != line.heard.live or essence_of(before.state) != essence_of(state):
            self._metrics.delays.changed(line.key)
            self._queue.add(line.key, urgent=True)
        if health_of(before.state if before else None) != health_of(state):
            self._health_changed(line.key)

    async def _tell(self, uid: str, path: str, body: str | None = None) -> None:
        if (line := self._lines.get(uid)) and (answer := await self._ask(line, path, body)):
            self._hear_answer(line, answer)

    async def _ask(self, line: _Line, path: str, body: str | None) -> bytes | None:
        # No write changes a worker that is told to take calls again: whoever leads by now might be deleting it.
        if self._closed or not self._may_order():
            return None
        return await self._commands.give(line.address, path, body)

    def _hear_answer(self, line: _Line, answer: bytes) -> None:
        """Take in the state that a worker answers a command with, which what is still on its way does not undo."""
        with suppress(ValidationError):
            state = WorkerState.model_validate_json(answer)
            if state.pod_uid != line.uid:
                _complain(line, "another pod took a worker's command")
            elif line.connected:
                self._take_in(line, state, is_answer=True)


def _is_called_back(line: _Line) -> bool:
    """Tell whether its word that it is closed may be older than the command to open, whose answer was lost."""
    if line.called_back_at is None:
        return False
    return asyncio.get_running_loop().time() - line.called_back_at < SILENT_AFTER_SECONDS


def _next_pause(pause: float, *, lasted_seconds: float) -> float:
    """Return how long to wait before dialing again; who hangs up at once is dialed less and less."""
    if lasted_seconds >= _GOOD_SECONDS:
        return _FIRST_PAUSE_SECONDS
    return min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _complain(line: _Line, words: str, **fields: object) -> None:
    line.complaints += 1
    if line.complaints <= _COMPLAINTS_PER_LINE:
        last = line.complaints == _COMPLAINTS_PER_LINE
        logger.warning(words, extra={"pod": line.address.pod, **fields, "no_more_of_this": last})


def _request(address: Address) -> bytes:
    """Return the request for a worker's state; a token is hexadecimal, and a host an address, so neither breaks it."""
    head = {"Host": f"{host_of(address)}:{CONTROL_PORT}", **headers_for(address), "Connection": "close"}
    lines = [f"GET {STATE_PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return "\r\n".join(lines).encode()
