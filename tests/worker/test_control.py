"""The control port: who may ask what, and what the stream says."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from tests.worker.files import Mounted
from voicefleet.names import CALLERS_PATH, STATE_PATH
from voicefleet.providers.breaker import State
from voicefleet.wire import CallersAnswer, CallersOrder, ProviderWord, WorkerState
from voicefleet_worker.desk.desk import Desk, Identity
from voicefleet_worker.desk.reports import CallReport
from voicefleet_worker.metrics import Metrics
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.serving.control import Control, start_control

TOKEN = {"Authorization": "Bearer token-1"}


@pytest.fixture
def desk() -> Desk:
    return Desk(slots=2, identity=Identity("r1", instance="i1"), clock=lambda: 100.0)


@pytest.fixture
def leave() -> asyncio.Event:
    """Set once the worker was told to go."""
    return asyncio.Event()


async def find_a_caller(order: CallersOrder) -> CallersAnswer | None:
    """Find one caller, unless the order is for no room: then LiveKit is away."""
    if "AD_told" in order.held:
        return CallersAnswer(waiting=len(order.held))
    return CallersAnswer(waiting=1, dispatched=order.room, lost=2) if order.room else None


@pytest.fixture
async def client(desk: Desk, mounted: Mounted, leave: asyncio.Event) -> AsyncIterator[TestClient[Any, Any]]:
    control = Control(desk, Metrics(desk), mounted.folder / "token", leave.set, find_a_caller, heartbeat_seconds=0.05)
    async with TestClient(TestServer(control.build_app())) as client:
        yield client


async def test_without_a_token_nobody_steers_and_everybody_may_ask_how_it_is(desk: Desk) -> None:
    control = Control(desk, Metrics(desk), None, lambda: None, find_a_caller)
    async with (
        TestClient(TestServer(control.build_app())) as client,
        client.get(STATE_PATH, headers=TOKEN) as refused,
        client.get("/livez") as told,
    ):
        assert (refused.status, told.status) == (401, 200)


async def read(stream: ClientResponse) -> WorkerState:
    async with asyncio.timeout(5):
        return WorkerState.model_validate(json.loads(await stream.content.readline()))


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer token-2"}, {"Authorization": "Basic token-1"}, {"Authorization": "Bearer"}],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", STATE_PATH),
        *(("POST", f"/v1/{command}") for command in ("cordon", "uncordon", "load", "drain", "callers")),
    ],
)
async def test_nobody_without_the_token_gets_in(
    client: TestClient[Any, Any], desk: Desk, method: str, path: str, headers: dict[str, str]
) -> None:
    async with client.request(method, path, headers=headers, data='{"load": -7}') as response:
        assert response.status == 401
    assert (desk.cordoned, desk.draining, desk.asked_load) == (False, False, None)


async def test_a_token_that_is_no_text_is_a_wrong_one(client: TestClient[Any, Any]) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"POST /v1/cordon HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await reader.readline()
    writer.close()

    assert b" 401 " in answer


async def test_nothing_but_a_comparison_in_constant_time_decides_about_a_token(
    client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, wanted: bytes) -> bool:
        compared.append((given, wanted))
        return given != wanted

    monkeypatch.setattr(hmac, "compare_digest", compare)
    async with (
        client.post("/v1/cordon", headers=TOKEN) as right,
        client.post("/v1/cordon", headers={"Authorization": "Bearer token-2"}) as wrong,
    ):
        assert (right.status, wrong.status) == (401, 200)
    assert compared == [(b"token-1", b"token-1"), (b"token-2", b"token-1")]


async def test_a_rotated_token_counts_at_once_and_a_lost_one_locks(
    client: TestClient[Any, Any], mounted: Mounted
) -> None:
    mounted.write("token", "token-2")
    async with client.post("/v1/cordon", headers=TOKEN) as response:
        assert response.status == 401
    async with client.post("/v1/cordon", headers={"Authorization": "bearer token-2"}) as response:
        assert response.status == 200
    (mounted.folder / "token").unlink()
    async with client.post("/v1/cordon", headers={"Authorization": "bearer token-2"}) as response:
        assert response.status == 401


async def test_the_stream_tells_every_change_and_beats(client: TestClient[Any, Any], desk: Desk) -> None:
    async with client.get(STATE_PATH, headers=TOKEN) as stream:
        first = await read(stream)
        beat = await read(stream)
        desk.answer("AJ_1")
        desk.set_registered(True)
        taken = await read(stream)
        while not taken.sessions:
            taken = await read(stream)

    assert (first.revision, first.slots, first.sessions, first.registered) == ("r1", 2, (), False)
    assert beat.sequence > first.sequence
    assert [(session.id, session.age_seconds) for session in taken.sessions] == [("AJ_1", 0.0)]
    assert (taken.registered, taken.reported_load) == (True, -0.5)


async def test_heartbeats_tell_how_the_providers_are_and_changes_in_between_do_not(
    desk: Desk, mounted: Mounted
) -> None:
    words = (ProviderWord(name="openai", state=State.OPEN, requests=3, errors=1),)
    control = Control(desk, Metrics(desk), mounted.folder / "token", lambda: None, find_a_caller, words=lambda: words)
    async with (
        TestClient(TestServer(control.build_app())) as client,
        client.get(STATE_PATH, headers=TOKEN) as stream,
    ):
        first = await read(stream)
        desk.share_health(True)
        changed = await read(stream)

    assert (first.providers, first.shares_health) == (words, None)
    assert (changed.providers, changed.shares_health) == (None, True)


async def test_a_worker_whose_state_never_rests_tells_of_its_providers_all_the_same(
    desk: Desk, mounted: Mounted
) -> None:
    words = (ProviderWord(name="openai"),)
    control = Control(
        desk, Metrics(desk), mounted.folder / "token", lambda: None, find_a_caller,
        heartbeat_seconds=0.05, words=lambda: words,
    )  # fmt: skip
    told = 0
    async with (
        TestClient(TestServer(control.build_app())) as client,
        client.get(STATE_PATH, headers=TOKEN) as stream,
    ):
        while told < 3:
            desk.cordon()
            told += (await read(stream)).providers is not None


async def test_two_readers_both_hear(client: TestClient[Any, Any], desk: Desk) -> None:
    async with client.get(STATE_PATH, headers=TOKEN) as one, client.get(STATE_PATH, headers=TOKEN) as two:
        desk.cordon()
        heard = []
        for stream in (one, two):
            state = await read(stream)
            while not state.cordoned:
                state = await read(stream)
            heard.append(state.sequence)

    assert len(set(heard)) == 2


async def test_a_reader_that_left_is_forgotten(client: TestClient[Any, Any], desk: Desk) -> None:
    async with client.get(STATE_PATH, headers=TOKEN) as stream:
        await read(stream)
        assert len(desk._listeners) == 1
        stream.close()
    for _ in range(100):
        if not desk._listeners:
            break
        await asyncio.sleep(0.05)

    assert not desk._listeners


async def test_a_reader_that_takes_nothing_is_cut_off(
    client: TestClient[Any, Any], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("voicefleet_worker.serving.control._STALLED_SECONDS", 0.05)
    monkeypatch.setattr("aiohttp.web.StreamResponse.write", never)
    monkeypatch.setattr("aiohttp.web.StreamResponse.write_eof", never)
    async with client.get(STATE_PATH, headers=TOKEN) as stream, asyncio.timeout(5):
        with pytest.raises(ClientError):
            await stream.content.readline()

    assert not desk._listeners


async def test_cordon_and_back(client: TestClient[Any, Any], desk: Desk) -> None:
    async with client.post("/v1/cordon", headers=TOKEN) as response:
        assert (await response.json())["cordoned"] is True
    async with client.post("/v1/uncordon", headers=TOKEN) as response:
        assert (await response.json())["reportedLoad"] == -1.0
    desk.drain()
    async with client.post("/v1/uncordon", headers=TOKEN) as response:
        assert response.status == 409


async def test_a_load_that_is_asked_for_is_reported_while_the_worker_is_open(
    client: TestClient[Any, Any], desk: Desk
) -> None:
    async with client.post("/v1/load", headers=TOKEN, data='{"load": -1000}') as response:
        said = await response.json()
    assert (said["askedLoad"], said["reportedLoad"]) == (-1000, -1000)

    desk.answer("AJ_1")
    assert desk.load == -1000
    desk.answer("AJ_2")
    assert desk.load == 1.0
    desk.give_back("AJ_2")
    desk.cordon()
    assert desk.load == 1.0
    desk.uncordon()
    assert desk.load == -1000
    desk.drain()
    assert desk.load == 1.0


@pytest.mark.parametrize(
    "body",
    [
        "", "no json", "[]", "{}", '{"load": null}', '{"load": "-1"}', '{"load": true}', '{"load": 1}',
        '{"load": -1e19}', '{"load": -1e308}', '{"load": NaN}', '{"load": -Infinity}', '{"load": -1' + "0" * 5000 + "}",
    ],
)  # fmt: skip
async def test_a_load_that_is_none_is_refused_in_words(client: TestClient[Any, Any], desk: Desk, body: str) -> None:
    async with client.post("/v1/load", headers=TOKEN, data=body) as response:
        assert (response.status, "\n" in await response.text()) == (400, True)
    assert desk.asked_load is None


async def test_a_worker_that_is_told_to_drain_goes_and_does_not_come_back(
    client: TestClient[Any, Any], desk: Desk, leave: asyncio.Event
) -> None:
    async with client.post("/v1/drain", headers=TOKEN) as response:
        assert (await response.json())["draining"] is True
    async with client.post("/v1/uncordon", headers=TOKEN) as response:
        assert response.status == 409

    assert leave.is_set()
    assert desk.draining


async def status(client: TestClient[Any, Any], path: str) -> int:
    async with client.get(path) as response:
        return response.status


async def test_ready_means_that_livekit_can_send_calls(client: TestClient[Any, Any], desk: Desk) -> None:
    assert await status(client, "/livez") == 200
    assert [await status(client, path) for path in ("/readyz", "/health")] == [503, 503]
    desk.set_registered(True)
    assert [await status(client, path) for path in ("/readyz", "/health")] == [200, 200]
    desk.cordon()
    assert await status(client, "/readyz") == 200
    desk.drain()
    assert [await status(client, path) for path in ("/readyz", "/livez")] == [503, 200]


async def test_whoever_takes_no_calls_is_ready_without_livekit(desk: Desk) -> None:
    control = Control(desk, Metrics(desk), None, lambda: None, find_a_caller, takes_calls=False)
    async with TestClient(TestServer(control.build_app())) as client:
        assert await status(client, "/readyz") == 200
        desk.drain()
        assert await status(client, "/readyz") == 503


async def test_metrics_are_for_everybody(client: TestClient[Any, Any], desk: Desk) -> None:
    desk.answer("AJ_1")
    async with client.get("/metrics") as response:
        text = await response.text()

    assert "voicefleet_worker_sessions 1.0" in text
    assert "AJ_1" not in text


async def test_metrics_tell_what_became_of_calls(client: TestClient[Any, Any], desk: Desk) -> None:
    desk.answer("AJ_1")
    desk.mark_launched("AJ_1")
    desk.hear(
        CallReport(job_id="AJ_1", turn_latency=(0, 0, 1, 2, *[0] * 14), latency_seconds=1.05, provider_requests=4)
    )
    desk.keep_running(())
    desk.ask_load(-8.0)
    async with client.get("/metrics") as response:
        lines = [line for line in (await response.text()).splitlines() if not line.startswith("#")]

    wanted = {
        "sessions_ended_total 1.0", "sessions_failed_total 1.0", "sessions_hung_up_early_total 0.0",
        "provider_requests_total 4.0", "provider_errors_total 0.0", "asked_load -8.0",
        'turn_latency_seconds_bucket{le="0.3"} 1.0', 'turn_latency_seconds_bucket{le="0.4"} 3.0',
        'turn_latency_seconds_bucket{le="+Inf"} 3.0', "turn_latency_seconds_count 3.0", "turn_latency_seconds_sum 1.05",
    }  # fmt: skip
    assert {f"voicefleet_worker_{line}" for line in wanted} <= set(lines)


async def test_a_taken_port_is_said_in_one_line(desk: Desk, mounted: Mounted) -> None:
    control = Control(desk, Metrics(desk), mounted.folder / "token", lambda: None, find_a_caller)
    runner, port = await start_control(control, host="127.0.0.1", port=0)
    try:
        with pytest.raises(BadInputError, match=f"--control-port: {port} cannot be listened on"):
            await start_control(control, host="127.0.0.1", port=port)
    finally:
        await runner.cleanup()


async def test_a_look_for_callers_tells_what_it_found(client: TestClient[Any, Any]) -> None:
    async with client.post(
        CALLERS_PATH, headers=TOKEN, data='{"agent": "voice.desk", "holdSeconds": 10, "room": 3}'
    ) as response:
        assert response.status == 200
        assert await response.json() == {"waiting": 1, "dispatched": 3, "lost": 2, "more": False}


async def test_a_look_for_callers_without_livekit_is_refused(client: TestClient[Any, Any]) -> None:
    async with client.post(
        CALLERS_PATH, headers=TOKEN, data='{"agent": "voice.desk", "holdSeconds": 10, "room": 0}'
    ) as response:
        assert (response.status, await response.text()) == (503, "LiveKit cannot be asked\n")


@pytest.mark.parametrize(
    "order",
    [
        "",
        '{"agent": "a"}',
        '{"agent": "a", "holdSeconds": 0, "room": 1}',
        '{"agent": "a", "holdSeconds": "10", "room": 1}',
    ],
)
async def test_a_look_for_callers_that_makes_no_sense_is_not_begun(client: TestClient[Any, Any], order: str) -> None:
    async with client.post(CALLERS_PATH, headers=TOKEN, data=order) as response:
        assert response.status == 400
        assert "holdSeconds" in await response.text()


async def test_whoever_looks_knows_of_its_own_calls(client: TestClient[Any, Any], desk: Desk) -> None:
    desk.answer("AJ_1", "AD_own")
    order = '{"agent": "a", "holdSeconds": 9, "room": 0, "held": ["AD_told"]}'
    async with client.post(CALLERS_PATH, headers=TOKEN, data=order) as response:
        assert (await response.json())["waiting"] == 2
