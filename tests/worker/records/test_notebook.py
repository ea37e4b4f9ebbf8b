"""What a call writes down while it lasts."""

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import AgentSession, ConversationItemAddedEvent, FunctionToolsExecutedEvent
from livekit.agents.llm import ChatMessage, FunctionCall, FunctionCallOutput
from livekit.agents.metrics import LLMMetrics, RealtimeModelMetrics, STTMetrics, TTSMetrics, VADMetrics
from livekit.protocol.agent import Job

from tests.worker.records.at_work import no_file_longer_than
from voicefleet.api.voiceagent.records import Transcript
from voicefleet.records.journal import Entry, Said, Stages, ToolUsed, read_journal
from voicefleet.records.usage import Usage
from voicefleet_worker.records.journal import Journal, job_of_journal, journal_path
from voicefleet_worker.records.notebook import Notebook, usage_of


class Session:
    """A session that says what it is told to."""

    def __init__(self) -> None:
        self.heard: dict[str, Callable[[Any], None]] = {}

    def on(self, event: str, hear: Callable[[Any], None]) -> None:
        self.heard[event] = hear


def said(role: Any, text: str, **more: Any) -> ConversationItemAddedEvent:
    return ConversationItemAddedEvent(item=ChatMessage(role=role, content=[text], **more))


def used_tool() -> FunctionToolsExecutedEvent:
    call = FunctionCall(call_id="c1", name="look_up", arguments='{"id": 7}')
    output = FunctionCallOutput(call_id="c1", name="look_up", output="shipped", is_error=False)
    return FunctionToolsExecutedEvent(function_calls=[call], function_call_outputs=[output])


async def written(path: Path, kept: Transcript) -> tuple[Entry, ...]:
    session, notebook = Session(), Notebook(Journal(path), kept, clock=lambda: 7.0)
    notebook.follow(cast("AgentSession[None]", session))
    session.heard["conversation_item_added"](said("system", "Be kind."))
    session.heard["conversation_item_added"](said("user", "My order?", metrics={"transcription_delay": 0.2}))
    session.heard["function_tools_executed"](used_tool())
    session.heard["conversation_item_added"](
        said("assistant", "It was", interrupted=True, metrics={"e2e_latency": 1.0, "llm_node_ttft": -3.0})
    )
    await notebook.aclose()
    return await asyncio.to_thread(lambda: read_journal(path.read_bytes().splitlines()))


async def test_what_is_said_and_done_is_written_down_in_order(tmp_path: Path) -> None:
    assert await written(tmp_path / "j", Transcript()) == (
        Said(at=7.0, who="Caller", text="My order?", stages=Stages(hearing_seconds=0.2)),
        ToolUsed(at=7.0, tool="look_up", arguments='{"id": 7}', result="shipped"),
        Said(
            at=7.0, who="Agent", text="It was", interrupted=True, stages=Stages(thinking_seconds=0.0, total_seconds=1.0)
        ),
    )


@pytest.mark.parametrize(
    ("kept", "words", "matter"),
    [(Transcript(enabled=False), None, None), (Transcript(include_tool_calls=False), "My order?", None)],
    ids=["no transcript", "no tool calls"],
)
async def test_what_is_not_to_be_kept_is_not_even_written_down(
    tmp_path: Path, kept: Transcript, words: str | None, matter: str | None
) -> None:
    caller, tool, _ = await written(tmp_path / "j", kept)

    assert isinstance(caller, Said)
    assert isinstance(tool, ToolUsed)
    assert (caller.text, tool.arguments, tool.result) == (words, matter, matter)


async def test_a_journal_is_for_nobody_elses_eyes(tmp_path: Path) -> None:
    await written(tmp_path / "j", Transcript())

    assert stat.S_IMODE((await asyncio.to_thread((tmp_path / "j").stat)).st_mode) == 0o600


async def test_a_disk_that_takes_nothing_keeps_no_call_from_its_end_and_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notebook = Notebook(Journal(tmp_path / "nowhere" / "j"), Transcript())
    for _ in range(3):
        notebook.answered()
    await notebook.aclose()

    assert [record.message for record in caplog.records] == ["a call's journal cannot be written"]


