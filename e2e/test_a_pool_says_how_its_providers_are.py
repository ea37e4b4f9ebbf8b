"""A pool's status says how each provider is for the whole fleet, what a person should do, and who holds it back."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.fake_workers import FakeWorker
from e2e.operating import ROOT, Fleet, OperatorProcess, confined_operator, fleet_of, holds_for, remove_agents
from voicefleet.names import ANNOTATION_REFRESHED_AT

SAMPLES = ROOT / "manifests" / "samples"
AGENT, POOL = "receptionist", "default"
PROVIDERS = ("deepgram", "openai", "cartesia")
PROBE_SECONDS = 5
# Figures of a state that lasts are written twice a minute.
FIGURES_SECONDS = 45.0
# Fifteen until they count as alone, and half a minute until somebody looks.
ALONE_SECONDS = 60.0
pytestmark = pytest.mark.timeout(180)


class Pool:
    """What a test asks about a pool."""

    def __init__(self, bench: Bench, namespace: str) -> None:
        self.bench = bench
        self.namespace = namespace

    def read(self) -> dict[str, Any]:
        """Return the pool as a person sees it, or nothing if it is gone."""
        text = self.bench.kubectl("get", "pp", POOL, "-n", self.namespace, "-o", "yaml", "--ignore-not-found").stdout
        body: dict[str, Any] = yaml.safe_load(text) or {}
        return body

    def provider(self, name: str = "deepgram") -> dict[str, Any]:
        """Return what is said of one provider."""
        providers: list[dict[str, Any]] = self.read().get("status", {}).get("providers", [])
        return next((each for each in providers if each["name"] == name), {})

    def says(self, kind: str) -> str:
        """Return one condition as `status reason`."""
        found = self._condition(kind)
        return f"{found['status']} {found['reason']}" if found else ""

    def words(self, kind: str) -> str:
        """Return the words of one condition."""
        return str(self._condition(kind).get("message", ""))

    def _condition(self, kind: str) -> dict[str, Any]:
        conditions: list[dict[str, Any]] = self.read().get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def version(self) -> str:
        """Return what changes with every write."""
        return str(self.read()["metadata"]["resourceVersion"])

    def events(self) -> list[str]:
        """Return the reasons of what was told of it."""
        where = ("-n", self.namespace, "--field-selector", "involvedObject.kind=ProviderPool")
        return self.bench.kubectl("get", "events", *where, "-o", "jsonpath={.items[*].reason}").stdout.split()


@pytest.fixture
def operator(bench: Bench, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    with confined_operator(bench, namespace, tmp_path / "operator.log", probes=True) as process:
        wait_for(process.leads, "an operator that leads")
        yield process


def apply_pool(bench: Bench, namespace: str, **hearing: object) -> Pool:
    """Apply the sample's pool, without probes but for those that the test wants of who hears."""
    manifest = yaml.safe_load((SAMPLES / "providerpool.yaml").read_text())
    for provider in manifest["spec"]["providers"]:
        provider["probe"] = {"enabled": False}
    manifest["spec"]["providers"][0] |= hearing
    # Of the workers here only those are asked about it that say that they were given one.
    manifest["spec"]["redis"] = {"url": "redis://redis.shared.svc:6379"}
    bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(manifest))
    return Pool(bench, namespace)


@pytest.fixture
def fleet(bench: Bench, operator: OperatorProcess, namespace: str) -> Iterator[Fleet]:
    """One worker that has had an answer of every provider."""
    assert operator.leads()
    apply_pool(bench, namespace)
    bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / "voiceagent.yaml"))
    with fleet_of(bench, namespace, AGENT) as fleet:
        fleet.patch({"scaling": {"mode": "External"}, "replicas": 1})
        fleet.wait_for(1)
        fleet.serve()
        for provider in PROVIDERS:
            worker_of(fleet).use(provider, answers=1)
        yield fleet
        remove_agents(bench, namespace)


