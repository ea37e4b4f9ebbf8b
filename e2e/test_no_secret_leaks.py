"""Promise 5: no key appears in a spec, status, event, log, metric, ConfigMap, record or file.

Each key is used, and refused by somebody who says it back in his refusal, as some do; it is replaced by one that no
header can hold, and calls break in the middle of it. Then everything that can be read without a right to Secrets is
searched. It looks for twelve characters of a key in a row, in any spelling.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from livekit import api

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.caller import Caller, Line
from e2e.caller.line import Seat
from e2e.operating import Fleet, OperatorProcess, fleet_of, install_rights, remove_agents
from e2e.pod_processes import PodProcesses
from e2e.processes import kill_calls_of, read
from e2e.providers import Control, Providers
from e2e.providers.wire import HearingMode
from e2e.redis_server import RedisServer, run_redis
from e2e.secrecy import Places, Secret, in_memory_of
from e2e.working import agent_manifest, pool_manifest, replace_file
from voicefleet.names import CONTROL_PORT, CONTROL_TOKEN_DIRECTORY, SECRETS_DIRECTORY, STATE_PATH

AGENT = "discreet"
START_SECONDS = 150.0
LISTEN_SECONDS = 60.0
PROVIDERS = ("deepgram", "openai", "cartesia")
ASKS = "Where is my order?"
# Until a worker has seen that the files of its Secrets are others.
SEEN_SECONDS = 4.0
# All that makes it say more, or see more.
TELLING = ("--log-level", "debug", "--watch-secrets")
pytestmark = pytest.mark.timeout(420)


def made_up(prefix: str = "") -> str:
    return prefix + secrets.token_hex(20)


@dataclass
class Service:
    """Whoever else is sent a key: a tool, a look-up, a receiver of records. Broken, it repeats what it was sent."""

    url: str = ""
    is_broken: bool = False
    sent: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.sent.append(f"{request.path} {dict(request.headers)} {await request.text()}")
        if self.is_broken:
            return web.json_response({"error": f"not with {dict(request.headers)}"}, status=401)
        return web.json_response({"status": "sent", "name": "Ada"})


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


@pytest.fixture(scope="module")
def hearing() -> HearingMode:
    return "script"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    with run_redis(tmp_path / "redis") as running:
        yield running


def agent_with(service: Service) -> dict[str, Any]:
    """Return an agent that shows a key to everybody whom a spec can name."""
    agent = agent_manifest(AGENT)
    agent["metadata"] = {"name": AGENT}
    spec = agent["spec"]
    http = {"url": f"{service.url}/orders", "auth": {"basic": key_of("tool")}}
    spec["agents"][0]["tools"] = ["orders"]
    spec["tools"] = [{"name": "orders", "description": "Tells where an order is.", "http": http}]
    spec["variables"]["lookup"] = {"url": f"{service.url}/lookup", "auth": key_of("lookup")}
    spec["billing"] = {"webhook": {"url": f"{service.url}/records", "signingSecret": key_of("signing")}}
    spec["worker"] |= {"sessionsPerWorker": 4, "logLevel": "debug"}
    spec["scaling"] = {"mode": "External", "min": 1, "max": 2, "warmFloorSlots": 0}
    spec["replicas"] = 1
    return agent


def key_of(name: str) -> dict[str, str]:
    return {"name": name, "key": "api-key"}


@dataclass
class Trial:
    """A fleet with all its keys, and everybody who is shown one."""

    bench: Bench
    fleet: Fleet
    operator: OperatorProcess
    control: Control
    line: Line
    service: Service
    redis: RedisServer
    folder: Path
    keys: list[Secret] = field(default_factory=list)
    places: Places = field(default_factory=Places)

    def put(self, name: str, value: str, *, key: str = "api-key", within: str = "{}", **beside: str) -> None:
        """Put a key into its Secret, and into the files of whoever mounts it, as a kubelet would."""
        self.keys.append(Secret(name, value))
        text = within.format(value)
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {**beside, key: text}}
        self.bench.kubectl("apply", "-n", self.fleet.namespace, "-f", "-", stdin=json.dumps(body))
        for file in self.folder.glob(f"*{SECRETS_DIRECTORY}/{name}/{key}"):
            replace_file(file, text)

    def see(self, *words: str) -> str:
        """Ask as somebody who may read all but Secrets."""
        return self.bench.kubectl("-n", self.fleet.namespace, *words, timeout_seconds=60).stdout

    def workers(self) -> dict[str, str]:
        """Return the address of each worker's control port, by its pod."""
        pods = self.fleet.pods().items()
        return {name: f"http://{pod['status']['podIP']}:{CONTROL_PORT}" for name, pod in pods}

    def processes(self) -> list[int]:
        """Return the workers' own processes."""
        running = Path("/proc").glob("[0-9]*/cmdline")
        return [int(path.parent.name) for path in running if str(self.folder) in read(path)]

    async def until(self, probe: Callable[[], object], what: str) -> None:
        await asyncio.to_thread(wait_for, probe, what, within_seconds=LISTEN_SECONDS)

    async def until_sent(self, path: str, since: int = 0) -> None:
        """Wait until somebody has sent something there."""
        await self.until(lambda: any(sent.startswith(path) for sent in self.service.sent[since:]), path)

    async def call(self, act: Callable[[Caller], Awaitable[object]]) -> None:
        """Let a caller be greeted, ask, and hang up, whatever becomes of the answer."""
        self.control.set_script([ASKS] * 4)
        seat = Seat.made_up(f"{self.fleet.namespace}.{AGENT}")
        async with Caller(self.line, seat=seat, gap_ms=60_000) as caller:
            await caller.listen(timeout_seconds=LISTEN_SECONDS)
            await act(caller)
            await self._look_into(seat.room)
        said = caller.report().as_text()
        self.places.add(f"what {seat.identity} heard", said)
        print(said)

    async def _look_into(self, room: str) -> None:
        """Keep what LiveKit tells of a call to whoever has a key to it."""
        livekit = self.bench.livekit
        async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as asked:
            rooms = await asked.room.list_rooms(api.ListRoomsRequest(names=[room]))
            there = await asked.room.list_participants(api.ListParticipantsRequest(room=room))
            self.places.add(f"room {room}", f"{rooms} {there} {await asked.agent_dispatch.list_dispatch(room)}")


