"""A real node with the product's worker on it, the chart's guards and rights, and an operator that a test may kill.

Workers are pods of a kubelet and not processes of the test: there a deletion ends containers, a probe that fails
starts them anew, and a drain evicts, so a call that our operator puts at risk is really cut.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import yaml

from e2e.bench import Bench, BenchOptions
from e2e.bench.waiting import wait_for
from e2e.caller.line import Line
from e2e.calls.room import unlimited_cores
from e2e.guarding import render_guards
from e2e.images import build_image
from e2e.operating import Fleet, OperatorProcess, install_rights
from e2e.providers import Providers, start_providers

AGENT = "line"
NAMESPACE = "calls"
SLOTS = 12
REAL_NODE = {"voicefleet.dev/node": "real"}
# As small as the machine; a fleet with all its successors must find room on one node of two cores.
WORKER_SIZE = {"cpu": "100m", "memory": "2Gi", "ephemeralStorage": "512Mi"}
START_SECONDS = 240.0
_KEEP_SECONDS = 0.5
_SECRETS = ("deepgram", "openai", "cartesia")


class KeptOperator(OperatorProcess):
    """An operator that somebody starts again when it has ended, as a Deployment does."""

    def start(self) -> None:
        """Start it, and wait until it leads or stands by; beside twenty calls that may take a while."""
        self._launch()
        wait_for(self._is_ready, "an operator that is ready", within_seconds=START_SECONDS)

    def _is_ready(self) -> bool:
        if self.is_over():
            # It lost the lead that it had just got, for want of an apiserver.
            self._launch()
        return self.get("/readyz").startswith("ok")

    def is_over(self) -> bool:
        """Tell whether it has ended by itself; one that a test has ended is the test's to start."""
        return self._process is not None and self._process.poll() is not None


@dataclass
class Scene:
    """All that a test needs; the operator is whoever leads at the moment."""

    bench: Bench
    fleet: Fleet
    operator: KeptOperator
    log: Path
    ends: int = 0
    """How often an operator has ended by itself."""

    @property
    def line(self) -> Line:
        livekit = self.bench.livekit
        return Line(livekit.ws_url, livekit.api_key, livekit.api_secret)

    @property
    def agent(self) -> str:
        """The name that LiveKit knows the agent by."""
        return f"{NAMESPACE}.{AGENT}"

    def kubectl(self, *words: str, check: bool = True, timeout_seconds: float = 60) -> str:
        """Ask as an administrator, and return the answer, or the refusal where one may come."""
        done = self.bench.kubectl("-n", NAMESPACE, *words, check=check, timeout_seconds=timeout_seconds)
        return done.stdout + ("" if check else done.stderr)

    def wait_until_ready(self, workers: int) -> None:
        """Wait until so many workers take calls."""
        wait_for(
            lambda: self.fleet.status().get("freeSlots", 0) >= workers * SLOTS,
            "workers that take calls",
            within_seconds=START_SECONDS,
        )

    def call_records(self) -> list[dict[str, Any]]:
        """Return the record of each call that has ended."""
        with redis.Redis.from_url(self.bench.redis_url, decode_responses=True) as client:
            entries: Any = client.xrange("voicefleet:records")
        return [json.loads(fields["record"]) for _, fields in entries]

    def another_operator(self) -> KeptOperator:
        """Return an operator that has not been started yet."""
        return KeptOperator(self.bench, NAMESPACE, log=self.log)

    @asynccontextmanager
    async def kept_operator(self) -> AsyncIterator[None]:
        """Start whoever leads anew when it has ended: a lease that cannot be renewed in time ends it."""
        keeping = asyncio.create_task(self._keep_operator())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep_operator(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            if self.operator.is_over():
                self.ends += 1
                # Its token is asked of an apiserver that may be away, too.
                with suppress(Exception):
                    await asyncio.to_thread(self.operator.start)


@contextmanager
def set_scene(folder: Path, *, workers: int) -> Iterator[Scene]:
    """Bring it all up, with so many workers at the least, and take it down at the end."""
    image = build_image("worker")
    with ExitStack() as stack:
        bench = stack.enter_context(Bench.up(BenchOptions(node=True, kwok_nodes=0)))
        node = bench.node
        assert node is not None
        stack.enter_context(unlimited_cores(bench))
        node.import_image(image.archive)
        providers = stack.enter_context(
            start_providers(host=node.host_address, advertise=node.host_address, hearing="script")
        )
        bench.kubectl("create", "namespace", NAMESPACE)
        account = ("get", "serviceaccount", "default", "-n", NAMESPACE)
        wait_for(lambda: bench.kubectl(*account, check=False).returncode == 0, "a ServiceAccount")
        install_rights(bench, NAMESPACE)
        bench.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(render_guards(bench, NAMESPACE)))
        operator = KeptOperator(bench, NAMESPACE, log=folder / "operator.log")
        scene = Scene(bench, Fleet(bench, NAMESPACE, AGENT), operator, folder / "operator.log")
        stack.callback(lambda: scene.operator.stop())  # noqa: PLW0108 - whoever leads by then
        operator.start()
        for manifest in (*_secrets(bench), _pool(bench, providers), _agent(image.name, workers)):
            bench.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(manifest))
        yield scene


