"""Probes from one place: bounded in rate and number, and told to whoever wants to know."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from voicefleet.providers.probing import Probed, ProbeRule
from voicefleet_operator.turns.probing import Outside, Prober
from voicefleet_operator.turns.workqueue import Key

ONE, TWO = Key("ProviderPool", "voice", "one"), Key("ProviderPool", "voice", "two")


@dataclass
class Scene:
    """A prober whose clock stands still until it is told otherwise."""

    time: float = 1000.0
    asked: list[tuple[float, str]] = field(default_factory=list)
    told: list[Key] = field(default_factory=list)
    problem: str | None = None
    at_once: int = 0
    most_at_once: int = 0
    gate: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.prober = Prober(self.told.append, clock=lambda: self.time, chance=lambda: 0.0)

    async def ask(self, address: str, _timeout_seconds: float) -> str | None:
        self.asked.append((self.time, address))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.gate is not None:
            await self.gate.wait()
        self.at_once -= 1
        return self.problem

    async def settle(self, seconds: float = 0.0) -> None:
        """Let time pass and the probes that are due come to their end."""
        self.time += seconds
        self.prober.begin_due(self.ask)
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_an_address_is_asked_once_for_each_interval_however_often_anybody_looks(scene: Scene) -> None:
    scene.prober.want(ONE, (ProbeRule("https://a", 60, 5),))
    for _ in range(600):
        await scene.settle(0.5)

    assert [at for at, _ in scene.asked] == [1000.5, 1060.5, 1120.5, 1180.5, 1240.5]


async def test_pools_that_share_an_address_share_its_probes_and_both_are_told(scene: Scene) -> None:
    scene.prober.want(ONE, (ProbeRule("https://a", 60, 5),))
    scene.prober.want(TWO, (ProbeRule("https://a", 60, 5), ProbeRule("https://b", 60, 5)))
    await scene.settle()

    assert sorted(address for _, address in scene.asked) == ["https://a", "https://b"]
    assert sorted(scene.told) == [ONE, TWO, TWO]


async def test_pools_are_told_when_what_is_known_changes_and_not_of_every_probe(scene: Scene) -> None:
    scene.prober.want(ONE, (ProbeRule("https://a", 60, 5),))
    heard = []
    for problem in (None, None, "lost", "lost", "lost", None):
        scene.problem = problem
        await scene.settle(61)
        heard.append(len(scene.told))

    assert heard == [1, 1, 1, 2, 2, 3]
    assert scene.prober.found(["https://a", "https://unknown"]) == {"https://a": Probed(was_reached=True)}


async def test_few_are_asked_at_once_and_all_in_the_end(scene: Scene) -> None:
    scene.gate = asyncio.Event()
    scene.prober.want(ONE, tuple(ProbeRule(f"https://{number}", 60, 5) for number in range(30)))
    await scene.settle()
    assert (scene.most_at_once, len(scene.asked)) == (8, 8)

    scene.gate.set()
    await scene.settle()

    assert (scene.most_at_once, len(scene.asked)) == (8, 30)


async def test_one_that_is_still_being_asked_is_not_asked_again(scene: Scene) -> None:
    scene.gate = asyncio.Event()
    scene.prober.want(ONE, (ProbeRule("https://a", 5, 60),))
    for _ in range(10):
        await scene.settle(5)

    assert len(scene.asked) == 1
    scene.gate.set()
    await scene.settle()


async def test_whom_nobody_wants_to_be_asked_any_more_is_left_alone(scene: Scene) -> None:
    scene.prober.want(ONE, (ProbeRule("https://a", 5, 5),))
    await scene.settle()
    scene.prober.want(ONE, ())
    await scene.settle(60)

    assert len(scene.asked) == 1
    assert scene.prober.addresses == []
    assert scene.prober.found(["https://a"]) == {}


async def test_a_shorter_interval_holds_from_now_on(scene: Scene) -> None:
    scene.prober.want(ONE, (ProbeRule("https://a", 3600, 5),))
    await scene.settle()
    scene.prober.want(ONE, (ProbeRule("https://a", 10, 5),))
    await scene.settle()
    await scene.settle(9)
    assert len(scene.asked) == 1

    await scene.settle(1.1)

    assert len(scene.asked) == 2


async def test_an_address_that_breaks_the_prober_does_not_keep_others_from_being_asked(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(address: str, timeout_seconds: float) -> str | None:
        if address == "https://a":
            raise RuntimeError
        return await scene.ask(address, timeout_seconds)

    scene.prober.want(ONE, (ProbeRule("https://a", 60, 5), ProbeRule("https://b", 60, 5)))
    running = asyncio.create_task(scene.prober.run(ask))
    while not scene.asked:  # noqa: ASYNC110 - the prober tells nobody that it has begun
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert [address for _, address in scene.asked] == ["https://b"]
    assert "probing failed" in caplog.text


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve one answer to everybody, and keep what they asked; without one, hang."""
    asked: list[bytes] = []
    hung_up, serving = asyncio.Event(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        asked.append(await reader.read(65_536))
        if answer is None:
            await hung_up.wait()
        else:
            writer.write(answer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", asked
        hung_up.set()
        await asyncio.gather(*serving)


def reply(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 0", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (reply("200 OK"), None),
        (reply("401 Unauthorized"), None),
        (reply("404 Not Found"), None),
        (reply("503 Service Unavailable"), "it answers 503"),
        (b"", "the connection breaks off"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP is spoken there (ClientResponseError)"),
        (None, "no answer within 0.2 s"),
    ],
)
async def test_what_an_answer_is_worth(answer: bytes | None, problem: str | None) -> None:
    async with answering(answer) as (address, _), Outside() as outside:
        assert await outside.ask(address, 0.2) == problem


async def test_a_probe_carries_no_key_and_follows_nobody_elsewhere() -> None:
    async with answering(reply("200 OK")) as (elsewhere, followed):
        moved = reply("302 Found", f"Location: {elsewhere}", "Set-Cookie: a=b")
        async with answering(moved) as (address, asked), Outside() as outside:
            assert await outside.ask(address, 1) is None
            assert await outside.ask(address, 1) is None

    assert followed == []
    assert b"authorization" not in asked[0].lower()
    assert b"cookie" not in asked[1].lower()


async def test_nobody_at_an_address_is_said_in_words() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    async with Outside() as outside:
        assert await outside.ask(f"http://127.0.0.1:{port}", 1) == "connection refused"


async def test_names_that_nobody_resolves_make_no_other_look_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup holds its thread for long after the probe has given up."""
    resolve, answered = socket.getaddrinfo, threading.Event()

    def look_up(host: str, *more: Any, **named: Any) -> Any:
        if host.endswith(".invalid"):
            answered.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "again")
        return resolve(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with answering(reply("200 OK")) as (address, _), Outside() as outside:
        try:
            # Eight at once, one after another.
            for _ in range(4):
                lost = [outside.ask(f"http://{number}.invalid", 0.1) for number in range(8)]
                assert set(await asyncio.gather(*lost)) == {"no answer within 0.1 s"}
            assert await outside.ask(address.replace("127.0.0.1", "localhost"), 2) is None
        finally:
            answered.set()


async def test_a_server_that_speaks_no_tls_is_said_in_words() -> None:
    async with answering(b"hello\r\n") as (address, _), Outside() as outside:
        assert await outside.ask(address.replace("http", "https"), 1) == "no TLS is spoken there"
