"""A call that the agent ends while another tool is at work: what came of that is told first."""

import asyncio
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession, ChatMessage, ConversationItemAddedEvent, llm
from livekit.agents.voice import SpeechHandle

from tests.worker.failover.scripted import chunk
from tests.worker.files import Mounted
from tests.worker.test_manners import InCharge
from tests.worker.tools.test_toolbox import LOOK_UP, Deeds, Http
from voicefleet.api.voiceagent.tools import Tool, ToolPolicy
from voicefleet.records.life import State
from voicefleet_worker.calls.course import Course
from voicefleet_worker.calls.manners import Manners
from voicefleet_worker.settings import load_settings
from voicefleet_worker.tools.builtins import BUILTINS, Builtin, Use
from voicefleet_worker.tools.http import HttpTools
from voicefleet_worker.tools.toolbox import Toolbox, steps_of

TOOLS = (
    Tool.model_validate(LOOK_UP),
    Tool.model_validate({"name": "end", "description": "Ends the call.", "builtin": {"type": "EndCall"}}),
)
CALLS = [
    llm.FunctionToolCall(name="look_up", arguments='{"id": "7"}', call_id="c1"),
    llm.FunctionToolCall(name="end", arguments="{}", call_id="c2"),
]


class Model(llm.LLM[Any]):
    """Looks something up and ends the call at once, and later says what it found."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def chat(
        self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = None, tool_choice: Any = None, **_: Any
    ) -> Any:
        self.asked += 1
        answer = "Bye." if tool_choice == "none" else "It is taken."
        return _Thought(self, answer, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Thought(llm.LLMStream):
    def __init__(self, model: Model, answer: str, **given: Any) -> None:
        super().__init__(model, **given)
        self._answer = answer

    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", tool_calls=CALLS)
        is_first = cast("Model", self._llm).asked == 1
        self._event_ch.send_nowait(llm.ChatChunk(id="c", delta=delta) if is_first else chunk(self._answer))


class Ending(Deeds):
    """Ends the call as it is done in one."""

    manners: Manners

    def end_call(self, after: SpeechHandle | None = None) -> None:  # type: ignore[override]
        self.manners.end_call(after=after)


@pytest.mark.parametrize("pause_seconds", [0.0, 0.05], ids=["while it is thought", "when all is thought"])
async def test_what_another_tool_brought_is_told_before_the_goodbye(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch, pause_seconds: float
) -> None:
    is_over = asyncio.Event()
    end = BUILTINS["EndCall"].use

    async def end_in_time(use: Use) -> str:
        await asyncio.sleep(pause_seconds)
        return await end(use)

    async def hang_up(_: str) -> None:
        is_over.set()

    def note(event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, ChatMessage) and event.item.role == "assistant":
            said.append(event.item.text_content)

    monkeypatch.setitem(cast("dict[str, Builtin]", BUILTINS), "EndCall", Builtin(end_in_time))
    plan = (await asyncio.to_thread(load_settings, mounted.flags, {})).plan
    http, deeds = Http(), Ending()
    http.seconds = 0.2
    toolbox = Toolbox(TOOLS, cast("HttpTools", http), deeds, language="en", values={})
    session: AgentSession[None] = AgentSession(
        llm=Model(), vad=None, turn_handling={"turn_detection": None}, max_tool_steps=steps_of(ToolPolicy())
    )
    said: list[str | None] = []
    session.on("conversation_item_added", note)
    deeds.manners = Manners(session, plan, InCharge("en", {}), Course(begins=State.TALKING), hang_up)
    await session.start(Agent(instructions="x", tools=toolbox.tools()))
    session.generate_reply(user_input="Is it free? Bye.")
    await is_over.wait()
    await session.aclose()

    assert said == ["It is taken.", "Bye."]
