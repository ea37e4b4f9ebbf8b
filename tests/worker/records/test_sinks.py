"""Whoever takes records knows who sends them; whoever does not say that they are safe is sent them again."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.core.test_records import AROUND, CALL, VERDICT
from tests.worker.files import AGENT, POOL
from voicefleet.api import ProviderPool, VoiceAgent
from voicefleet.api.providerpool.connections import Redis
from voicefleet.api.voiceagent.records import RedisSink, Store, WebhookSink
from voicefleet.records.making import make_record
from voicefleet.records.plan import Destination, ToFiles, ToRedis, ToStore, plan_records
from voicefleet_worker.access.redis_access import connect_to_redis
from voicefleet_worker.access.secret_files import SecretFiles
from voicefleet_worker.problems import BadInputError
from voicefleet_worker.records.sinks import NotTakenError, NotWantedError, RedisStreamSink, WebhookRecordSink

RECORD = make_record(CALL, VERDICT, AROUND)
KEY = "s3cret"


@pytest.fixture
def secrets(tmp_path: Path) -> SecretFiles:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "key").write_text(KEY)
    return SecretFiles(tmp_path)


class Receiver:
    """An address that is told of calls, and answers as it was told."""

    def __init__(self, answers: Sequence[int]) -> None:
        self.answers = list(answers)
        self.posts: list[tuple[dict[str, str], bytes]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.posts.append((dict(request.headers), await request.read()))
        await asyncio.sleep(0)
        return web.Response(status=self.answers.pop(0))


@asynccontextmanager
async def posting(receiver: Receiver, secrets: SecretFiles) -> AsyncIterator[WebhookRecordSink]:
    app = web.Application()
    app.router.add_post("/calls", receiver.take)
    async with TestServer(app) as server:
        hook = WebhookSink.model_validate(
            {"url": str(server.make_url("/calls")), "signingSecret": {"name": "hook", "key": "key"}}
        )
        sink = WebhookRecordSink(hook, secrets, clock=lambda: 1700.9)
        try:
            yield sink
        finally:
            await sink.aclose()


async def test_a_receiver_can_tell_who_posts_and_which_call_it_is(secrets: SecretFiles) -> None:
    receiver = Receiver([204])
    async with posting(receiver, secrets) as sink:
        await sink.take([RECORD])

    ((headers, body),) = receiver.posts
    expected = hmac.new(KEY.encode(), b"1700." + body, hashlib.sha256).hexdigest()
    assert (headers["X-Voicefleet-Timestamp"], headers["X-Voicefleet-Signature"]) == ("1700", f"sha256={expected}")
    assert (headers["Idempotency-Key"], json.loads(body)["id"]) == ("AJ_1", "AJ_1")
    assert KEY not in str(headers)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 408, 410, 429, 500])
async def test_whoever_does_not_answer_well_has_not_taken_it(secrets: SecretFiles, status: int) -> None:
    receiver = Receiver([status])
    async with posting(receiver, secrets) as sink:
        with pytest.raises(NotTakenError, match=str(status)) as refused:
            await sink.take([RECORD])
    assert not isinstance(refused.value, NotWantedError), "it may be taken later"


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_whoever_says_that_this_record_is_wrong_refuses_this_one_and_no_other(
    secrets: SecretFiles, status: int
) -> None:
    receiver = Receiver([status, 204])
    async with posting(receiver, secrets) as sink:
        with pytest.raises(NotWantedError, match=str(status)):
            await sink.take([RECORD])
        await sink.take([RECORD])


async def test_a_receiver_that_is_away_has_not_taken_it(secrets: SecretFiles) -> None:
    hook = WebhookSink.model_validate({"url": "http://127.0.0.1:9/", "signingSecret": {"name": "hook", "key": "key"}})
    sink = WebhookRecordSink(hook, secrets)
    with pytest.raises(NotTakenError):
        await sink.take([RECORD])
    await sink.aclose()


async def test_a_redis_that_is_away_has_not_taken_it_and_is_asked_anew(secrets: SecretFiles) -> None:
    connected = 0

    def connect() -> object:
        nonlocal connected
        connected += 1
        return connect_to_redis(Redis(url="redis://127.0.0.1:9/0"), secrets)

    sink = RedisStreamSink(RedisSink(), connect)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(NotTakenError):
            await sink.take([RECORD])

    assert connected == 2


def test_an_address_that_cannot_be_used_is_not_repeated(secrets: SecretFiles, tmp_path: Path) -> None:
    (tmp_path / "hook" / "key").write_text("nonsense://user:hunter2@host")
    spec = Redis.model_validate({"urlFrom": {"name": "hook", "key": "key"}})

    with pytest.raises(BadInputError) as problem:
        connect_to_redis(spec, secrets)
    assert "hunter2" not in str(problem.value)


HOOK = {"url": "https://bills.example.com/", "signingSecret": {"name": "hook", "key": "key"}}
REDIS = {"url": "redis://redis:6379/0"}


@pytest.mark.parametrize(
    ("billing", "redis", "destination"),
    [
        (None, None, ToFiles()),
        (None, REDIS, ToRedis(Redis(url="redis://redis:6379/0"), RedisSink())),
        (
            {"redis": {"stream": "bills"}},
            REDIS,
            ToRedis(Redis(url="redis://redis:6379/0"), RedisSink(stream="bills")),
        ),
        ({"webhook": HOOK}, REDIS, WebhookSink.model_validate(HOOK)),
        ({"store": {"claimName": "bills"}}, REDIS, ToStore(Store(claim_name="bills"))),
    ],
    ids=["nothing said", "a pool with Redis", "a stream by name", "a webhook wins", "a store wins"],
)
def test_records_go_where_the_spec_and_the_pool_say(
    billing: dict[str, object] | None, redis: dict[str, object] | None, destination: Destination
) -> None:
    agent = VoiceAgent.model_validate({**AGENT, "spec": {**AGENT["spec"], **({"billing": billing} if billing else {})}})
    pool = ProviderPool.model_validate({**POOL, "spec": {**POOL["spec"], **({"redis": redis} if redis else {})}})

    assert plan_records(agent, pool, namespace="front").destination == destination


async def test_a_redis_that_does_not_let_go_either_has_not_taken_it() -> None:
    class Stuck:
        def pipeline(self, **_: object) -> object:
            raise RedisTimeoutError

        async def aclose(self) -> None:
            raise RedisTimeoutError

    sink = RedisStreamSink(RedisSink(), Stuck)  # type: ignore[arg-type]
    with pytest.raises(NotTakenError):
        await sink.take([RECORD])
