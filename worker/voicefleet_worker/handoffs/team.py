"""The agents of one call: one is in charge, and hands over to another only when that one is ready."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace

from livekit.agents import Agent, AgentSession, RunContext, ToolError, function_tool, llm
from livekit.agents.llm import ToolFlag
from livekit.agents.voice import SpeechHandle

from voicefleet.api.voiceagent.agents import Greeting, Handoff
from voicefleet.conversation.call_variables import fill
from voicefleet.conversation.dialogue import AgentPlan, DialoguePlan
from voicefleet.conversation.phrases import one_moment
from voicefleet.handoffs.floor import Event, Floor, Phase
from voicefleet.handoffs.offer import PARAMETERS, describe, tool_name
from voicefleet.handoffs.passing import Passed, is_fit, pass_on, reason_of
from voicefleet.handoffs.sight import NO_MARKS, Marks, Sight, secrets_before, sight_of, take_in
from voicefleet_worker.handoffs.at_work import AtWork
from voicefleet_worker.handoffs.charge import Charge
from voicefleet_worker.handoffs.conversation import as_transcript, read_conversation, take_items
from voicefleet_worker.handoffs.expressive import ExpressiveSpeaker
from voicefleet_worker.handoffs.stint import Speaker, Stint, Store
from voicefleet_worker.handoffs.summary import sum_up
from voicefleet_worker.recording.call_recording import CallRecording
from voicefleet_worker.saying import filler, reply, say
from voicefleet_worker.tools.builtins import Deeds
from voicefleet_worker.tools.http import HttpTools
from voicefleet_worker.tools.mcp import McpServers
from voicefleet_worker.tools.toolbox import Toolbox
from voicefleet_worker.voices.session import Voices, turns_of

logger = logging.getLogger("voicefleet.call")

HttpFor = Callable[[MutableMapping[str, str]], HttpTools]
"""The HTTP tools for whoever sees and sets these variables."""

ServersFor = Callable[[AgentPlan, Mapping[str, str]], McpServers]
"""The servers whose tools an agent may use, who sees these variables."""

_FILLER_SECONDS = 1.5
_TOOLS_SECONDS = 15.0
_TAKE_OVER = "You have just taken over this call from a colleague. Go on from here in one or two short sentences."
_BEFORE = "You have taken over this call from a colleague, who leaves you this note: "
_WANTED = "The caller asked for this agent by a key of the phone."
_STAYS = "The caller could not be handed over just now. Say so, and go on yourself."


@dataclass(frozen=True, slots=True)
class Means:
    """What agents of a call have besides words."""

    http_for: HttpFor
    servers_for: ServersFor
    recording: CallRecording = field(default_factory=CallRecording)
    """What all of them have to know about it, and may do about it."""


class Team:
    """Builds the agents of one call, and knows which of them is in charge."""

    def __init__(self, plan: DialoguePlan, values: Mapping[str, str], voices: Voices, means: Means) -> None:
        self._plan = plan
        self._plans = {agent.name: agent for agent in plan.agents}
        self._members = tuple(agent.member for agent in plan.agents)
        self._voices = voices
        self._means = means
        self._http: list[HttpTools] = []
        self._servers: list[McpServers] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._charge = Charge(plan.entry.name)
        store = Store(self._members, take_in(self._members, values))
        self._stint = Stint(
            plan.entry, store, sight_of(self._members, plan.entry.name), instruct=means.recording.instruct
        )
        self._met = {plan.entry.name}
        self._asked_by_key = ""
        self._at_work = AtWork()
        self._session: AgentSession[None]
        self._deeds: Deeds

    @property
    def floor(self) -> Floor:
        """Who is in charge, and to whom the call is on its way."""
        return self._charge.floor

    @property
    def language(self) -> str:
        """Language of the agent in charge."""
        return self._stint.plan.language

    @property
    def values(self) -> Mapping[str, str]:
        """Variables as the agent in charge sees them."""
        return self._stint

    def begin(self, session: AgentSession[None], deeds: Deeds) -> Agent:
        """Return the agent that takes the call."""
        self._session, self._deeds = session, deeds
        self._at_work.follow(session)
        return self._build(self._stint, None)

    def greet(self, opening: str) -> list[SpeechHandle]:
        """Let the agent that takes the call say the first words, after those that every call begins with."""
        greeting = self._stint.plan.greeting
        # The machine says what it is even where it does not speak first otherwise.
        return self._say(Greeting() if greeting is None or greeting.wait_for_caller else greeting, opening)

    async def aclose(self) -> None:
        """Close the connections of all tools."""
        for task in self._tasks:
            task.cancel()
        closing = [*(servers.aclose() for servers in self._servers), *(http.aclose() for http in self._http)]
        await asyncio.gather(*closing)

    def _build(self, stint: Stint, chat_ctx: llm.ChatContext | None) -> Agent:
        plan = stint.plan
        http = self._means.http_for(stint)
        self._http.append(http)
        toolbox = Toolbox(plan.tools, http, self._deeds, language=plan.language, values=stint)
        handoffs = [self._offer(stint, handoff) for handoff in plan.handoffs]
        models = self._voices.other_than_entrys(plan)
        kind = Speaker if plan.structured_output is None else ExpressiveSpeaker
        stint.agent = speaker = kind(
            stint,
            [*toolbox.tools(), *self._means.recording.tools(), *handoffs],
            {**models.as_arguments(), **turns_of(plan, self._plan)} if models is not None else None,
            lambda: self._enter(stint),
            chat_ctx=chat_ctx,
        )
        if isinstance(speaker, ExpressiveSpeaker) and plan.structured_output is not None:
            speaker.express_with(*self._voices.pipeline_of(plan), plan.structured_output)
        return stint.agent

    def _offer(self, stint: Stint, handoff: Handoff) -> llm.Tool:
        async def hand_over(raw_arguments: dict[str, object], ctx: RunContext[None]) -> Agent:
            return await self._hand_over(stint, handoff, str(raw_arguments.get("reason", "")), ctx)

        description = describe(handoff, self._plans[handoff.agent].description)
        schema = {"name": tool_name(handoff.agent), "description": description, "parameters": PARAMETERS}
        # Whoever has just taken over speaks to the caller before handing over again: no call goes round in circles.
        return function_tool(hand_over, raw_schema=schema, flags=ToolFlag.IGNORE_ON_ENTER)

    async def _hand_over(self, stint: Stint, handoff: Handoff, reason: str, ctx: RunContext[None]) -> Agent:
        """Return the next agent once it is ready and the caller has been told; whatever fails, this one goes on."""
        refusal = self._charge.ask(by=stint.plan.name, to=handoff.agent, known=self._plans)
        if refusal is not None:
            raise ToolError(f"The caller is not handed over: {refusal}.")
        try:
            async with self._under_way(stint, handoff):
                words = one_moment(stint.plan.language)
                async with ctx.with_filler(lambda _: say(ctx.session, words), delay=_FILLER_SECONDS):
                    following = await self._prepare(stint, handoff, reason)
                # From here on it takes place; who has spoken meanwhile is answered first.
                ctx.disallow_interruptions()
                await self._announce(stint, handoff)
        except Exception as error:
            raise ToolError(_STAYS) from error
        ctx.speech_handle.add_done_callback(lambda _: self._settle(following))
        return following

    async def hand_over_to(self, name: str, is_wanted: Callable[[], bool]) -> bool:
        """Hand over because the caller wants it and not the model; tell whether there was anybody to hand over to."""
        if self._asked_by_key == name:
            return True
        # The key broke off what the model was about to do, a handoff of its own too: even one to this agent.
        is_on_its_way = self.floor.to == name
        await self._charge.settle()
        if is_on_its_way and self.floor.in_charge == name:
            return True
        stint = self._stint
        if self._charge.ask(by=stint.plan.name, to=name, known=self._plans) is not None:
            return False
        self._asked_by_key = name
        offered = (handoff for handoff in stint.plan.handoffs if handoff.agent == name)
        handoff = next(offered, Handoff(agent=name, when=_WANTED))
        try:
            async with self._under_way(stint, handoff):
                with filler(self._session, one_moment(stint.plan.language), after_seconds=_FILLER_SECONDS):
                    following = await self._prepare(stint, handoff, "")
                    await self._at_work.idle(_TOOLS_SECONDS)
                # It took a while, in which the caller may have asked for a person, or the call may have ended.
                _refuse_unless(is_wanted())
                await self._announce(stint, handoff)
                _refuse_unless(is_wanted())
                self._session.update_agent(following)
        except Exception:  # noqa: BLE001 - logged; the caller stays where they are, and is told so
            with contextlib.suppress(RuntimeError):
                if is_wanted():
                    reply(self._session, _STAYS)
        finally:
            self._asked_by_key = ""
        return True

    @contextlib.asynccontextmanager
    async def _under_way(self, stint: Stint, handoff: Handoff) -> AsyncIterator[None]:
        """Leave the first agent in charge, whatever fails."""
        try:
            yield
        except BaseException as error:
            self._charge.move(Event.FAIL, handoff.agent)
            if isinstance(error, Exception):
                problem = {"from_agent": stint.plan.name, "to_agent": handoff.agent, "problem": type(error).__name__}
                logger.warning("handoff failed", extra=problem)
            raise

    async def _announce(self, stint: Stint, handoff: Handoff) -> None:
        """Tell the caller who comes, now that the next agent is ready."""
        self._charge.move(Event.READY, handoff.agent)
        if handoff.announcement:
            await say(self._session, fill(handoff.announcement, stint), interruptible=False)

    async def _prepare(self, stint: Stint, handoff: Handoff, reason: str) -> Agent:
        """Build the next agent, with what it is to know of the conversation."""
        plan, held = self._plans[handoff.agent], stint.store.held
        sight = sight_of(self._members, plan.name, named=handoff.variables)
        items = stint.agent.chat_ctx.items if stint.agent else []
        conversation = read_conversation(items, stint.marks, stint.given)
        passed = pass_on(conversation, handoff.context, plan.member, sight, held)
        if handoff.context == "Summary":
            note, marks = await self._note(stint, handoff, reason, passed, sight)
            context = llm.ChatContext.empty()
            given = {context.add_message(role="system", content=_BEFORE + note).id: marks}
        else:
            marks, context = passed.marks, take_items(items, passed.said)
            given = {item.id: item.marks for item in passed.said}
        following = Stint(plan, stint.store, replace(sight, heard=marks), given, self._means.recording.instruct)
        return self._build(following, context)

    async def _note(
        self, stint: Stint, handoff: Handoff, reason: str, passed: Passed, sight: Sight
    ) -> tuple[str, Marks]:
        """Return what the next agent is told, and what may be read from it: a summary, or else just the reason."""
        # A realtime model only talks; whoever takes over may read all of it.
        models = (self._voices.of(plan).llm for plan in (stint.plan, self._plans[handoff.agent]))
        thinking = next((model for model in models if isinstance(model, llm.LLM)), None)
        if passed.said and thinking is not None:
            summary = await sum_up(thinking, as_transcript(passed.said))
            if summary and is_fit(summary, passed.marks, sight, secrets_before(sight, stint.store.held)):
                return summary, passed.marks
        told = reason_of(handoff.when, reason, stint.marks, sight, stint.store.held)
        return told, NO_MARKS if told == handoff.when else stint.marks

    def _enter(self, stint: Stint) -> None:
        """Put an agent in charge and let it speak; the one that takes the call waits to be told."""
        self._equip(stint)
        if stint is not self._stint:
            if not self._charge.move(Event.ENTER, stint.plan.name):
                # It was given up a moment too early: whoever the SDK lets speak is in charge, or nobody would be.
                self._charge.put(Floor(stint.plan.name))
            logger.info("handed over", extra={"from_agent": self._stint.plan.name, "to_agent": stint.plan.name})
            self._stint = stint
            self._take_up()

    def _equip(self, stint: Stint) -> None:
        """Have the tools of servers looked for, for which nobody waits."""
        if stint.agent is None:
            return
        servers = self._means.servers_for(stint.plan, stint)
        self._servers.append(servers)
        task = asyncio.create_task(servers.equip(stint.agent))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take_up(self) -> None:
        plan = self._stint.plan
        is_new = plan.name not in self._met
        self._met.add(plan.name)
        if plan.greeting is None or not is_new:
            reply(self._session, _TAKE_OVER)
        elif not plan.greeting.wait_for_caller:
            self._say(plan.greeting, "")

    def _say(self, greeting: Greeting, opening: str) -> list[SpeechHandle]:
        spoken = " ".join(filter(None, [opening, fill(greeting.text or "", self.values)]))
        speeches = []
        if spoken:
            speeches.append(say(self._session, spoken, interruptible=greeting.interruptible))
        if greeting.instructions:
            wanted = fill(greeting.instructions, self.values)
            speeches.append(reply(self._session, wanted, interruptible=greeting.interruptible))
        return speeches

    def _settle(self, following: Agent) -> None:
        """Leave the first in charge if the turn in which it handed over was broken off."""
        if self.floor.phase is Phase.ACKNOWLEDGED and self._session.current_agent is not following:
            self._charge.move(Event.FAIL, following.id)


def _refuse_unless(is_wanted: bool) -> None:
    if not is_wanted:
        raise ToolError("The caller does not want it any more.")