@pytest.fixture
async def trial(
    *,
    bench: Bench,
    providers: Providers,
    namespace: str,
    line: Line,
    service: Service,
    shared: RedisServer,
    tmp_path: Path,
) -> AsyncIterator[Trial]:
    install_rights(bench, namespace, f"watchNamespaces={{{namespace}}}", "watchSecrets=true")
    operator = OperatorProcess(bench, namespace, log=tmp_path / "operator.log", works_in=(namespace,), flags=TELLING)
    pool = pool_manifest(bench.livekit.ws_url, providers)
    pool["spec"]["redis"] = {"urlFrom": key_of("redis")}
    control = Control(providers.control_url)
    control.reset()
    control.set_rules([{"match": "(?i)order", "tool_call": {"name": "orders"}}])
    async with AsyncExitStack() as stack:
        fleet = stack.enter_context(fleet_of(bench, namespace, AGENT))
        trial = Trial(bench, fleet, operator, control, line, service, shared, tmp_path / "pods")
        put_all(trial)
        operator.start()
        stack.callback(operator.stop)
        for manifest in (pool, agent_with(service)):
            bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
        stack.callback(remove_agents, bench, namespace)
        await stack.enter_async_context(PodProcesses(bench, namespace, AGENT, trial.folder).kept())
        await asyncio.to_thread(
            wait_for, lambda: fleet.status().get("freeSlots"), "a worker that takes calls", within_seconds=START_SECONDS
        )
        yield trial


def put_all(trial: Trial) -> None:
    for provider in PROVIDERS:
        trial.put(provider, made_up("sk-"))
    for name in ("lookup", "signing"):
        trial.put(name, made_up())
    trial.put("tool", made_up(), within="desk:{}")
    trial.put("redis", trial.redis.password, within=f"redis://:{{}}@127.0.0.1:{trial.redis.port}/0")
    livekit = trial.bench.livekit
    trial.put("livekit", livekit.api_secret, key="api-secret", **{"api-key": livekit.api_key})


async def ask(caller: Caller) -> None:
    await caller.say(ASKS, timeout_seconds=LISTEN_SECONDS)


async def all_is_well(trial: Trial) -> None:
    await trial.call(ask)
    for path in ("/lookup", "/orders", "/records"):
        await trial.until_sent(path)


async def services_refuse(trial: Trial) -> None:
    """The look-up, the tool and the receiver of records say the key back in their refusals."""
    trial.service.is_broken, since = True, len(trial.service.sent)
    await trial.call(ask)
    for path in ("/lookup", "/orders", "/records"):
        await trial.until_sent(path, since)
    trial.service.is_broken = False


async def providers_refuse(trial: Trial) -> None:
    """All of them, in the middle of a call; the pool's status says so."""

    async def ask_in_vain(caller: Caller) -> None:
        for provider in PROVIDERS:
            trial.control.set_keys(provider, [made_up()])
        await ask(caller)

    await trial.call(ask_in_vain)
    await trial.until(lambda: "CredentialsRefused" in trial.see("get", "pp", "-o", "json"), "a pool that says so")
    trial.control.accept_any_key()


async def no_header_can_hold_the_keys(trial: Trial) -> None:
    """Whoever pastes a key with a line break makes libraries complain, with the value that they complain of."""
    for provider in PROVIDERS:
        trial.put(provider, f"{made_up()}\n{made_up()}")
    await asyncio.sleep(SEEN_SECONDS)
    await trial.call(ask)
    for provider in PROVIDERS:
        trial.put(provider, made_up("sk-"))
    await asyncio.sleep(SEEN_SECONDS)


