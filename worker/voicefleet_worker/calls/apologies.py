"""Seeing to it that a caller is never left in silence, whichever providers of a call have all failed."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from livekit.agents import AgentSession, AgentStateChangedEvent, ErrorEvent, SpeechCreatedEvent
from livekit.agents.voice import SpeechHandle

from voicefleet.conversation.apologies import Apology, Job, apologise
from voicefleet.records.ends import End
from voicefleet.records.life import News, State
from voicefleet_worker.calls.beeps import beeps
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.manners import InCharge

GiveUp = Callable[[], Awaitable[None]]

_APOLOGY_SECONDS = 20.0
_NO_VOICE = "tts_error"
_NO_EAR = "stt_error"


class Apologies:
    """Those of one call."""

    def __init__(
        self,
        session: AgentSession[None],
        in_charge: InCharge,
        course: Course,
        give_up: GiveUp,
    ) -> None:
        self._session = session
        self._in_charge = in_charge
        self._course = course
        self._give_up = give_up
        self._failed_in_a_row = 0
        self._is_apologising = False
        self._has_voice = True
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Apologise from now on."""
        self._session.on("speech_created", self._on_speech)
        self._session.on("error", self._on_error)
        self._session.on("agent_state_changed", self._on_state)

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        event.speech_handle.add_done_callback(self._on_spoken)

    def _on_spoken(self, speech: SpeechHandle) -> None:
        # What was thought ahead and thrown away, nobody has waited for.
        if speech.scheduled and not speech.interrupted and speech.exception() is not None:
            self._fail("thinking")

    def _on_error(self, event: ErrorEvent) -> None:
        kind, recoverable = getattr(event.error, "type", ""), getattr(event.error, "recoverable", True)
        if recoverable:
            return
        if kind == _NO_VOICE:
            self._has_voice = False
            self._fail("speaking")
        elif kind == _NO_EAR:
            self._fail("hearing")

    def _on_state(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking" and not self._is_apologising:
            self._failed_in_a_row = 0

    def _fail(self, job: Job) -> None:
        """Count a failed turn and apologise for it, if anybody waits for an answer; an apology that fails is none."""
        if self._is_apologising or self._course.life.state is not State.TALKING:
            return
        self._is_apologising = True
        self._failed_in_a_row += 1
        apology = apologise(job, self._failed_in_a_row, language=self._in_charge.language)
        if apology.is_last:
            self._course.move(News.GIVE_UP, End.PROVIDERS_FAILED)
        self._later(self._apologise(apology))

    async def _apologise(self, apology: Apology) -> None:
        self._has_voice = apology.has_voice
        try:
            # A session that is over says nothing, and a provider that is slow does not keep the line.
            with contextlib.suppress(TimeoutError, RuntimeError):
                async with asyncio.timeout(_APOLOGY_SECONDS):
                    await self._say(apology)
        finally:
            self._is_apologising = False
        if apology.is_last:
            await self._give_up()

    async def _say(self, apology: Apology) -> None:
        if self._has_voice:
            try:
                await self._session.say(apology.words, allow_interruptions=not apology.is_last, add_to_chat_ctx=False)
            except RuntimeError:
                # A session whose model speaks by itself has no voice for words of ours.
                self._has_voice = False
        if not self._has_voice:
            # An app that shows what is said shows the words all the same.
            sound = beeps(apology.beeps)
            await self._session.say(apology.words, audio=sound, allow_interruptions=False, add_to_chat_ctx=False)

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
