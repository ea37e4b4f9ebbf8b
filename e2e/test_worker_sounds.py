"""How a call sounds besides words: sounds behind the voice, apologies, ringing, interruptions, and keys for turns."""

import asyncio
import functools
import json
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import livekit.agents.resources
import numpy as np
import pytest
from livekit import api, rtc

from e2e.bench import Bench
from e2e.caller import Caller, Dispatch, Line
from e2e.caller.report import Turn
from e2e.providers import Control, Providers
from e2e.working import Worker, is_hung_up_on, ready, run_worker, seat_for, watched, write_files

QUESTION, ANSWER = "When are you open?", "We are open from nine to five, Monday to Friday."
STORY = "Once upon a time there was a dentist who lived by the river. " * 3
# Well again as soon as somebody asks.
BREAKER = {"failures": 1, "failureFraction": 0, "openSeconds": 1, "maxOpenSeconds": 1}
CLIPS = Path(str(livekit.agents.resources.__path__[0]))
pytestmark = pytest.mark.timeout(300)


@contextmanager
def served_clips() -> Iterator[str]:
    """Serve sound files as somebody's own server would."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(CLIPS))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def worker_with(bench: Bench, providers: Providers, folder: Path, conversation: dict[str, Any]) -> Iterator[Worker]:
    name = folder.name.strip("0123456789")
    arguments = write_files(folder, bench, providers, name)
    agent, pool = (json.loads((folder / file).read_text()) for file in ("agent.json", "pool.json"))
    agent["spec"]["conversation"] |= conversation
    for provider in pool["spec"]["providers"]:
        provider["breaker"] = BREAKER
    (folder / "agent.json").write_text(json.dumps(agent))
    (folder / "pool.json").write_text(json.dumps(pool))
    with run_worker(folder, arguments, name) as running:
        yield running


@pytest.fixture(scope="module")
def worker(bench: Bench, providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with served_clips() as url:
        sounds = {
            "ambient": {"url": f"{url}/crowded-room.ogg", "volume": 0.5},
            "thinking": {"clip": "KeyboardTyping", "volume": 1},
        }
        with worker_with(bench, providers, tmp_path_factory.mktemp("sounds"), {"backgroundAudio": sounds}) as running:
            yield running


@pytest.fixture(scope="module")
def app_worker(bench: Bench, providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    conversation = {"turnTaking": {"detection": "PushToTalk"}}
    with worker_with(bench, providers, tmp_path_factory.mktemp("app-key"), conversation) as running:
        yield running


@pytest.fixture(scope="module")
def phone_worker(bench: Bench, providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    conversation = {"turnTaking": {"detection": "PushToTalk"}, "pushToTalk": {"commitDigit": "#"}}
    with worker_with(bench, providers, tmp_path_factory.mktemp("phone-key"), conversation) as running:
        yield running


async def loudness(track: rtc.Track, *, seconds: float) -> float:
    """Return how loud a track is on the average."""
    stream = rtc.AudioStream(track, sample_rate=16_000, num_channels=1, frame_size_ms=100)
    levels: list[float] = []
    try:
        async for event in stream:
            samples = np.frombuffer(event.frame.data, np.int16).astype(np.float32)
            levels.append(float(np.sqrt(np.mean(samples**2))))
            if len(levels) >= seconds * 10:
                break
    finally:
        await stream.aclose()
    return float(np.mean(levels))


def heard(control: Control) -> list[str]:
    return [text for row in control.heard() if (text := row["text"].strip())]


async def test_a_sound_behind_the_voice_is_heard_by_the_caller_and_by_nobody_else(
    worker: Worker, control: Control, line: Line
) -> None:
    await ready(worker)
    async with watched(worker) as states:
        await states.wait_for_sessions(0)
        failed_before = states.seen[-1].tally.calls_failed
        async with Caller(line, seat=seat_for(worker)) as caller:
            await caller.listen()
            (track,) = caller.background
            ambient = await loudness(track, seconds=2)
            turn = await caller.say(QUESTION)
            assert len(caller.background) == 1
        await states.wait_for_sessions(0)
    print(caller.report().as_text(), "ambient", ambient)

    assert ambient > 30
    assert turn.agent_text == ANSWER
    assert "open" in " ".join(heard(control)).lower()
    assert len(heard(control)) <= 2, "only the caller is listened to"
    assert caller.report().cuts == ()
    assert states.seen[-1].tally.calls_failed == failed_before


async def test_when_nobody_can_think_the_caller_hears_so_and_may_ask_again(
    worker: Worker, control: Control, line: Line
) -> None:
    await ready(worker)
    async with Caller(line, seat=seat_for(worker)) as caller:
        await caller.listen()
        control.break_service("openai", "chat", "refuse")
        failed = await caller.say(QUESTION)
        control.mend()
        await asyncio.sleep(1.5)
        turn = await caller.say(QUESTION)
    print(caller.report().as_text())

    assert failed.agent_text == "I'm sorry, that did not work just now. Could you say it again, please?"
    assert failed.heard_seconds > 1
    assert turn.agent_text == ANSWER


async def test_when_nobody_can_speak_the_caller_hears_beeps_and_in_the_end_is_let_go(
    worker: Worker, control: Control, line: Line
) -> None:
    await ready(worker)
    async with watched(worker) as states:
        await states.wait_for_sessions(0)
        failed_before = states.seen[-1].tally.calls_failed
        async with Caller(line, seat=seat_for(worker)) as caller:
            await caller.listen()
            control.break_service("cartesia", "tts", "refuse")
            # A line that stays open would not notice.
            control.drop(provider="cartesia", service="tts")
            beeped = [await caller.say(QUESTION), await caller.say(QUESTION)]
            await caller.say(QUESTION)
            await caller.hold(20)
            assert await is_hung_up_on(caller)
        control.mend()
        await states.wait_for_sessions(0)
    print(caller.report().as_text())

    assert all(0.2 < turn.heard_seconds < 1 for turn in beeped)
    assert [record["reason"] for record in worker.records() if record["message"] == "call ends"][-1] == (
        "providers failed"
    )
    assert states.seen[-1].tally.calls_failed == failed_before + 1


async def test_what_is_heard_while_a_phone_rings_is_nobodys_words(worker: Worker, control: Control, line: Line) -> None:
    await ready(worker)
    ringing = replace(seat_for(worker), sip=True, attributes={"sip.callStatus": "ringing"})
    async with Caller(line, seat=ringing, dispatch=Dispatch.EXPLICIT) as caller:
        early = await caller.say("The number you have dialed is busy.", answer=False)
        await caller.hold(3)
        before = heard(control), control.requests("openai", "chat")
        async with api.LiveKitAPI(line.http_url, line.api_key, line.api_secret) as livekit:
            answered = {"sip.callStatus": "active"}
            await livekit.room.update_participant(
                api.UpdateParticipantRequest(room=ringing.room, identity=ringing.identity, attributes=answered)
            )
        greeting = await caller.listen()
        turn = await caller.say(QUESTION)
    print(caller.report().as_text())

    assert early.heard_seconds == 0
    assert before == ([], [])
    assert greeting.agent_text.startswith("Hello")
    assert turn.agent_text == ANSWER


async def test_a_caller_may_interrupt_a_long_answer(worker: Worker, control: Control, line: Line) -> None:
    control.set_rules([{"match": "(?i)story", "reply": STORY}])
    await ready(worker)
    # Between what it was saying and the answer it is quiet for as long as it hears and thinks.
    async with Caller(line, seat=seat_for(worker), quiet_ms=4_000) as caller:
        await caller.listen()
        await caller.say("Tell me a story.", answer=False)
        await caller.hold(6)
        turn = await caller.say(QUESTION)
    print(caller.report().as_text())

    # The end of what it was saying, and the answer; the whole story takes a dozen seconds more.
    assert turn.heard_seconds < 8
    assert turn.agent_text.endswith(ANSWER)


async def test_a_cough_does_not_cost_the_rest_of_an_answer(worker: Worker, control: Control, line: Line) -> None:
    """Somebody speaks over the agent and no word comes of it: the agent goes on where it was."""
    control.set_rules([{"match": "(?i)story", "reply": STORY}])
    await ready(worker)
    # It waits for the end of what was no word, and for two seconds more.
    async with Caller(line, seat=seat_for(worker), quiet_ms=9_000, gap_ms=60_000) as caller:
        await caller.listen()
        control.set_script(["Tell me a story."])
        whole, whole_seconds = await timed(caller.say("Tell me a story.", timeout_seconds=60))
        control.set_script(["Tell me a story.", "", ""])
        telling = asyncio.create_task(timed(caller.say("Tell me a story.", timeout_seconds=60)))
        await asyncio.sleep(8)
        await caller._mouth.say("Not a word of this is ever written down.")
        again, again_seconds = await telling
    print(caller.report().as_text(), whole_seconds, again_seconds)

    assert again_seconds > whole_seconds + 1, "the agent has paused"
    assert again.heard_seconds == pytest.approx(whole.heard_seconds, rel=0.2)
    assert again.agent_text.count("river") == STORY.count("river")


async def timed(turn: Coroutine[None, None, Turn]) -> tuple[Turn, float]:
    began = time.monotonic()
    return await turn, time.monotonic() - began


async def call(caller: Caller, method: str) -> str:
    room = caller._room
    return await room.local_participant.perform_rpc(
        destination_identity=caller.agent_identity, method=method, payload=""
    )


async def test_an_app_holds_a_key_to_talk(app_worker: Worker, control: Control, line: Line) -> None:
    await ready(app_worker)
    async with Caller(line, seat=seat_for(app_worker)) as caller:
        await caller.listen()
        unheard = await caller.say("Nobody listens to this.", answer=False)
        await caller.hold(2)
        assert heard(control) == []

        await call(caller, "start_turn")
        await caller.say(QUESTION, answer=False)
        early = await caller.listen(timeout_seconds=3)
        await call(caller, "end_turn")
        turn = await caller.listen()

        await call(caller, "start_turn")
        await caller.say("Forget this.", answer=False)
        await call(caller, "cancel_turn")
        cancelled = await caller.listen(timeout_seconds=4)
    print(caller.report().as_text())

    assert unheard.heard_seconds == 0
    assert early.heard_seconds == 0, "the turn is not over while the key is held"
    assert turn.agent_text == ANSWER
    assert cancelled.heard_seconds == 0


async def test_nobody_else_has_the_key(app_worker: Worker, control: Control, line: Line) -> None:  # noqa: ARG001
    await ready(app_worker)
    async with Caller(line, seat=seat_for(app_worker)) as caller:
        await caller.listen()
        other = rtc.Room()
        token = (
            api.AccessToken(line.api_key, line.api_secret)
            .with_identity("somebody-else")
            .with_grants(api.VideoGrants(room_join=True, room=caller.seat.room))
            .to_jwt()
        )
        await other.connect(line.url, token)
        try:
            with pytest.raises(rtc.RpcError, match="only the caller has the key"):
                await other.local_participant.perform_rpc(
                    destination_identity=caller.agent_identity, method="start_turn", payload=""
                )
        finally:
            await other.disconnect()


async def test_a_phones_key_ends_a_turn(phone_worker: Worker, control: Control, line: Line) -> None:  # noqa: ARG001
    await ready(phone_worker)
    async with Caller(line, seat=seat_for(phone_worker)) as caller:
        await caller.listen()
        waited = await caller.say(QUESTION, timeout_seconds=4)
        await caller._room.local_participant.publish_dtmf(code=11, digit="#")
        turn = await caller.listen()
    print(caller.report().as_text())

    assert waited.heard_seconds == 0
    assert turn.agent_text == ANSWER
