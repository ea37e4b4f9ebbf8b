"""The bench itself: what it promises to every other test."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from livekit import api

from e2e.bench import Bench, BenchError, BenchOptions, CommandFailed
from e2e.bench.api import Api
from e2e.bench.paths import REPOSITORY, Layout, benches_directory
from e2e.bench.process import processes_of
from e2e.bench.registry import is_alive, sweep_dead
from e2e.bench.waiting import wait_for

_SMALL = BenchOptions(livekit=False, redis=False, kwok_nodes=0)
_OWNER = """
import sys
from e2e.bench import Bench, BenchOptions
with Bench.up(BenchOptions(kwok_nodes=1, postgres=True)) as bench:
    print(bench.dir, bench.keeper_pid, flush=True)
    sys.stdin.read()
"""


def _pod(name: str, **labels: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "main", "image": "none"}], "nodeSelector": {"type": "kwok"}},
        }
    )


def _cli(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "e2e.bench", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


@contextmanager
def _owned_elsewhere() -> Iterator[tuple[subprocess.Popen[str], Path, int]]:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    with owner:
        directory, keeper_pid = owner.stdout.readline().split()
        try:
            yield owner, Path(directory), int(keeper_pid)
        finally:
            owner.kill()


def test_a_simulated_pod_turns_running_and_has_a_loopback_address(bench: Bench, namespace: str) -> None:
    bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=_pod("one"))

    bench.kubectl("wait", "-n", namespace, "pod/one", "--for=condition=Ready", "--timeout=20s")

    status = json.loads(bench.kubectl("get", "pod", "one", "-n", namespace, "-o", "json").stdout)["status"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("127.")


@pytest.mark.parametrize("end", ["Failed", "Succeeded"])
def test_a_simulated_pod_ends_as_its_annotation_says(bench: Bench, namespace: str, end: str) -> None:
    bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=_pod("one"))
    bench.kubectl("wait", "-n", namespace, "pod/one", "--for=condition=Ready", "--timeout=20s")

    bench.kubectl("annotate", "-n", namespace, "pod/one", f"bench.voicefleet.dev/end={end}")

    bench.kubectl("wait", "-n", namespace, "pod/one", f"--for=jsonpath={{.status.phase}}={end}", "--timeout=20s")


def test_a_deleted_namespace_goes_away(bench: Bench) -> None:
    bench.kubectl("create", "namespace", "short-lived")
    bench.kubectl(
        "apply", "-n", "short-lived", "-f", "-", stdin='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'
    )

    bench.kubectl("delete", "namespace", "short-lived", "--timeout=60s")

    assert bench.kubectl("get", "namespace", "short-lived", check=False).returncode == 1


def test_a_fresh_service_account_may_do_nothing(bench: Bench, namespace: str) -> None:
    bench.kubectl("create", "serviceaccount", "nobody", "-n", namespace)

    kubeconfig = bench.kubeconfig_for(namespace, "nobody")

    with pytest.raises(CommandFailed, match=f"system:serviceaccount:{namespace}:nobody.*cannot list"):
        bench.kubectl("get", "pods", kubeconfig=kubeconfig)


def test_a_service_account_may_do_what_its_role_says_and_no_more(bench: Bench, namespace: str) -> None:
    bench.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    bench.kubectl("create", "role", "reader", "--verb=list", "--resource=pods", "-n", namespace)
    binding = ("rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader")
    bench.kubectl("create", *binding, "-n", namespace)

    kubeconfig = bench.kubeconfig_for(namespace, "reader")

    wait_for(
        lambda: bench.kubectl("get", "pods", kubeconfig=kubeconfig, check=False).returncode == 0,
        "the role reaches the authorizer",
    )
    with pytest.raises(CommandFailed, match="cannot list resource"):
        bench.kubectl("get", "secrets", kubeconfig=kubeconfig)


def test_eviction_of_a_guarded_pod_is_refused_and_of_another_is_not(bench: Bench, namespace: str) -> None:
    for name, busy in (("busy", "true"), ("idle", "false")):
        bench.kubectl("apply", "-n", namespace, "-f", "-", stdin=_pod(name, busy=busy))
    bench.kubectl("create", "pdb", "busy", "--selector=busy=true", "--min-available=1", "-n", namespace)
    bench.kubectl("wait", "-n", namespace, "pod/busy", "pod/idle", "--for=condition=Ready", "--timeout=20s")
    bench.kubectl("wait", "-n", namespace, "pdb/busy", "--for=jsonpath={.status.currentHealthy}=1", "--timeout=20s")
    client = Api(bench.api_url, bench.ca_file, bench.admin_token)

    def evict(name: str) -> int:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        return client.post(f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", eviction).status

    assert evict("busy") == 429
    assert evict("idle") == 201


async def test_livekit_answers_who_has_the_key_and_nobody_else(bench: Bench) -> None:
    livekit = bench.livekit
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as client:
        room = await client.room.create_room(api.CreateRoomRequest(name="bench"))
        assert room.name == "bench"

    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, "x" * 32) as client:
        with pytest.raises(api.TwirpError):
            await client.room.list_rooms(api.ListRoomsRequest())


async def test_livekit_stores_sip_trunks_since_redis_is_on_its_bus(bench: Bench) -> None:
    livekit = bench.livekit
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as client:
        trunk = api.SIPOutboundTrunkInfo(name="out", address="127.0.0.1", numbers=["+12025550100"])
        made = await client.sip.create_outbound_trunk(api.CreateSIPOutboundTrunkRequest(trunk=trunk))

        listed = await client.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())

    assert made.sip_trunk_id in {item.sip_trunk_id for item in listed.items}


def test_redis_answers_who_has_the_password_and_nobody_else(bench: Bench) -> None:
    with redis.Redis.from_url(bench.redis_url) as client:
        assert client.ping()
    anonymous = bench.redis_url.replace(bench.redis_url.split("@")[0], "redis://").replace("redis://@", "redis://")
    with redis.Redis.from_url(anonymous) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_helm_installs_a_chart_and_takes_it_away(bench: Bench, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    (tmp_path / "templates" / "map.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tiny}\n")

    bench.helm("install", "tiny", str(tmp_path), "--namespace", namespace, "--wait")

    assert "configmap/tiny" in bench.kubectl("get", "configmaps", "-n", namespace, "-o", "name").stdout
    bench.helm("uninstall", "tiny", "--namespace", namespace, "--wait")
    assert "configmap/tiny" not in bench.kubectl("get", "configmaps", "-n", namespace, "-o", "name").stdout


def test_postgres_answers_on_request() -> None:
    with Bench.up(BenchOptions(livekit=False, redis=False, kwok_nodes=0, postgres=True)) as small:
        done = subprocess.run(
            ["psql", small.postgres_url, "--tuples-only", "--command", "select 6 * 7"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )

    assert done.stdout.strip() == "42"


def test_two_benches_run_side_by_side_and_know_nothing_of_each_other(bench: Bench) -> None:
    with Bench.up(BenchOptions()) as other:
        other.kubectl("create", "namespace", "only-here")

        assert bench.kubectl("get", "namespace", "only-here", check=False).returncode == 1
        stranger = Api(bench.api_url, bench.ca_file, other.admin_token)
        assert stranger.get("/api/v1/nodes").status == 401
        assert other.livekit.ws_url != bench.livekit.ws_url


def test_nothing_is_left_after_a_clean_end() -> None:
    with Bench.up(_SMALL) as small:
        directory = small.dir
        assert len(processes_of(directory)) >= 4

    assert processes_of(directory) == []
    assert not directory.exists()


def test_nothing_is_left_when_the_owner_is_killed() -> None:
    with _owned_elsewhere() as (owner, directory, _):
        assert len(processes_of(directory)) >= 8

        owner.send_signal(signal.SIGKILL)

        wait_for(lambda: not processes_of(directory), "every process of the bench ends")
        wait_for(lambda: not is_alive(Layout(directory)), "its keeper lets go")
        assert [entry.name for entry in directory.iterdir()] == ["logs"]


def test_nothing_is_left_when_the_owner_is_killed_before_the_bench_is_up() -> None:
    name = f"early{os.getpid()}"
    command = [sys.executable, "-m", "e2e.bench", "up", "--name", name]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert "kube-apiserver" in owner.stdout.readline()
        (directory,) = benches_directory().glob(f"{name}-*")
        assert wait_for(lambda: processes_of(directory), "the first part starts")

        owner.send_signal(signal.SIGKILL)

    wait_for(lambda: not is_alive(Layout(directory)), "its keeper lets go")
    assert processes_of(directory) == []
    assert [entry.name for entry in directory.iterdir()] == ["logs"]


def test_nothing_is_left_when_the_keeper_is_killed() -> None:
    with _owned_elsewhere() as (_, directory, keeper_pid):
        os.kill(keeper_pid, signal.SIGKILL)

        wait_for(lambda: not processes_of(directory), "every process of the bench ends")
        sweep_dead()
        assert [entry.name for entry in directory.iterdir()] == ["logs"]


def test_a_part_that_dies_is_named_with_its_last_words(capfd: pytest.CaptureFixture[str]) -> None:
    with Bench.up(BenchOptions(livekit=False, redis=False)) as small:
        victim = next(pid for pid in processes_of(small.dir) if "kwok" in str(Path(f"/proc/{pid}/exe").readlink()))
        os.kill(victim, signal.SIGKILL)

        deaths = wait_for(small.deaths, "the keeper notices")
        logs = small.logs_dir

    assert "kwok was killed by SIGKILL" in deaths["kwok"]
    assert str(logs / "kwok.log") in deaths["kwok"]
    assert (logs / "kwok.log").is_file()
    assert f"logs are kept in {logs}" in capfd.readouterr().err


def test_a_part_that_does_not_come_up_is_named_with_its_last_words() -> None:
    options = BenchOptions(livekit=False, redis=False, apiserver_flags=("--no-such-flag",))

    with pytest.raises(BenchError, match=r"kube-apiserver ended with status 1(.|\n)*unknown flag: --no-such-flag"):
        Bench.start(options)


def test_logs_are_kept_when_an_exception_passes_through(capfd: pytest.CaptureFixture[str]) -> None:
    def fail_inside() -> None:
        with Bench.up(_SMALL) as small:
            kept.append(small)
            raise ZeroDivisionError

    kept: list[Bench] = []
    with pytest.raises(ZeroDivisionError):
        fail_inside()

    logs = kept[0].logs_dir

    assert (logs / "kube-apiserver.log").is_file()
    assert str(logs) in capfd.readouterr().err
    assert not kept[0].kubeconfig.exists()


def test_a_bench_of_the_command_line_lives_until_down() -> None:
    name = f"cli{os.getpid()}"
    assert _cli("up", "--name", name, "--no-livekit").returncode == 0
    try:
        attached = Bench.attach(name)
        assert attached.kubectl("get", "nodes").stdout.count("Ready") == 1
        assert f"{name} is up" in _cli("status").stdout
        assert "Starting controller" in _cli("logs", "kube-controller-manager", "--name", name).stdout
        assert "kwok-0" in _cli("kubectl", "--name", name, "--", "get", "nodes").stdout
        again = _cli("up", "--name", name)
        assert again.returncode == 1
        assert "is up already" in again.stderr
    finally:
        assert _cli("down", "--name", name).returncode == 0

    assert processes_of(attached.dir) == []
    assert not attached.dir.exists()


def test_building_without_go_says_what_to_install(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}

    done = _cli("build", "--only", "etcd", environment=environment)

    assert done.returncode == 1
    assert done.stderr == "bench: go is not on PATH: install Go 1.26 or later\n"
