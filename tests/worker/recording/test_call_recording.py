"""Whether a call is recorded, when that begins, and what is said of it in the end."""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import AgentSession

from tests.worker.files import AGENT, Mounted
from voicefleet.api.voiceagent.records import Recording
from voicefleet.keeping.choosing import Choice
from voicefleet_worker.keeping.files import CallFiles
from voicefleet_worker.recording.call_recording import CallRecording, Kept, Outcome, prepare_recording
from voicefleet_worker.recording.recorder import Ended, Recorder
from voicefleet_worker.settings import load_settings


@dataclass
class Tape:
    """A recorder that only notes what it is told."""

    told: list[str] = field(default_factory=list)
    ended: Ended = field(default_factory=lambda: Ended(complete=True))

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def close(self) -> Ended:
        self.told.append("close")
        return self.ended


@dataclass
class Speech:
    """A sentence that is over when a test says so."""

    chat_items: list[object] = field(default_factory=lambda: [object()])
    interrupted: bool = False
    error: BaseException | None = None
    callbacks: list[Callable[[Any], None]] = field(default_factory=list)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)

    def exception(self) -> BaseException | None:
        return self.error

    def end(self) -> None:
        for callback in self.callbacks:
            callback(self)


@dataclass
class Desk:
    """A call with its recording."""

    recording: CallRecording
    tapes: list[Tape]
    speech: Speech
    said: list[str] = field(default_factory=list)

    def begin(self) -> None:
        def say(words: str, *, allow_interruptions: bool) -> Speech:
            assert not allow_interruptions
            self.said.append(words)
            return self.speech

        agent = SimpleNamespace(llm=None, tts=None)
        self.recording.begin(cast("AgentSession[None]", SimpleNamespace(say=say, current_agent=agent)), {"name": "Ada"})

    @property
    def is_recorded(self) -> bool:
        return bool(self.tapes)

    async def use(self, name: str) -> str:
        """Use a tool as the model would."""
        (tool,) = [tool for tool in self.recording.tools() if cast("Any", tool).info.name == name]
        return str(await cast("Any", tool)({}, None))


def desk(choice: Choice = Choice.RECORD, speech: Speech | None = None, **spec: object) -> Desk:
    tapes: list[Tape] = []

    def load(_: Path) -> Recorder:
        tapes.append(Tape())
        return cast("Recorder", tapes[-1])

    recording = CallRecording(
        choice,
        Recording.model_validate({"enabled": True, **spec}),
        name="desk/AJ_1.ogg",
        path=Path("AJ_1.ogg"),
        open_recorder=load,
    )
    return Desk(recording, tapes, speech or Speech())


async def test_a_call_is_recorded_from_its_first_word() -> None:
    call = desk()
    call.begin()

    assert call.is_recorded
    assert await call.recording.close() == Kept(Outcome.RECORDED, "desk/AJ_1.ogg")
    assert await call.recording.close() == Kept(Outcome.RECORDED, "desk/AJ_1.ogg")
    assert call.tapes[0].told == ["close"]


async def test_recording_begins_when_it_was_announced_to_the_end() -> None:
    call = desk(announce="This call is recorded, {{name}}.")
    call.begin()
    assert call.said == ["This call is recorded, Ada."]
    assert not call.is_recorded
    call.speech.end()

    assert call.is_recorded


@pytest.mark.parametrize(
    "speech",
    [
        pytest.param(Speech(interrupted=True), id="broken off"),
        pytest.param(Speech(chat_items=[]), id="no voice"),
        pytest.param(Speech(error=RuntimeError()), id="failed"),
    ],
)
async def test_what_could_not_be_announced_is_not_recorded(speech: Speech) -> None:
    call = desk(announce="This call is recorded.", speech=speech)
    call.begin()
    speech.end()

    assert not call.is_recorded
    assert (await call.recording.close()).outcome is Outcome.NOT_ANNOUNCED


