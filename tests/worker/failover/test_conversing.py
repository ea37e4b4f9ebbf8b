"""Who does it all: the next one takes over with all that was said, and the caller gets the answer that is due."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import NOT_GIVEN, APIConnectionError, APIError, APIStatusError, llm
from livekit.agents.metrics import STTMetrics
from livekit.agents.utils.aio import Chan

from tests.worker.failover.scripted import STALL_SECONDS, TIMEOUT_SECONDS, Rotating, lineup, stage
from voicefleet.providers.breaker import State
from voicefleet_worker.failover import conversing, patience
from voicefleet_worker.failover.conversing import ConversingInTurn, Source
from voicefleet_worker.failover.thinking import GO_ON

DOWN = APIConnectionError("down")
ABLE = llm.RealtimeCapabilities(
    message_truncation=True,
    turn_detection=True,
    user_transcription=True,
    auto_tool_reply_generation=False,
    audio_output=True,
    manual_function_calls=True,
    mutable_chat_context=True,
    mutable_instructions=True,
    mutable_tools=True,
    per_response_tool_choice=True,
)


class Spoken:
    """An answer that comes piece by piece."""

    def __init__(self, *, asked_for: bool) -> None:
        self.words, self.sound = Chan[str](), Chan[Any]()
        self.messages, self.calls = Chan[llm.MessageGeneration](), Chan[llm.FunctionCall]()
        modalities = asyncio.get_running_loop().create_future()
        modalities.set_result(["audio", "text"])
        self.messages.send_nowait(llm.MessageGeneration("1", self.words, self.sound, modalities))
        self.event = llm.GenerationCreatedEvent(self.messages, self.calls, user_initiated=asked_for)

    def finish(self) -> None:
        """Say no more; Gemini ends an answer only when it thinks that it was heard."""
        self.words.close()
        self.sound.close()

    def end(self) -> None:
        self.finish()
        self.messages.close()
        self.calls.close()


class Talk(llm.RealtimeSession[str]):
    """One connection to a scripted model, which notes what it is told."""

    def __init__(self, model: "Talker", *, fails: Exception | None, lives: bool) -> None:
        super().__init__(model)
        self.told: dict[str, Any] = {}
        self.heard: list[int | str] = []
        self.asked: list[Any] = []
        self.replies: list[asyncio.Future[Any]] = []
        self.answers: list[Spoken] = []
        self.is_closed = False
        self._failure: Exception | None = None
        self._chat_ctx = llm.ChatContext.empty()
        loop = asyncio.get_running_loop()
        if fails is not None:
            loop.call_soon(self.fail, fails)
        elif lives:
            loop.call_soon(self.emit, "metrics_collected", None)

    def fail(self, error: Exception, *, recoverable: bool = False) -> None:
        self._failure = None if recoverable else error
        broken = llm.RealtimeModelError(timestamp=0.0, label="talk", error=error, recoverable=recoverable)
        self.emit("error", broken)

    def hear(self, words: str) -> None:
        self.emit("input_speech_started", None)
        self.emit("input_audio_transcription_completed", llm.InputTranscriptionCompleted("1", words, is_final=True))

    def answer(self, *words: str, asked_for: bool = False) -> Spoken:
        spoken = Spoken(asked_for=asked_for)
        self.answers.append(spoken)
        if asked_for:
            self.replies[-1].set_result(spoken.event)
        self.emit("generation_created", spoken.event)
        for word in words:
            spoken.words.send_nowait(word)
        return spoken

    @property
    def chat_ctx(self) -> llm.ChatContext:
        return self._chat_ctx

    @property
    def tools(self) -> llm.ToolContext:
        return llm.ToolContext.empty()

    async def update_instructions(self, instructions: str) -> None:
        self.told["instructions"] = instructions

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        self.told["chat_ctx"] = chat_ctx
        self.heard.append("what was said")

    async def update_tools(self, tools: list[llm.Tool]) -> None:
        self.told["tools"] = tools

    def update_options(self, *, tool_choice: Any = NOT_GIVEN) -> None:
        self.told["tool_choice"] = tool_choice

    def generate_reply(self, *, instructions: Any = NOT_GIVEN, **_: Any) -> asyncio.Future[Any]:
        self.asked.append(instructions)
        self.replies.append(asyncio.get_running_loop().create_future())
        return self.replies[-1]

    def push_audio(self, frame: Any) -> None:
        self.heard.append(frame.data[0])

    def commit_audio(self) -> None:
        self.heard.append("end of turn")

    def clear_audio(self) -> None:
        self.heard.append("never mind")

    def push_video(self, frame: Any) -> None: ...
    def interrupt(self) -> None: ...
    def truncate(self, **_: Any) -> None: ...

    async def aclose(self) -> None:
        self.is_closed = True
        for spoken in self.answers:
            spoken.end()
        if self._failure is not None:
            # As OpenAI's does.
            raise self._failure


class Talker(llm.RealtimeModel):
    """A model whose connections come up, or fail as its script says: one word for each, then all is well."""

    def __init__(self, *fates: Exception | str) -> None:
        super().__init__(capabilities=ABLE)
        self.fates = list(fates)
        self.talks: list[Talk] = []
        self.is_closed = False

    def session(self, *, turn_detection_disabled: bool = False) -> Talk:  # noqa: ARG002
        fate = self.fates.pop(0) if self.fates else "well"
        failure = fate if isinstance(fate, Exception) else None
        self.talks.append(Talk(self, fails=failure, lives=fate == "well"))
        return self.talks[-1]

    async def aclose(self) -> None:
        self.is_closed = True


class Agent:
    """As much of an AgentSession as a conversation asks for."""

    def __init__(self, conversation: Any) -> None:
        self._conversation = conversation
        self.agent_state = "listening"
        self.interruptions = 0
        self.asked_by: list[str] = []
        said = llm.ChatContext.empty()
        said.add_message(role="user", content="My name is Ada.")
        self.current_agent = SimpleNamespace(chat_ctx=said)

    async def interrupt(self, *, force: bool) -> None:
        assert force
        self.interruptions += 1

    def generate_reply(self, *, input_modality: str = "text", **wishes: Any) -> None:
        self.asked_by.append(input_modality)
        self._conversation.generate_reply(**wishes)


class Call:
    """A call that is held by these."""

    def __init__(self, **models: Talker) -> None:
        self.models = models
        self.stage = stage(lineup("Realtime", *models), lambda plan: Source(models[plan.name]))
        self.model = ConversingInTurn(self.stage.switch)
        self.conversation = cast("Any", self.model.session())
        self.agent = Agent(self.conversation)
        self.conversation._agent_session = self.agent
        self.errors: list[Any] = []
        self.conversation.on("error", self.errors.append)

    @property
    def current(self) -> Talk:
        return cast("Talk", self.conversation._active)

    def is_with(self, name: str, number: int = 0) -> bool:
        talks = self.models[name].talks
        return len(talks) > number and self.current is talks[number] and "instructions" in talks[number].told


@asynccontextmanager
async def call(**models: Talker) -> AsyncIterator[Call]:
    held = Call(**models)
    # As an agent begins: before anybody knows whether the line is open.
    await held.conversation._update_session(instructions="Be kind.", chat_ctx=llm.ChatContext.empty(), tools=[])
    try:
        yield held
    finally:
        await held.conversation.aclose()
    assert held.current.is_closed
    assert all(use == 0 for use in held.stage.health._in_use.values()), "whoever was asked is let go of"


async def until(condition: Callable[[], bool], *, within_seconds: float = 5.0) -> None:
    async with asyncio.timeout(within_seconds):
        while not condition():  # noqa: ASYNC110 - several events of several objects
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("fate", [DOWN, APIStatusError("no such key", status_code=401), "silent"])
async def test_who_does_not_begin_is_replaced(fate: Exception | str) -> None:
    async with call(a=Talker(fate), b=Talker()) as held:
        held.conversation.generate_reply(instructions="Greet the caller.")
        await until(lambda: held.is_with("b"))
        await until(lambda: bool(held.current.asked))

        assert held.current.asked == ["Greet the caller."]
        assert held.current.told["instructions"] == "Be kind."
        assert held.models["a"].talks[0].is_closed
        assert held.errors == []


async def test_who_hangs_up_in_the_middle_is_replaced_by_one_who_knows_all_that_was_said() -> None:
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)
        held.agent.agent_state = "speaking"
        held.current.fail(DOWN)
        await until(lambda: held.is_with("b"))
        await until(lambda: bool(held.current.asked))

        assert [item.text_content for item in held.current.told["chat_ctx"].items] == ["My name is Ada."]
        assert held.current.asked == [GO_ON]
        assert held.agent.asked_by == ["text"]
        assert held.agent.interruptions == 1


@pytest.mark.parametrize(
    ("wish", "asked_by"), [({"instructions": "Say goodbye."}, "text"), ({}, "audio")], ids=["given words", "an answer"]
)
async def test_a_reply_that_does_not_begin_in_time_is_asked_of_the_next_one(
    wish: dict[str, str], asked_by: str
) -> None:
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)
        held.conversation.generate_reply(**wish)
        await until(lambda: held.is_with("b"))
        await until(lambda: bool(held.current.asked))

        assert held.current.asked == [wish.get("instructions", NOT_GIVEN)]
        assert held.agent.asked_by == [asked_by]


async def test_words_that_nobody_answers_are_answered_by_the_next_one() -> None:
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)
        held.current.hear("Is anybody there?")
        await until(lambda: held.is_with("b"))
        await until(lambda: bool(held.current.asked))

        assert len(held.current.asked) == 1
        assert held.agent.asked_by == ["audio"], "it answers the caller, who waits"


@pytest.mark.parametrize(
    ("said", "by_whom"),
    [("OpenAI Realtime API response failed with error type: quota", "b"), ("an item that is none", "a")],
)
async def test_an_answer_that_is_given_up_is_asked_of_the_next_one(said: str, by_whom: str) -> None:
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)
        held.current.fail(APIError(said), recoverable=True)
        await asyncio.sleep(0.1)

        assert held.is_with(by_whom)
        assert len(held.current.asked) == (by_whom == "b")


@pytest.mark.parametrize("words", ["", "Hello."])
async def test_neither_a_noise_nor_what_is_answered_moves_a_call(words: str) -> None:
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)
        held.current.hear(words)
        if words:
            held.current.answer().end()
        await asyncio.sleep(TIMEOUT_SECONDS + 0.2)

        assert held.is_with("a")


@pytest.mark.parametrize(
    ("words", "state", "asked"),
    [((), "thinking", "Greet the caller."), (("Good ", "morning"), "speaking", GO_ON)],
    ids=["before a word", "in the middle"],
)
async def test_who_falls_silent_in_an_answer_is_replaced(words: tuple[str, ...], state: str, asked: str) -> None:
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)
        held.conversation.generate_reply(instructions="Greet the caller.")
        held.current.answer(*words, asked_for=True)
        held.agent.agent_state = state
        await until(lambda: held.is_with("b"))
        await until(lambda: bool(held.current.asked))

        assert held.current.asked == [asked]
        assert held.errors == []
        (a, _) = held.stage.health.candidates(held.stage.switch.lineup)
        assert a.breaker.window.failures == 1


async def test_who_speaks_slowly_is_heard_out_to_the_last_word() -> None:
    story = ["Once ", "upon ", "a ", "time."]
    heard: list[str] = []
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)
        spoken = held.current.answer()

        async def tell() -> None:
            for word in story:
                await asyncio.sleep(STALL_SECONDS * 0.6)
                spoken.words.send_nowait(word)
            spoken.end()

        async with asyncio.TaskGroup() as group:
            group.create_task(tell())
            async for message in spoken.event.message_stream:
                heard += [word async for word in message.text_stream]

        assert heard == story
        assert held.is_with("a")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("metrics_collected", None),
        ("input_audio_transcription_completed", llm.InputTranscriptionCompleted("1", "My", is_final=False)),
    ],
)
async def test_whatever_a_server_tells_meanwhile_shows_that_it_is_there(event: Any, told: object) -> None:
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)
        held.current.answer("Once ")
        for _ in range(3):
            await asyncio.sleep(STALL_SECONDS * 0.6)
            held.current.emit(event, told)

        assert held.is_with("a")


@pytest.mark.parametrize(
    "then",
    [
        lambda spoken, _: spoken.end(),
        lambda spoken, _: spoken.finish(),
        lambda _, held: held.conversation.interrupt(),
        lambda _, held: held.current.emit("input_speech_started", None),
    ],
    ids=["it has said all", "it waits for the end of its sound", "it was interrupted", "the caller speaks"],
)
async def test_who_owes_the_caller_nothing_may_be_silent(then: Callable[[Spoken, Call], None]) -> None:
    async with call(a=Talker(), b=Talker()) as held:
        await until(held.conversation._life.done)
        spoken = held.current.answer("Good morning.")
        await asyncio.sleep(0.05)
        then(spoken, held)
        await asyncio.sleep(STALL_SECONDS * 2 + 0.2)

        assert held.is_with("a")


async def test_who_fails_while_it_is_told_what_was_said_is_replaced() -> None:
    class Fleeting(Talk):
        async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
            await super().update_chat_ctx(chat_ctx)
            self.fail(DOWN)

    fleeting = Talker()
    fleeting.session = lambda **_: Fleeting(fleeting, fails=None, lives=True)  # type: ignore[method-assign]
    async with call(a=Talker(DOWN), b=fleeting, c=Talker()) as held:
        await until(lambda: held.is_with("c"))

        assert held.errors == []


async def test_the_only_one_is_dialed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversing, "_TRY_AGAIN_SECONDS", 0.05)
    async with call(a=Talker("well", DOWN, DOWN)) as held:
        await until(held.conversation._life.done)
        held.current.fail(DOWN)
        await until(lambda: held.is_with("a", 3))

        assert held.errors == []


async def test_when_nobody_is_left_the_call_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversing, "_TRY_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(patience, "_GIVE_UP_SECONDS", 0.3)
    async with call(a=Talker(*[DOWN] * 99), b=Talker(*[DOWN] * 99)) as held:
        await until(lambda: bool(held.errors))

        assert [error.recoverable for error in held.errors] == [False]


async def test_what_a_call_finds_out_the_next_one_knows() -> None:
    refused = APIStatusError("no such key", status_code=401)
    async with call(a=Talker(refused), b=Talker()) as held:
        await until(lambda: held.is_with("b"))

        (a, b) = held.stage.health.candidates(held.stage.switch.lineup)
        assert (a.breaker.state, b.breaker.state) == (State.OPEN, State.CLOSED)
        again = cast("Any", held.model.session())
        assert again._active is held.models["b"].talks[-1]
        await again.aclose()


async def test_without_anybody_who_can_be_built_there_is_no_call() -> None:
    def refuse(_: object) -> Source:
        raise ValueError("an option that is none")

    with pytest.raises(APIConnectionError):
        ConversingInTurn(stage(lineup("Realtime", "a"), refuse).switch)


async def test_a_call_that_is_older_than_its_key_goes_on_with_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversing, "_TRY_AGAIN_SECONDS", 60.0)
    rotating = Rotating()
    models = {1: Talker(), 2: Talker()}
    build = rotating.building(lambda key: Source(models[key]))
    model = ConversingInTurn(stage(lineup("Realtime", "only"), build, rotating.of).switch)
    conversation = cast("Any", model.session())
    await conversation._update_session(instructions="Be kind.", chat_ctx=llm.ChatContext.empty(), tools=[])
    await until(conversation._life.done)
    rotating.key = 2
    conversation._active.fail(APIStatusError("no such key", status_code=401))
    await until(lambda: conversation._active in models[2].talks and "instructions" in conversation._active.told)
    await conversation.aclose()
    await model.aclose()

    assert (models[1].is_closed, models[2].is_closed) == (True, True)


async def test_who_is_built_anew_between_two_conversations_holds_the_second() -> None:
    rotating = Rotating()
    models = {1: Talker(APIStatusError("no such key", status_code=401)), 2: Talker()}
    set_stage = stage(lineup("Realtime", "only"), rotating.building(lambda key: Source(models[key])), rotating.of)
    model = ConversingInTurn(set_stage.switch)
    attempt = set_stage.switch.begin(())
    set_stage.switch.fail(attempt, APIStatusError("no such key", status_code=401))
    set_stage.switch.release(attempt)
    set_stage.health._seen.clear()
    rotating.key = 2
    conversation = cast("Any", model.session())
    await until(conversation._life.done)
    await conversation.aclose()

    assert (len(models[1].talks), len(models[2].talks)) == (0, 1)


async def test_what_its_transcriber_used_is_counted_with_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = STTMetrics(
        label="", request_id="1", timestamp=0, duration=0, audio_duration=0, streamed=True, input_tokens=30
    )
    measured: list[tuple[str, object]] = []
    async with call(a=Talker()) as held:
        await until(held.conversation._life.done)
        monkeypatch.setattr(held.stage.health, "measure", lambda *told: measured.append(told))
        held.current.emit("metrics_collected", heard)

        assert measured == [("a", heard)]
