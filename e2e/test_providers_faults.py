"""Broken providers, as the stock plugins and a bare client meet them."""

import asyncio
import json
from collections.abc import Callable

import aiohttp
import pytest
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIStatusError,
    APITimeoutError,
    llm,
    stt,
)
from livekit.plugins import cartesia, deepgram, openai

from e2e.providers import Control, Providers
from e2e.providers.faults import Mode
from e2e.providers.testkit import caller_says
from e2e.providers.wire import HearingMode

NO_RETRY = APIConnectOptions(max_retry=0, timeout=5.0)
IMPATIENT = APIConnectOptions(max_retry=0, timeout=0.5)
SENTENCE = "The cat sat on the mat, and then it went home to sleep for a very long time."
KEY = "not-a-real-key"
pytestmark = pytest.mark.usefixtures("control", "http_session")


@pytest.fixture(scope="module")
def hearing() -> HearingMode:
    return "script"


@pytest.fixture(autouse=True)
def _nothing_to_hear(control: Control) -> None:
    control.set_script([])


async def chat(
    providers: Providers,
    *,
    key: str = KEY,
    options: APIConnectOptions = NO_RETRY,
    said: list[str] | None = None,
) -> list[str]:
    """Return the pieces of an answer; `said` is filled even if the answer breaks off."""
    said = [] if said is None else said
    model = openai.LLM(base_url=providers.openai_url, api_key=key)
    context = llm.ChatContext.empty()
    context.add_message(role="user", content=SENTENCE)
    try:
        async with model.chat(chat_ctx=context, conn_options=options) as stream:
            async for chunk in stream:
                said.extend([chunk.delta.content] if chunk.delta and chunk.delta.content else [])
            return said
    finally:
        await model.aclose()


async def speak(
    providers: Providers,
    *,
    key: str = KEY,
    options: APIConnectOptions = NO_RETRY,
    heard_seconds: list[float] | None = None,
) -> float:
    """Say the sentence; `heard_seconds` is filled even if the speech breaks off."""
    heard_seconds = [] if heard_seconds is None else heard_seconds
    speaker = cartesia.TTS(base_url=providers.cartesia_url, api_key=key)
    try:
        async with speaker.stream(conn_options=options) as stream:
            stream.push_text(SENTENCE)
            stream.end_input()
            async for audio in stream:
                heard_seconds.append(audio.frame.duration)
            return sum(heard_seconds)
    finally:
        await speaker.aclose()


async def hear(providers: Providers, *, key: str = KEY) -> str:
    frames = await caller_says("Hello.")
    listener = deepgram.STT(base_url=providers.deepgram_listen_url, api_key=key)
    async with listener.stream(conn_options=NO_RETRY) as stream:
        for frame in frames:
            stream.push_frame(frame)
        stream.flush()
        async for event in stream:
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                return event.alternatives[0].text
    return ""


async def post_chat(providers: Providers) -> tuple[int, str, bytes]:
    """One request by a bare client, which sees the headers that the plugins hide."""
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{providers.openai_url}/chat/completions", json=body, headers=headers) as response,
    ):
        return response.status, response.headers.get("Retry-After", ""), await response.read()


async def test_a_throttled_provider_says_when_to_come_back(providers: Providers, control: Control) -> None:
    control.break_service("openai", "chat", "throttled", retry_after_seconds=7)

    status, retry_after, body = await post_chat(providers)

    assert (status, retry_after) == (429, "7")
    assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"


async def test_a_throttled_socket_is_refused_with_the_same_advice(providers: Providers, control: Control) -> None:
    control.break_service("deepgram", "listen", "throttled", retry_after_seconds=3)

    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(providers.deepgram_listen_url, headers={"Authorization": f"Token {KEY}"})

    assert refusal.value.status == 429
    assert refusal.value.headers is not None
    assert refusal.value.headers["Retry-After"] == "3"


@pytest.mark.parametrize(("mode", "status"), [("throttled", 429), ("unauthorized", 401), ("error", 500)])
async def test_a_refused_request_has_its_status(
    providers: Providers, control: Control, mode: Mode, status: int
) -> None:
    for provider, service in (("openai", "chat"), ("cartesia", "tts"), ("deepgram", "listen")):
        control.break_service(provider, service, mode)

    for attempt in (chat, speak, hear):
        with pytest.raises(APIStatusError) as failure:
            await attempt(providers)
        assert failure.value.status_code == status


async def test_only_the_keys_that_are_set_are_accepted(providers: Providers, control: Control) -> None:
    for provider in ("openai", "cartesia", "deepgram"):
        control.set_keys(provider, ["the-good-key"])
    control.set_script(["hello"])

    for attempt in (chat, speak, hear):
        assert await attempt(providers, key="the-good-key")
        with pytest.raises(APIStatusError) as failure:
            await attempt(providers, key="a-bad-key")
        assert failure.value.status_code == 401


async def test_a_chat_that_dies_in_the_middle_has_said_something(providers: Providers, control: Control) -> None:
    control.break_service("openai", "chat", "dead_mid_stream", after_chunks=4)
    said: list[str] = []

    with pytest.raises(APIConnectionError):
        await chat(providers, said=said)

    assert "".join(said) == "You said: The "
    assert control.requests("openai", "chat")[0]["outcome"] == "died"


async def test_speech_that_dies_in_the_middle_has_been_heard_in_part(providers: Providers, control: Control) -> None:
    whole_seconds = await speak(providers)
    control.break_service("cartesia", "tts", "dead_mid_stream", after_chunks=8)
    heard_seconds: list[float] = []

    with pytest.raises(APIStatusError):
        await speak(providers, heard_seconds=heard_seconds)

    assert 0 < sum(heard_seconds) < whole_seconds
    assert control.requests("cartesia", "tts")[-1]["outcome"] == "died"