async def a_call_crashes(trial: Trial) -> None:
    async def kill(caller: Caller) -> None:
        await ask(caller)
        for worker in trial.processes():
            kill_calls_of(worker)
        await caller.hold(3)

    since = len(trial.service.sent)
    await trial.call(kill)
    await trial.until_sent("/records", since)


async def redis_is_lost(trial: Trial) -> None:
    """Its address holds the password, and clients like to name the address that they cannot reach."""
    with trial.redis.raw_client() as client:
        for name in client.scan_iter():
            trial.places.add(f"{name} in Redis", client.dump(name) or b"")
    trial.redis.kill()
    await trial.call(ask)


async def livekit_refuses(trial: Trial) -> None:
    """A second worker comes up with another key than LiveKit's."""
    trial.put("livekit", made_up(), key="api-secret", **{"api-key": trial.bench.livekit.api_key})
    trial.fleet.patch({"replicas": 2})
    await trial.until(lambda: "LiveKit" in trial.fleet.message(), "a status that says that LiveKit refuses the key")


ACTS = (
    all_is_well,
    services_refuse,
    providers_refuse,
    no_header_can_hold_the_keys,
    a_call_crashes,
    redis_is_lost,
    livekit_refuses,
)


async def look_everywhere(trial: Trial) -> list[str]:
    """Name the keys that stand where somebody may read them who has no right to Secrets."""
    places = trial.places
    kinds = trial.see("api-resources", "--verbs=list", "-o", "name").split()
    for kind in [kind for kind in kinds if kind != "secrets"]:
        places.add(kind, trial.see("get", kind, "--all-namespaces", "-o", "json"))
    places.add("descriptions", trial.see("describe", "va,pp,pods,configmaps,events"))
    for path in ("/metrics", "/livez", "/readyz"):
        places.add(f"the operator's {path}", trial.operator.get(path))
    places.add("the operator's log", trial.operator.log.read_bytes())
    for pod, url in trial.workers().items():
        await hear(places, pod, url, trial.fleet.token(trial.fleet.pods()[pod]))
    for folder in trial.folder.iterdir():
        places.add_files(folder, but=(SECRETS_DIRECTORY, CONTROL_TOKEN_DIRECTORY))
    for process in trial.processes():
        places.add_process(process)
    places.add("records", "".join(sent for sent in trial.service.sent if sent.startswith("/records")))
    return places.holding([*trial.keys, *made_by_us(trial)])


async def hear(places: Places, pod: str, url: str, token: str) -> None:
    """Keep what a worker says to whoever asks it, and to the operator."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        for path in ("/metrics", "/health", "/livez", "/readyz"):
            async with session.get(url + path) as answer:
                places.add(f"{path} of {pod}", await answer.read())
        async with session.get(url + STATE_PATH) as stream:
            places.add(f"the state of {pod}", await stream.content.readline())


def made_by_us(trial: Trial) -> list[Secret]:
    """Return the keys that nobody has put there: the operator has made them."""
    ours = {"lookup", "signing", "tool", "redis", "livekit", *PROVIDERS}
    listed = json.loads(trial.see("get", "secrets", "-o", "json"))["items"]
    return [
        Secret(f"{secret['metadata']['name']}/{key}", base64.b64decode(value).decode())
        for secret in listed
        if secret["metadata"]["name"] not in ours
        for key, value in secret.get("data", {}).items()
    ]


async def test_no_key_is_found_anywhere_whoever_refuses_repeats_or_loses_it(trial: Trial) -> None:
    for act in ACTS:
        print(f"--- {act.__name__.replace('_', ' ')}")
        await act(trial)

    assert await look_everywhere(trial) == []
    print(f"{len(trial.keys)} keys, {len(made_by_us(trial))} of our own making, in {len(trial.places.texts)} places:")
    print(f"{sum(map(len, trial.places.texts.values()))} bytes")

    # It sees when Secrets are written, and holds none but the tokens that it makes itself.
    ours = {secret.name for secret in made_by_us(trial)}
    held = set(in_memory_of(trial.operator.pid, [*trial.keys, *made_by_us(trial)]))
    assert held
    assert held <= ours

    # So much for what the search would find.
    slipped = base64.b64encode(f"key={trial.keys[0].value}".encode()).decode()
    trial.see("annotate", "va", AGENT, f"note={slipped}")
    found = {"deepgram in descriptions", "deepgram in voiceagents.voicefleet.dev"}
    assert set(await look_everywhere(trial)) == found


@pytest.mark.parametrize(
    "spell",
    [
        lambda key: f"Bearer {key}",
        lambda key: key[7:19],
        lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
        lambda key: base64.urlsafe_b64encode(f"it is {key}".encode()).decode(),
        lambda key: key.encode().hex(),
    ],
    ids=["whole", "in part", "as a browser signs in", "in a URL", "in hexadecimal"],
)
def test_a_key_is_found_however_it_is_spelt(spell: Callable[[str], str]) -> None:
    key, other = Secret("mine", made_up("sk-")), Secret("other", made_up("sk-"))
    places = Places()
    places.add("log", f"something {spell(key.value)} something")

    assert places.holding([key, other]) == ["mine in log"]