async def test_what_a_full_disk_did_not_take_is_in_the_journal_once_there_is_room(tmp_path: Path) -> None:
    """Else a call that ended well would have a record that says it crashed."""
    path, journal = tmp_path / "j", Journal(tmp_path / "j")
    notebook = Notebook(journal, Transcript(), clock=lambda: 7.0)
    notebook.bill("one")
    await asyncio.wrap_future(journal._pen.submit(lambda: None))
    with no_file_longer_than(path.stat().st_size + 10):
        notebook.bill("two")
        notebook.answered()
        await asyncio.wrap_future(journal._pen.submit(lambda: None))
    assert path.read_bytes().splitlines()[1:] == [b'{"kind":"b'], "the disk has taken a part of a line"

    notebook.ended("caller left")
    await notebook.aclose()

    kinds = [entry.kind for entry in read_journal(path.read_bytes().splitlines())]
    assert kinds == ["billed", "billed", "answered", "ended"]


def test_an_id_is_no_path(tmp_path: Path) -> None:
    path = journal_path(tmp_path, "../../etc/AJ 1")

    assert path.parent == tmp_path
    assert job_of_journal(path) == "../../etc/AJ 1"


async def test_the_first_line_says_which_call_it_is(tmp_path: Path) -> None:
    notebook = Notebook(Journal(tmp_path / "j"), Transcript(), clock=lambda: 7.0)
    job = SimpleNamespace(id="AJ_1", dispatch_id="AD_1", room=SimpleNamespace(name="call-1", sid="RM_1"))
    notebook.begin(cast("Job", job))
    await notebook.aclose()

    assert (await asyncio.to_thread((tmp_path / "j").read_text)).strip() == (
        '{"kind":"began","at":7.0,"id":"AJ_1","dispatchId":"AD_1","room":"call-1","roomId":"RM_1"}'
    )


LLM = LLMMetrics(
    label="", request_id="1", timestamp=0, duration=1, ttft=0.1, cancelled=False, completion_tokens=5,
    prompt_tokens=100, prompt_cached_tokens=40, total_tokens=105, tokens_per_second=5,
)  # fmt: skip
STT = STTMetrics(label="", request_id="1", timestamp=0, duration=0, audio_duration=2.5, streamed=True)
TTS = TTSMetrics(
    label="", request_id="1", timestamp=0, ttfb=0.1, duration=1, audio_duration=1.5, cancelled=False,
    characters_count=20, streamed=True,
)  # fmt: skip
TOLD_APART = RealtimeModelMetrics(
    request_id="1", timestamp=0, input_tokens=100, output_tokens=50,
    input_token_details=RealtimeModelMetrics.InputTokenDetails(
        audio_tokens=70, text_tokens=30, cached_tokens=40,
        cached_tokens_details=RealtimeModelMetrics.CachedTokenDetails(audio_tokens=25, text_tokens=15),
    ),
    output_token_details=RealtimeModelMetrics.OutputTokenDetails(audio_tokens=45, text_tokens=5),
)  # fmt: skip
ONE_KIND = RealtimeModelMetrics(
    request_id="1", timestamp=0, input_tokens=100, output_tokens=50,
    input_token_details=RealtimeModelMetrics.InputTokenDetails(cached_tokens=40),
    output_token_details=RealtimeModelMetrics.OutputTokenDetails(),
)  # fmt: skip
TRANSCRIBED = STT.model_copy(
    update={"audio_duration": 0.0, "input_tokens": 30, "input_audio_tokens": 28, "output_tokens": 9}
)
SUNG = TTS.model_copy(update={"input_tokens": 20, "output_tokens": 90})
ALL_TOLD = Usage(
    input_tokens=100, input_audio_tokens=70, cached_input_tokens=40, cached_input_audio_tokens=25,
    output_tokens=50, output_audio_tokens=45,
)  # fmt: skip
VAD = VADMetrics(label="", timestamp=0, idle_time=0, inference_duration_total=0, inference_count=0)


@pytest.mark.parametrize(
    ("metrics", "usage"),
    [
        (LLM, Usage(input_tokens=100, cached_input_tokens=40, output_tokens=5)),
        (STT, Usage(audio_seconds=2.5)),
        (TTS, Usage(characters=20, audio_seconds=1.5)),
        (SUNG, Usage(characters=20, audio_seconds=1.5, input_tokens=20, output_tokens=90, output_audio_tokens=90)),
        (TOLD_APART, ALL_TOLD),
        (ONE_KIND, Usage(input_tokens=100, cached_input_tokens=40, output_tokens=50)),
        (TRANSCRIBED, Usage(input_tokens=30, output_tokens=9)),
        (VAD, None),
    ],
    ids=[
        "thinking",
        "hearing",
        "speaking",
        "speaking by tokens",
        "all at once",
        "all at once, and not told apart",
        "writing down beside it",
        "what costs nothing",
    ],
)
def test_what_is_measured_of_a_request_is_what_it_used(metrics: object, usage: Usage | None) -> None:
    assert usage_of(metrics) == usage