def _secrets(bench: Bench) -> list[dict[str, Any]]:
    keys = {"livekit": {"api-key": bench.livekit.api_key, "api-secret": bench.livekit.api_secret}}
    keys |= {name: {"api-key": "any"} for name in _SECRETS} | {"redis": {"url": bench.redis_url}}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        for name, data in keys.items()
    ]


def _pool(bench: Bench, providers: Providers) -> dict[str, Any]:
    offers = (
        ("deepgram", "Stt", providers.deepgram_listen_url),
        ("openai", "Llm", providers.openai_url),
        ("cartesia", "Tts", providers.cartesia_url),
    )
    listed = [
        {"name": name, "role": role, "plugin": name, "baseUrl": url, "apiKey": _key(name, "api-key")}
        for name, role, url in offers
    ]
    access = {"url": bench.livekit.ws_url, "apiKey": _key("livekit", "api-key")}
    access |= {"apiSecret": _key("livekit", "api-secret")}
    return {
        "apiVersion": "voicefleet.dev/v1alpha1",
        "kind": "ProviderPool",
        "metadata": {"name": "default"},
        "spec": {"livekit": access, "providers": listed, "redis": {"urlFrom": _key("redis", "url")}},
    }


def _agent(image: str, workers: int) -> dict[str, Any]:
    """Describe an agent that says nothing and decides nothing, so that holding a call costs as little as it can."""
    worker = {
        "image": image,
        "imagePullPolicy": "Never",
        "sessionsPerWorker": SLOTS,
        "idleProcesses": 1,
        # The shortest there is: calls of a worker that is deleted are cut while the test looks on.
        "drainGraceSeconds": 30,
        "resources": WORKER_SIZE,
        "podTemplate": {"nodeSelector": REAL_NODE},
    }
    return {
        "apiVersion": "voicefleet.dev/v1alpha1",
        "kind": "VoiceAgent",
        "metadata": {"name": AGENT},
        "spec": {
            "providerPoolRef": {"name": "default"},
            "agents": [{"name": "holder", "instructions": "Hold the line."}],
            "conversation": {
                "identification": {"discloseAi": False},
                "turnTaking": {"detection": "Vad"},
                # Its callers say nothing, and nobody is to hang up on them for that.
                "away": {"afterSeconds": 600},
            },
            "worker": worker,
            # Twenty calls within seconds look like the beginning of a crowd; the test says how many workers it wants.
            "scaling": {"mode": "External", "min": 1, "max": 8, "warmFloorSlots": 0},
            "replicas": workers,
        },
    }


def _key(name: str, key: str) -> dict[str, str]:
    return {"name": name, "key": key}