async def test_a_line_can_be_cut_in_the_middle_of_a_call(providers: Providers, control: Control) -> None:
    call = asyncio.create_task(hear(providers))
    await until(lambda: bool(control.requests("deepgram", "listen")))

    assert await asyncio.to_thread(control.drop, provider="deepgram") == 1
    with pytest.raises(APIStatusError):
        await call


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if await asyncio.to_thread(condition):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("never became true")


async def test_a_silent_provider_is_given_up_on(providers: Providers, control: Control) -> None:
    control.break_service("openai", "chat", "silent")
    control.break_service("cartesia", "tts", "silent")

    with pytest.raises(APITimeoutError):
        await chat(providers, options=IMPATIENT)
    with pytest.raises(APIConnectionError):
        await speak(providers, options=IMPATIENT)

    assert control.requests("openai", "chat")[0]["ttfb_ms"] is None


async def test_a_silent_ear_hears_nothing_and_stays_connected(providers: Providers, control: Control) -> None:
    control.set_script(["hello"])
    control.break_service("deepgram", "listen", "silent")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(hear(providers), timeout=1.0)


@pytest.mark.parametrize("mode", ["wrong", "refuse"])
async def test_nonsense_and_cut_connections_are_connection_errors(
    providers: Providers, control: Control, mode: Mode
) -> None:
    control.break_service("openai", "chat", mode)
    control.break_service("cartesia", "tts", mode)

    for attempt in (chat, speak):
        with pytest.raises(APIConnectionError):
            await attempt(providers)


async def test_a_slow_provider_is_slow_before_and_between(providers: Providers, control: Control) -> None:
    control.break_service("openai", "chat", "slow", first_byte_ms=300, latency_ms=20)

    assert "".join(await chat(providers)) == f"You said: {SENTENCE}"

    row = control.requests("openai", "chat")[0]
    assert row["ttfb_ms"] >= 300
    assert row["duration_ms"] >= 300 + 20 * 15


async def test_flapping_alternates_request_by_request(providers: Providers, control: Control) -> None:
    control.break_service("openai", "chat", "flapping")

    statuses = [(await post_chat(providers))[0] for _ in range(4)]

    assert statuses == [503, 200, 503, 200]


async def test_flapping_by_time_starts_down_and_comes_back(providers: Providers, control: Control) -> None:
    control.break_service("openai", "chat", "flapping", period_ms=600, status=502)

    statuses = [(await post_chat(providers))[0]]
    while statuses[-1] != 200 and len(statuses) < 100:
        await asyncio.sleep(0.05)
        statuses.append((await post_chat(providers))[0])

    assert set(statuses[:-1]) == {502}
    assert statuses[-1] == 200


async def test_a_fraction_of_requests_fails_evenly(providers: Providers, control: Control) -> None:
    control.break_service("openai", "chat", "error", fraction=0.5)

    assert [(await post_chat(providers))[0] for _ in range(4)] == [200, 500, 200, 500]


async def test_one_instance_breaks_and_the_other_does_not(providers: Providers, control: Control) -> None:
    control.break_service("openai", "*", "error")
    control.break_service("cartesia", "*", "error")
    control.break_service("deepgram", "*", "error")
    control.set_script(["hello"], instance="backup")
    backup = providers.for_instance("backup")

    for attempt in (chat, speak, hear):
        with pytest.raises(APIStatusError):
            await attempt(providers)
        assert await attempt(backup)

    assert control.counts()["backup/cartesia/tts"]["ok"] == 1


async def test_the_stock_fallback_moves_to_the_other_instance(providers: Providers, control: Control) -> None:
    control.break_service("openai", "chat", "throttled")
    first = openai.LLM(base_url=providers.openai_url, api_key=KEY)
    second = openai.LLM(base_url=providers.for_instance("backup").openai_url, api_key=KEY)
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="When are you open?")

    adapter = llm.FallbackAdapter([first, second])
    async with adapter.chat(chat_ctx=context, conn_options=NO_RETRY) as stream:
        response = await stream.collect()
    await adapter.aclose()
    await asyncio.gather(first.aclose(), second.aclose())

    assert response.text.startswith("We are open")


async def test_requests_are_written_down_without_their_key(providers: Providers, control: Control) -> None:
    control.set_script(["hello there"])
    await asyncio.gather(chat(providers), speak(providers), hear(providers))

    chatted = control.requests("openai", "chat")[0]
    spoke = control.requests("cartesia", "tts")[0]
    heard = control.requests("deepgram", "listen")[0]
    assert KEY not in json.dumps(control.requests())
    assert len({row["key"] for row in (chatted, spoke, heard)}) == 1
    assert chatted["tokens_out"] > 0
    assert chatted["model"] == "gpt-4.1"
    assert spoke["audio_out_seconds"] > 3
    assert spoke["text_in_chars"] == len(SENTENCE)
    assert heard["audio_in_seconds"] > 1
    assert heard["text_out_chars"] == len("hello there")
    assert (heard["language"], heard["options"]["endpointing"]) == ("en-US", "25")


async def test_a_fault_that_makes_no_sense_is_refused(providers: Providers) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{providers.control_url}/faults/openai/chat"
        async with session.put(url, json={"mode": "sulking"}) as response:
            assert response.status == 400
            assert "mode must be one of" in await response.text()


def test_a_pod_reaches_the_same_instance_at_another_host(providers: Providers) -> None:
    seen = providers.seen_from("10.0.0.7").for_instance("backup")

    assert seen.cartesia_url == f"http://10.0.0.7:{providers.port}/backup/cartesia"
    assert seen.control_url == providers.control_url