@pytest.mark.parametrize("consent_first", [True, False])
async def test_both_consent_and_announcement_are_waited_for(consent_first: bool) -> None:
    call = desk(announce="May we record this call?", requireConsent=True)
    call.begin()
    if consent_first:
        await call.use("consent_to_recording")
        assert not call.is_recorded
        call.speech.end()
    else:
        call.speech.end()
        assert not call.is_recorded
        await call.use("consent_to_recording")

    assert call.is_recorded


async def test_a_caller_who_never_agreed_is_not_recorded() -> None:
    call = desk(requireConsent=True)
    call.begin()

    assert (await call.recording.close()).outcome is Outcome.NO_CONSENT
    await call.use("consent_to_recording")
    assert not call.is_recorded


async def test_a_call_to_which_nobody_came_has_no_recording() -> None:
    assert await desk(requireConsent=True).recording.close() == Kept(Outcome.NOT_BEGUN)


async def test_a_recording_is_paused_by_the_model() -> None:
    call = desk()
    assert "Nothing is recorded" in await call.use("pause_recording")
    call.begin()
    await call.use("pause_recording")
    await call.use("resume_recording")

    assert call.tapes[0].told == ["pause", "resume"]


async def test_a_recording_that_broke_off_says_so() -> None:
    call = desk()
    call.begin()
    call.tapes[0].ended = Ended(complete=False, problem="No space left on device")

    assert await call.recording.close() == Kept(Outcome.INCOMPLETE, "desk/AJ_1.ogg")


@pytest.mark.parametrize(
    ("spec", "tools"),
    [
        ({}, ["pause_recording", "resume_recording"]),
        ({"pausable": False}, []),
        ({"requireConsent": True, "pausable": False}, ["consent_to_recording"]),
    ],
)
def test_the_model_can_do_what_the_spec_allows(spec: dict[str, object], tools: list[str]) -> None:
    assert [cast("Any", tool).info.name for tool in desk(**spec).recording.tools()] == tools
    assert ("only if the caller agrees" in desk(**spec).recording.instruct("Be kind.")) is ("requireConsent" in spec)


@pytest.mark.parametrize("choice", [Choice.OFF, Choice.NOT_SAMPLED, Choice.NO_ROOM])
async def test_a_call_that_is_not_recorded_hears_nothing_of_it(choice: Choice) -> None:
    call = desk(choice, announce="This call is recorded.", requireConsent=True)
    call.begin()

    assert (call.said, call.recording.tools(), call.recording.instruct("Be kind.")) == ([], [], "Be kind.")
    assert (await call.recording.close()).outcome.value == choice.value


def recorded(mounted: Mounted, **spec: object) -> CallRecording:
    body = copy.deepcopy(AGENT)
    body["spec"]["recording"] = {"enabled": True, **spec}
    mounted.write("agent.json", body)
    files = CallFiles(mounted.folder / "files", limit_bytes=1 << 30)
    files.make()
    return prepare_recording(load_settings(mounted.flags, {}).plan, "AJ_1", files)


async def test_a_full_disk_takes_no_recording_and_the_call_goes_on(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CallFiles, "has_room", lambda _: False)
    recording = await asyncio.to_thread(recorded, mounted, announce="This call is recorded.")

    assert (await recording.close()).outcome is Outcome.NO_ROOM


async def test_the_file_bears_the_stores_prefix(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CallFiles, "has_room", lambda _: True)
    store = {"objectStore": {"bucket": "calls", "prefix": "kept/{{agent}}/"}}
    recording = await asyncio.to_thread(recorded, mounted, store=store)
    recording.begin(cast("AgentSession[None]", None), {})

    assert await recording.close() == Kept(Outcome.RECORDED, "kept/desk/AJ_1.ogg")
    assert await asyncio.to_thread((mounted.folder / "files/live/kept/desk/AJ_1.ogg").exists)
