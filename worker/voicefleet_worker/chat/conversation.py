"""One conversation in text: the agent of a call, with a person at a keyboard in place of the caller."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial

from livekit.agents import AgentSession, FunctionToolsExecutedEvent, UserInputTranscribedEvent
from livekit.agents.utils import http_context
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.agent_session import SessionConnectOptions

from voicefleet.api.voiceagent.records import Transcript
from voicefleet.api.voiceagent.telephony import Transfer
from voicefleet.conversation.call_variables import Missing, resolve_variables
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.conversation.outcome import CallOutcome
from voicefleet.conversation.phrases import says_one_of
from voicefleet.conversation.voice_plan import PipelinePlan
from voicefleet.records.ends import End
from voicefleet.records.life import State
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.greeting import opening_words
from voicefleet_worker.calls.lookup import find_variables
from voicefleet_worker.calls.manners import Manners
from voicefleet_worker.chat.keyboard import Keyboard
from voicefleet_worker.chat.material import Material
from voicefleet_worker.chat.screen import Screen, Words
from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.board import BoardReader
from voicefleet_worker.failover.health import CallHealth
from voicefleet_worker.failover.switch import ONCE
from voicefleet_worker.handoffs.team import Means, Team
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.records.journal import Journal
from voicefleet_worker.records.notebook import Notebook
from voicefleet_worker.tools.http import HttpTools
from voicefleet_worker.tools.mcp import servers_of
from voicefleet_worker.tools.toolbox import steps_of
from voicefleet_worker.voices.session import Models, Voices

_YOU = "you"
_NOBODY = "nobody could answer; say it again to try once more"


async def converse(material: Material, keyboard: Keyboard, screen: Screen) -> bool:
    """Talk until one side has had enough; tell whether every line was answered."""
    plan = material.plan
    values = resolve_variables(plan.variables, await find_variables(plan, material.secrets, material.variables))
    if isinstance(values, Missing):
        wanted = " ".join(f"--variable {name}=…" for name in values.names)
        raise BadInputError("variables", f"have no value: {wanted}")
    # Else the SDK looks for the HTTP clients of a job.
    async with http_context.open():
        voices = _Voices(plan.entry, material.secrets, CallHealth(plan.providers, *nobody_listens()))
        http = partial(HttpTools, material.secrets, plan.tool_policy)
        servers = partial(servers_of, secrets=material.secrets, policy=plan.tool_policy)
        team = Team(plan, values, voices, Means(http, servers))
        try:
            return await _Chat(material, team, keyboard, screen).run(build_session(plan, voices))
        finally:
            await team.aclose()


def nobody_listens() -> tuple[Reporter, Notebook, BoardReader]:
    """Return those whom a call tells of itself, none of whom is there."""
    return Reporter("chat", None), Notebook(Journal(None), Transcript()), BoardReader()


class _Voices(Voices):
    """Those of a chat: whoever thinks stands in for one another as in a call; nobody hears or speaks."""

    def _pipeline(self, voice: PipelinePlan) -> Models:
        return Models(None, None, self._thinking(voice), None)


def build_session(plan: DialoguePlan, voices: Voices) -> AgentSession[None]:
    """Build the session of one chat."""
    return AgentSession(
        **voices.of(plan.entry).as_arguments(),
        turn_handling={"turn_detection": None, "preemptive_generation": {"enabled": False}},
        conn_options=SessionConnectOptions(stt_conn_options=ONCE, llm_conn_options=ONCE, tts_conn_options=ONCE),
        max_tool_steps=steps_of(plan.tool_policy),
        # Who types may think for a while.
        user_away_timeout=None,
    )


@dataclass(slots=True)
class _Deeds:
    """What tools may do to a chat."""

    manners: Manners
    screen: Screen
    is_ending: bool = False
    outcome: CallOutcome = field(default_factory=CallOutcome)
    caller_number: str | None = None

    def end_call(self, after: SpeechHandle | None = None) -> None:
        """Say goodbye and end it."""
        self.is_ending = True
        self.manners.end_call(after=after)

    async def send_dtmf(self, digits: str) -> None:
        """Show what would be pressed."""
        self.screen.aside(f"keys pressed: {digits}")

    async def put_through(self, transfer: Transfer) -> str | None:
        """Show to whom the caller would be put through, and end it as a call would end."""
        self.screen.aside(f"put through to {transfer.number}")
        self.end_call()
        return None


@dataclass(slots=True)
class _Chat:
    material: Material
    team: Team
    keyboard: Keyboard
    screen: Screen
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _deeds: "_Deeds | None" = None
    _has_failed: bool = False

    async def run(self, session: AgentSession[None]) -> bool:
        """Greet, take turns, and tell whether every line was answered."""
        plan = self.material.plan
        for line in self.material.asides:
            self.screen.aside(line)
        session.output.transcription = Words(self.screen, plan.name)
        session.on("function_tools_executed", self._show_tools)
        course = Course(begins=State.TALKING)
        manners = Manners(session, plan, self.team, course, self._hang_up)
        self._deeds = _Deeds(manners, self.screen)
        await session.start(self.team.begin(session, self._deeds), record=False)
        try:
            manners.begin()
            await self._until_over(self._take_turns(session))
        finally:
            self.screen.end_line()
            await session.aclose()
        return not self._has_failed

    async def _take_turns(self, session: AgentSession[None]) -> None:
        await self._hear_out(self.team.greet(opening_words(self.material.plan, self.team)))
        while (line := await self.keyboard.line(self.screen.label(_YOU))) is not None:
            words = line.strip()
            if not words:
                continue
            if not self.keyboard.is_terminal:
                self.screen.said(_YOU, words)
            await self._answer(session, words)

    async def _answer(self, session: AgentSession[None], words: str) -> None:
        # As if it had been heard: some words end a call.
        session.emit("user_input_transcribed", UserInputTranscribedEvent(transcript=words, is_final=True))
        if says_one_of(words, self.material.plan.conversation.end_phrases):
            await self._over.wait()
        await self._hear_out([session.generate_reply(user_input=words, input_modality="text")])
        while (speech := session.current_speech) is not None:
            # Whoever was handed the conversation speaks up.
            await self._hear_out([speech])
        if self._deeds is not None and self._deeds.is_ending:
            # What is said now is the goodbye.
            await self._over.wait()

    async def _hear_out(self, speeches: Iterable[SpeechHandle]) -> None:
        for speech in speeches:
            await speech
            if speech.exception() is not None:
                self._has_failed = True
                self.screen.aside(f"! {_NOBODY}")

    async def _hang_up(self, reason: End) -> None:
        self.screen.aside(f"call ends: {reason}")
        self._over.set()

    async def _until_over(self, work: Coroutine[None, None, None]) -> None:
        """Go on until it is done, or until the call is over."""
        tasks = [asyncio.create_task(work), asyncio.create_task(self._over.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _show_tools(self, event: FunctionToolsExecutedEvent) -> None:
        for call, output in event.zipped():
            self.screen.aside(f"{call.name} {call.arguments} → {output.output or 'nothing'}")
