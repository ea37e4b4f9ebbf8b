"""An agent whose model says how its words are to be said."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession, APIConnectionError, APIError, ModelSettings, llm, tts, utils
from livekit.agents.voice.run_result import RunResult
from livekit.plugins import cartesia, deepgram, openai

from tests.worker.failover.scripted import Thinker, lineup, stage
from voicefleet.api.voiceagent.agents import StructuredOutput
from voicefleet.handoffs.sight import Sight
from voicefleet_worker.failover.speaking import SpeakingInTurn
from voicefleet_worker.failover.thinking import ThinkingInTurn
from voicefleet_worker.handoffs.expressive import ExpressiveSpeaker
from voicefleet_worker.handoffs.stint import Stint, Store

STRUCTURED = StructuredOutput.model_validate({
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}, "emotion": {"type": "string"}}},
    "emotionField": "emotion",
})  # fmt: skip


class Voice:
    """Notes in which order it is told how to speak and what to say."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def express(self, wishes: dict[str, str]) -> None:
        self.told.append(wishes)


class Asked(Thinker):
    """Keeps the wishes it was asked with."""

    def __init__(self, *scripts: Any) -> None:
        super().__init__(*scripts)
        self.extras: list[object] = []

    def chat(self, *, extra_kwargs: Any = None, **wishes: Any) -> Any:
        self.extras.append(extra_kwargs)
        return super().chat(**wishes)


def speaker(model: llm.LLM[Any], voice: Voice) -> ExpressiveSpeaker:
    plan = SimpleNamespace(name="desk", instructions="Be kind.", private_variables=(), structured_output=STRUCTURED)
    stint = Stint(cast("Any", plan), Store((), {}), Sight())
    it = ExpressiveSpeaker(stint, [], None, lambda: None)
    it.express_with(cast("Any", model), cast("Any", voice), STRUCTURED)
    return it


async def test_one_field_is_spoken_and_kept_and_the_voice_is_told_before_the_first_word() -> None:
    model, voice = Asked(['{"emotion": "wa', 'rm", "text": "Good ', 'day."', "}"]), Voice()
    session: AgentSession[None] = AgentSession(llm=model, vad=None, turn_handling={"turn_detection": None})
    await session.start(speaker(model, voice))
    result = cast("RunResult[None]", await session.run(user_input="Hello."))

    result.expect.next_event().is_message(role="assistant")
    assert result.events[0].item.text_content == "Good day."  # type: ignore[union-attr]
    assert voice.told == [{"emotion": "warm"}]
    assert "Answer with one JSON object" in str(model.asked[0].items[0])
    assert model.extras[0]["response_format"]["type"] == "json_schema"  # type: ignore[index]
    await session.aclose()


async def test_words_are_let_through_before_the_object_is_whole() -> None:
    model, voice = Asked(['{"emotion": "warm", "text": "Good ', 60.0]), Voice()
    answer = speaker(model, voice).llm_node(llm.ChatContext.empty(), [], ModelSettings())
    async with asyncio.timeout(5):
        first = await anext(answer)

    assert first.delta is not None
    assert first.delta.content == "Good "
    await cast("Any", answer).aclose()


async def test_tools_are_called_as_ever() -> None:
    answer = speaker(Asked(["call look_up"]), Voice()).llm_node(llm.ChatContext.empty(), [], ModelSettings())
    pieces = [piece async for piece in answer]

    assert [call.name for piece in pieces if piece.delta for call in piece.delta.tool_calls] == ["look_up"]


async def test_a_voice_is_begun_only_with_the_first_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was wished for by then is what it begins with."""
    order: list[str] = []

    async def words() -> Any:
        order.append("wished")
        yield "Good "
        yield "day."

    async def speak(_agent: Agent, text: Any, _settings: ModelSettings) -> Any:
        order.append("begun")
        yield "".join([piece async for piece in text])

    monkeypatch.setattr(Agent.default, "tts_node", speak)
    sound = [frame async for frame in speaker(Asked(), Voice()).tts_node(words(), ModelSettings())]

    assert order == ["wished", "begun"]
    assert cast("list[object]", sound) == ["Good day."]


async def test_each_plugin_is_told_what_it_takes() -> None:
    async with utils.http_context.open():
        one, two, three = cartesia.TTS(api_key="k"), openai.TTS(api_key="k"), deepgram.TTS(api_key="k")
        outer = SpeakingInTurn(stage(lineup("Tts", "a"), lambda _: one).switch)
        outer.express({"emotion": "warm", "instructions": "slowly"})
        for model in (one, tts.StreamAdapter(tts=two), three):
            outer.tell(model)

        assert one._opts.emotion == ["warm"]
        assert two._opts.instructions == "slowly"


@pytest.mark.parametrize(("plugin", "is_asked"), [("openai", True), ("anthropic", False)])
async def test_only_who_knows_the_wish_is_asked_for_an_object(plugin: str, *, is_asked: bool) -> None:
    of = lineup("Llm", "a")
    provider = of.plans[0].provider.model_copy(update={"plugin": plugin})
    object.__setattr__(of.plans[0], "provider", provider)
    model = Asked(["Good day."])
    outer = ThinkingInTurn(stage(of, lambda _: model).switch)
    async with outer.chat(chat_ctx=llm.ChatContext.empty(), extra_kwargs={"response_format": {}}) as stream:
        pieces = [piece async for piece in stream]

    assert pieces
    assert isinstance(model.extras[0], dict) is is_asked


def two_providers(first: list[Any], second: list[Any]) -> tuple[Thinker, Thinker, ThinkingInTurn]:
    one, two = Thinker(first), Thinker(second)
    on_stage = stage(lineup("Llm", "a", "b"), lambda of: one if of.name == "a" else two)
    return one, two, ThinkingInTurn(on_stage.switch)


LOST = APIConnectionError(retryable=False)


@pytest.mark.parametrize(
    ("first", "second", "heard"),
    [
        ('{"emotion": "warm", "text": "Good mor', '{"emotion": "cold", "text": "morning."}', "Good "),
        ('{"emotion": "warm", "text": "Good mor', "morning.", "Good "),
        ('{"emotion": "warm", "te', '{"emotion": "warm", "text": "Good morning."}', None),
    ],
    ids=["goes on in an object", "goes on in words", "nothing was said"],
)
async def test_who_takes_over_within_an_object_goes_on_with_the_words(
    first: str, second: str, heard: str | None
) -> None:
    _, two, thinking = two_providers([first, LOST], [second])
    voice = Voice()
    answer = speaker(thinking, voice).llm_node(llm.ChatContext.empty(), [], ModelSettings())
    pieces = [piece async for piece in answer]

    assert "".join(piece.delta.content or "" for piece in pieces if piece.delta) == "Good morning."
    assert [item.text_content for item in two.asked[0].items if item.type == "message"][:1] == (
        [heard] if heard else []
    )
    assert voice.told == [{"emotion": "warm"}]


@pytest.mark.parametrize("written", ['{"emotion": "warm", "te', '{"emotion": "warm"}', '{"text": ""}'])
async def test_an_answer_without_a_word_has_failed(written: str) -> None:
    """An apology is better than silence."""
    session: AgentSession[None] = AgentSession(llm=Asked([written]), vad=None, turn_handling={"turn_detection": None})
    await session.start(speaker(cast("Any", session.llm), Voice()))
    speech = session.generate_reply(user_input="Hello.")
    await speech

    assert isinstance(speech.exception(), APIError)
    await session.aclose()