@pytest.fixture
def pool(bench: Bench, fleet: Fleet) -> Pool:
    pool = Pool(bench, fleet.namespace)
    wait_for(lambda: pool.says("Ready") == "True Ready", "a pool whose providers are well")
    return pool


def worker_of(fleet: Fleet) -> FakeWorker:
    (worker,) = fleet.workers.values()
    return worker


def say(fleet: Fleet, provider: str = "deepgram", **word: object) -> None:
    """Have the worker say something else of a provider."""
    known = worker_of(fleet).providers
    known[provider] = {**known[provider], **word}


def test_each_provider_is_told_with_its_use_its_latency_and_its_errors(fleet: Fleet, pool: Pool) -> None:
    assert pool.read()["status"]["healthy"] == "3/3"
    worker_of(fleet).use("deepgram", answers=90, seconds=0.35)
    worker_of(fleet).use("deepgram", answers=8, errors=2, seconds=2.2)
    say(fleet, inUse=7)

    wait_for(lambda: pool.provider().get("inUse") == 7, "its use in the status", within_seconds=FIGURES_SECONDS)
    told = pool.provider()
    assert (told["state"], told["quota"], told["errorFraction"]) == ("Closed", 100, 0.02)
    assert (told["p50Milliseconds"], told["p95Milliseconds"]) == (400, 2500)
    header, row = pool.bench.kubectl("get", "pp", POOL, "-n", pool.namespace).stdout.splitlines()
    assert header.split()[:4] == ["NAME", "READY", "HEALTHY", "AGENTS"]
    assert row.split()[:4] == [POOL, "True", "3/3", "1"]


