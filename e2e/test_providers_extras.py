"""The makes that are extras, built as a worker builds them, each on its own protocol at another address."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit.agents import APIStatusError, inference, llm, stt, tts
from livekit.plugins import anthropic, google, groq

from e2e.providers import Control, Providers
from e2e.providers.faults import Mode
from e2e.providers.testkit import caller_says, understand, word_overlap
from e2e.test_providers import BOOKING, NO_RETRY, asked, finals, get_weather
from voicefleet.api.providerpool.providers import Provider
from voicefleet.api.voiceagent.voice import LanguageModel, ModelChoice, SpeechToText, TextToSpeech
from voicefleet.providers.lineup import ProviderPlan
from voicefleet.providers.routing import Role
from voicefleet_worker.providers import Ingredients, build_llm, build_stt, build_tts

WISHES: dict[Role, ModelChoice] = {
    "Stt": SpeechToText(keyterms=("Okonkwo",)),
    "Llm": LanguageModel(max_output_tokens=200),
    "Tts": TextToSpeech(),
}
THINKERS = ("anthropic", "google", "groq")
SERVICES = {"anthropic": "messages", "google": "generate", "groq": "chat"}
pytestmark = pytest.mark.usefixtures("control", "http_session")


def ingredients(providers: Providers, role: Role, plugin: str, *, key: str = "not-a-real-key") -> Ingredients:
    # Groq speaks OpenAI's protocol.
    url = getattr(providers, f"{'openai' if plugin == 'groq' else plugin}_url")
    provider = Provider.model_validate({"name": plugin, "role": role, "plugin": plugin, "baseUrl": url})
    plan = ProviderPlan(
        provider=provider,
        role=role,
        model=None,
        voice=None,
        options=(),
        language="en-US",
        timeout_seconds=20.0,
        stall_seconds=5.0,
        retries=0,
    )
    return Ingredients(plan, WISHES[role], key)


async def close(model: llm.LLM[Any] | tts.TTS[Any]) -> None:
    """Close a model, and the clients that plugins leave to the end of the process."""
    await model.aclose()
    if isinstance(model, google.LLM):
        await model._client.aio.aclose()
    elif isinstance(model, anthropic.LLM):
        await model._client.close()


@asynccontextmanager
async def thinker(providers: Providers, plugin: str, **more: str) -> AsyncIterator[llm.LLM[Any]]:
    model = build_llm(ingredients(providers, "Llm", plugin, **more))
    try:
        yield model
    finally:
        await close(model)


async def chat(model: llm.LLM[Any], context: llm.ChatContext, *tools: llm.Tool) -> llm.CollectedResponse:
    async with model.chat(chat_ctx=context, tools=list(tools), conn_options=NO_RETRY) as stream:
        return await stream.collect()


@pytest.mark.parametrize("plugin", THINKERS)
async def test_it_thinks(providers: Providers, control: Control, plugin: str) -> None:
    async with thinker(providers, plugin) as model:
        response = await chat(model, asked("When are you open?"))

    assert response.text == "We are open from nine to five, Monday to Friday."
    assert response.usage is not None
    # Anthropic counts the beginning of an answer as one.
    assert response.usage.completion_tokens in (12, 13)
    (row,) = control.requests(service=SERVICES[plugin])
    assert row["outcome"] == "ok"
    assert 200 in row["options"].values(), "the longest answer"


@pytest.mark.parametrize("plugin", THINKERS)
async def test_it_calls_a_tool_and_uses_its_result(providers: Providers, control: Control, plugin: str) -> None:
    call = {"name": "get_weather", "arguments": {"city": "Paris"}}
    control.set_rules(
        [{"match": "weather", "tool_call": call}, {"match": "(sunny in .*)", "on": "tool", "reply": r"It is \1."}]
    )
    context = asked("What is the weather?")

    async with thinker(providers, plugin) as model:
        first = await chat(model, context, get_weather)
        (wish,) = first.tool_calls
        context.insert(llm.FunctionCall(call_id=wish.call_id, name=wish.name, arguments=wish.arguments))
        context.insert(
            llm.FunctionCallOutput(call_id=wish.call_id, name=wish.name, output="sunny in Paris", is_error=False)
        )
        second = await chat(model, context, get_weather)

    assert (wish.name, wish.arguments.replace(" ", "")) == ("get_weather", '{"city":"Paris"}')
    assert second.text.startswith("It is sunny in Paris")


@pytest.mark.parametrize("plugin", THINKERS)
@pytest.mark.parametrize(("mode", "status"), [("unauthorized", 401), ("throttled", 429), ("error", 500)])
async def test_how_it_refuses_is_known(
    providers: Providers, control: Control, plugin: str, mode: Mode, status: int
) -> None:
    control.break_service("openai" if plugin == "groq" else plugin, SERVICES[plugin], mode)

    async with thinker(providers, plugin) as model:
        with pytest.raises(APIStatusError) as failure:
            await chat(model, asked("When are you open?"))

    assert failure.value.status_code == status


@pytest.mark.parametrize("plugin", ["assemblyai", "groq"])
async def test_it_hears(providers: Providers, plugin: str) -> None:
    listener = build_stt(ingredients(providers, "Stt", plugin), inference.VAD())
    events: list[stt.SpeechEvent] = []

    async with listener.stream(conn_options=NO_RETRY) as stream:
        for frame in await caller_says(BOOKING):
            stream.push_frame(frame)
        stream.end_input()
        async for event in stream:
            events.append(event)
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                break
    await listener.aclose()
    if isinstance(listener, stt.StreamAdapter) and isinstance(listener.wrapped_stt, groq.STT):
        await listener.wrapped_stt._client.close()

    assert word_overlap(BOOKING, finals(events)[0]) >= 0.8


@pytest.mark.parametrize("speed", [None, 1.2])
async def test_elevenlabs_speaks(providers: Providers, control: Control, speed: float | None) -> None:
    of = ingredients(providers, "Tts", "elevenlabs")
    speaker = build_tts(Ingredients(of.plan, TextToSpeech(speed=speed), of.api_key))

    async with speaker.stream(conn_options=NO_RETRY) as stream:
        stream.push_text(BOOKING)
        stream.end_input()
        frames = [audio.frame async for audio in stream]
    await speaker.aclose()

    assert word_overlap(BOOKING, await understand(frames)) >= 0.7
    (row,) = control.requests("elevenlabs")
    assert row["options"]["language_code"] == "en"


BUILDERS: dict[str, Callable[[Ingredients], tts.TTS[Any] | llm.LLM[Any]]] = {
    "anthropic": build_llm,
    "google": build_llm,
    "elevenlabs": build_tts,
}


@pytest.mark.parametrize("plugin", list(BUILDERS))
async def test_its_key_is_the_pools(providers: Providers, control: Control, plugin: str) -> None:
    control.set_keys(plugin, ["the-good-key"])
    role: Role = "Tts" if plugin == "elevenlabs" else "Llm"
    model = BUILDERS[plugin](ingredients(providers, role, plugin, key="the-good-key"))

    if isinstance(model, llm.LLM):
        assert (await chat(model, asked("When are you open?"))).text
    else:
        async with model.stream(conn_options=NO_RETRY) as stream:
            stream.push_text("Hello.")
            stream.end_input()
            assert [audio async for audio in stream]
    await close(model)
