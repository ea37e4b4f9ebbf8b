"""The recording of one call: whether there is one, when it may begin, and what became of it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from livekit.agents import AgentSession, llm
from livekit.agents.voice import SpeechHandle

from voicefleet.api.voiceagent.records import Recording
from voicefleet.conversation.call_variables import fill
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.keeping.choosing import Choice, choose
from voicefleet.keeping.naming import object_name, prefix_of
from voicefleet_worker.keeping.files import CallFiles
from voicefleet_worker.recording.permission import build_tools, instructions
from voicefleet_worker.recording.recorder import Recorder
from voicefleet_worker.recording.taps import tap
from voicefleet_worker.saying import say

logger = logging.getLogger("voicefleet.call")

_ANNOUNCEMENT, _CONSENT, _SOUND = "announcement", "consent", "sound"


class Outcome(StrEnum):
    """What became of a call's recording."""

    OFF = "Off"
    NOT_SAMPLED = "NotSampled"
    NO_ROOM = "NoRoom"
    NOT_BEGUN = "NotBegun"
    """The call was over before anybody had spoken."""
    NOT_ANNOUNCED = "NotAnnounced"
    """What has to be said before was never heard to its end."""
    NO_CONSENT = "NoConsent"
    """The caller did not agree, or was gone before."""
    RECORDED = "Recorded"
    INCOMPLETE = "Incomplete"
    """It was begun and broke off; the file holds what was said until then."""


_LACKING = {
    _SOUND: Outcome.NOT_BEGUN,
    _ANNOUNCEMENT: Outcome.NOT_ANNOUNCED,
    _CONSENT: Outcome.NO_CONSENT,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What can be said of a recording once its call is over."""

    outcome: Outcome
    name: str = ""
    """Under which its file is kept; empty without one."""


class CallRecording:
    """That of one call. By default there is none."""

    def __init__(
        self,
        choice: Choice = Choice.OFF,
        recording: Recording | None = None,
        *,
        name: str = "",
        path: Path | None = None,
        open_recorder: Callable[[Path], Recorder] = Recorder,
    ) -> None:
        self._choice = choice
        self._recording = recording = recording or Recording()
        self._name = name
        self._path = path
        self._open_recorder = open_recorder
        self._recorder: Recorder | None = None
        self._kept: Kept | None = None
        self._awaited = {_SOUND, *([_ANNOUNCEMENT] if recording.announce else [])}
        self._awaited |= {_CONSENT} if recording.require_consent else set()

    @property
    def is_wanted(self) -> bool:
        """Whether this call is to be recorded, if it may be."""
        return self._choice is Choice.RECORD

    def instruct(self, text: str) -> str:
        """Return an agent's instructions with what it has to know about the recording."""
        return instructions(self._recording, text) if self.is_wanted else text

    def tools(self) -> list[llm.Tool]:
        """Return what the model may do about it."""
        return build_tools(self._recording, self._consent, self._pause, self._resume) if self.is_wanted else []

    def listen(self, session: AgentSession[None]) -> None:
        """Stand between the session and its room. Nothing is kept yet."""
        if self.is_wanted and not tap(session, lambda: self._recorder):
            logger.warning("a call without sound cannot be recorded")

    def begin(self, session: AgentSession[None], values: Mapping[str, str]) -> None:
        """Say what has to be said, before anything else is, and record as soon as it may be."""
        if not self.is_wanted:
            return
        if self._recording.announce:
            # Not to be interrupted: whoever talks over it would not know.
            with contextlib.suppress(RuntimeError):
                speech = say(session, fill(self._recording.announce, values), interruptible=False)
                speech.add_done_callback(self._on_announced)
        self._met(_SOUND)

    async def close(self) -> Kept:
        """End it, and tell what became of it; told more than once, it tells the same."""
        if self._kept is None:
            self._kept = Kept(Outcome(self._choice)) if not self.is_wanted else await self._end()
            if self.is_wanted:
                logger.info("recording ends", extra={"outcome": self._kept.outcome.value, "file": self._kept.name})
        return self._kept

    async def _end(self) -> Kept:
        recorder = self._recorder
        if recorder is None:
            lacking = (outcome for condition, outcome in _LACKING.items() if condition in self._awaited)
            return Kept(next(lacking, Outcome.NOT_BEGUN))
        ended = await asyncio.to_thread(recorder.close)
        return Kept(Outcome.RECORDED if ended.complete else Outcome.INCOMPLETE, self._name)

    def _on_announced(self, speech: SpeechHandle) -> None:
        # Where no voice can be had, nothing was said.
        if speech.chat_items and not speech.interrupted and speech.exception() is None:
            self._met(_ANNOUNCEMENT)
        else:
            logger.warning("the recording could not be announced, so there is none")

    def _met(self, condition: str) -> None:
        self._awaited.discard(condition)
        if not self._awaited and self._recorder is None and self._kept is None and self._path is not None:
            self._recorder = self._open_recorder(self._path)
            logger.info("recording begins")

    def _consent(self) -> str:
        self._met(_CONSENT)
        return "Noted; the call is recorded."

    def _pause(self) -> str:
        if self._recorder is None:
            return "Nothing is recorded at this moment, so nothing has to be paused."
        self._recorder.pause()
        logger.info("recording pauses")
        return "The recording is paused."

    def _resume(self) -> str:
        if self._recorder is None:
            return "Nothing is recorded at this moment."
        self._recorder.resume()
        logger.info("recording goes on")
        return "The recording goes on."


def prepare_recording(plan: DialoguePlan, call: str, files: CallFiles | None) -> CallRecording:
    """Decide about one call, and find a place for its file. Blocks."""
    recording = plan.recording
    choice = (
        choose(recording, call, has_room=files is not None and files.has_room()) if recording.enabled else Choice.OFF
    )
    if choice is Choice.NO_ROOM:
        logger.warning("the disk has no room for a recording")
    if choice is not Choice.RECORD or files is None:
        return CallRecording(choice)
    prefix = prefix_of(recording.store)
    name = files.new(object_name(prefix, agent=plan.name, call=call, began=datetime.now(UTC), suffix=".ogg"))
    return CallRecording(choice, recording, name=name, path=files.live / name)