def test_a_refused_key_is_told_with_the_name_of_its_secret_and_is_over_when_it_is(fleet: Fleet, pool: Pool) -> None:
    began = time.time()
    say(fleet, state="Open", cause="CredentialsRefused", since=began)

    wait_for(lambda: pool.says("CredentialsAccepted") == "False CredentialsRefused", "words about the key")
    assert f"'deepgram' (Stt) refuses the key of Secret {pool.namespace}/deepgram, key api-key" in (
        pool.words("CredentialsAccepted")
    )
    assert pool.says("Stalled") == "True CredentialsRefused"
    assert pool.says("Ready") == "False JobWithoutProvider"
    told = pool.provider()
    assert told["state"] == "CredentialsRefused"
    assert told["since"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
    assert f"Secret {pool.namespace}/deepgram, key api-key" in told["lastError"]
    assert pool.read()["status"]["healthy"] == "2/3"
    wait_for(lambda: "CredentialsRefused" in pool.events(), "an event")

    say(fleet, state="Closed", cause=None, since=time.time())

    wait_for(lambda: pool.says("CredentialsAccepted") == "True AsWanted", "that it is over")
    assert pool.says("Ready") == "True Ready"
    assert "refuses the key" in pool.provider()["lastError"]


def test_a_refused_key_has_the_kubelet_look_once_whether_there_is_another(fleet: Fleet, pool: Pool) -> None:
    assert pool.says("Ready") == "True Ready"
    assert looked_at(fleet) == ""
    say(fleet, state="Open", cause="CredentialsRefused", since=time.time())

    wait_for(lambda: looked_at(fleet), "the moment on the pod, at which its kubelet looks")
    moment = looked_at(fleet)
    assert holds_for(lambda: looked_at(fleet) == moment, 3)


def looked_at(fleet: Fleet) -> str:
    (pod,) = fleet.pods().values()
    return str(pod["metadata"].get("annotations", {}).get(ANNOTATION_REFRESHED_AT, ""))


def test_workers_that_do_not_reach_the_pools_redis_are_told_until_they_do(fleet: Fleet, pool: Pool) -> None:
    worker_of(fleet).shares = False

    alone = "; 1 of 1 workers decides alone: it does not reach the pool's Redis"
    wait_for(lambda: alone in pool.words("Ready"), "words about who is alone", within_seconds=ALONE_SECONDS)
    assert pool.says("Ready") == "True Ready"

    worker_of(fleet).shares = True

    wait_for(lambda: alone not in pool.words("Ready"), "that it is over", within_seconds=10)


def test_a_pool_that_an_agent_uses_is_held_back_until_the_agent_is_gone(bench: Bench, fleet: Fleet, pool: Pool) -> None:
    bench.kubectl("delete", "pp", POOL, "-n", pool.namespace, "--wait=false")

    wait_for(lambda: pool.says("Stalled") == "True InUse", "words about who holds it back")
    assert f"1 VoiceAgent uses it: {pool.namespace}/{AGENT}. Delete them, or name another pool" in pool.words("Stalled")
    assert pool.says("Ready") == "True Ready"
    assert holds_for(pool.read, 3)
    # An agent goes on as if nothing had been: its workers are as they were.
    assert fleet.says("Ready") == "True Ready"

    bench.kubectl("delete", "va", AGENT, "-n", pool.namespace, "--timeout=30s")

    wait_for(lambda: pool.read() == {}, "the pool to go with its last agent", within_seconds=10)


def test_a_pool_is_let_go_at_once_when_its_agent_takes_another(bench: Bench, fleet: Fleet, pool: Pool) -> None:
    other = yaml.safe_load((SAMPLES / "providerpool.yaml").read_text())
    other["metadata"]["name"] = "other"
    bench.kubectl("apply", "-n", pool.namespace, "-f", "-", stdin=yaml.safe_dump(other))
    bench.kubectl("delete", "pp", POOL, "-n", pool.namespace, "--wait=false")
    wait_for(lambda: pool.says("Stalled") == "True InUse", "a pool that is held back")

    fleet.patch({"providerPoolRef": {"name": "other"}})

    wait_for(lambda: pool.read() == {}, "the pool to go", within_seconds=10)


def test_figures_that_change_all_the_time_are_no_reason_to_write_all_the_time(fleet: Fleet, pool: Pool) -> None:
    versions, deadline = [pool.version()], time.monotonic() + 12
    while time.monotonic() < deadline:
        for provider in PROVIDERS:
            worker_of(fleet).use(provider, answers=3, seconds=time.monotonic() % 2)
            say(fleet, provider, inUse=int(time.monotonic() * 10) % 50)
        if (version := pool.version()) != versions[-1]:
            versions.append(version)
        time.sleep(0.1)

    assert len(versions) <= 2


@contextmanager
def answering(port: int) -> Iterator[list[dict[str, str]]]:
    """Answer 401 to everybody, and keep the headers that they sent."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append({name.lower(): value for name, value in self.headers.items()})
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_address_where_nobody_answers_is_told_before_anybody_calls_and_its_return_noticed(
    bench: Bench, operator: OperatorProcess, namespace: str
) -> None:
    assert operator.leads()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    probe = {"enabled": True, "intervalSeconds": PROBE_SECONDS, "timeoutMilliseconds": 1000}

    pool = apply_pool(bench, namespace, baseUrl=f"ws://127.0.0.1:{port}/v1", probe=probe)

    wait_for(lambda: pool.provider().get("state") == "Unreachable", "that nobody is there")
    assert "the operator does not reach it: connection refused" in pool.provider()["lastError"]
    assert pool.says("Ready") == "False JobWithoutProvider"
    assert "no provider of role Stt is well: deepgram is Unreachable" in pool.words("Ready")

    with answering(port) as asked:
        wait_for(lambda: pool.provider().get("state") == "Closed", "that somebody is there", within_seconds=15)
        assert pool.says("Ready") == "Unknown NothingKnown"
        first = len(asked)
        time.sleep(3 * PROBE_SECONDS)
        assert 1 <= len(asked) - first <= 3
        assert not [headers for headers in asked if {"authorization", "cookie", "xi-api-key"} & headers.keys()]

    wait_for(lambda: pool.provider().get("state") == "Unreachable", "that it is gone", within_seconds=20)
    assert json.loads(bench.kubectl("get", "pp", POOL, "-n", namespace, "-o", "json").stdout)["status"]["agents"] == 0
