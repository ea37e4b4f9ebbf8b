"""A bench as its owner sees it: bring one up, use it, take it down."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self, TypeVar

from e2e.bench.api import Api
from e2e.bench.build import find_binary
from e2e.bench.kubeconfig import write_kubeconfig
from e2e.bench.needs import prepare
from e2e.bench.options import BenchError, BenchOptions, Livekit, NodeInfo
from e2e.bench.owner import DOWN_WITHIN_SECONDS, await_ready, detach_keeper, end_keeper, start_keeper
from e2e.bench.packages import require_program
from e2e.bench.paths import Layout
from e2e.bench.registry import create_bench, find_alive, is_alive, read_facts, sweep_dead

_COMMAND_SECONDS = 120.0
_TOKEN_SECONDS = 86_400
_Part = TypeVar("_Part")


class CommandFailed(subprocess.CalledProcessError):
    """A kubectl or Helm call ended badly; unlike its parent it says what the program said."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stderr or ''}{self.stdout or ''}".rstrip()


class Bench:
    """Real parts, all answering. Made by `Bench.up` or found by `Bench.attach`."""

    def __init__(self, layout: Layout, keeper: subprocess.Popen[bytes] | None = None) -> None:
        self._layout = layout
        self._facts = read_facts(layout)
        self._keeper = keeper

    @classmethod
    @contextmanager
    def up(cls, options: BenchOptions | None = None, *, tell: Callable[[str], None] | None = None) -> Iterator[Self]:
        """Bring a bench up for the length of a `with` block, building first what was never built.

        Nothing outlives the block, however it ends. The logs do when it ends with an exception or a part died;
        their path is printed then.
        """
        bench = cls.start(options or BenchOptions(), tell=tell)
        try:
            yield bench
        except (KeyboardInterrupt, SystemExit):
            # A person had enough; nothing failed.
            bench.down()
            raise
        except BaseException:
            bench.down(keep_logs=True)
            raise
        bench.down()

    @classmethod
    def start(cls, options: BenchOptions, *, tell: Callable[[str], None] | None = None) -> Self:
        """Bring a bench up that lives until `down`, or until this process ends."""
        prepare(options)
        layout, alive = create_bench(options)
        try:
            keeper = start_keeper(layout, alive)
        finally:
            os.close(alive)
        try:
            await_ready(keeper, layout, tell or (lambda _: None))
            return cls(layout, keeper)
        except BaseException:
            end_keeper(keeper, "keep")
            raise

    @classmethod
    def attach(cls, name: str) -> Self:
        """Use a bench that somebody else keeps, such as `python -m e2e.bench up`."""
        return cls(find_alive(name))

    @property
    def name(self) -> str:
        return self._facts.name

    @property
    def options(self) -> BenchOptions:
        return self._facts.options

    @property
    def dir(self) -> Path:
        """The bench's own directory; gone after `down`, except for kept logs."""
        return self._layout.directory

    @property
    def logs_dir(self) -> Path:
        """One file per part: `<part>.log`."""
        return self._layout.logs

    @property
    def kubeconfig(self) -> Path:
        """Cluster-admin's."""
        return self._layout.kubeconfig

    @property
    def api_url(self) -> str:
        return self._facts.api_url

    @property
    def ca_file(self) -> Path:
        return Path(self._facts.ca_file)

    @property
    def admin_token(self) -> str:
        return self._facts.admin_token

    @property
    def keeper_pid(self) -> int:
        return self._facts.keeper_pid

    @property
    def redis_url(self) -> str:
        return _present(self._facts.redis_url, "redis=True")

    @property
    def postgres_url(self) -> str:
        return _present(self._facts.postgres_url, "postgres=True")

    @property
    def livekit(self) -> Livekit:
        return _present(self._facts.livekit, "livekit=True")

    @property
    def node(self) -> NodeInfo | None:
        """The real node, on a bench that has one."""
        if self._facts.node_name is None:
            return None
        return NodeInfo(
            name=self._facts.node_name,
            host_address=self._facts.host_address,
            containerd_socket=Path(self._facts.containerd_socket),
            pod_cidr=self._facts.pod_cidr,
            import_image=self._import_image,
        )

    def binary(self, name: str) -> Path:
        """Find a built part, such as `kubectl` or `sip-gateway`."""
        return find_binary(name)

    def kubectl(
        self,
        *arguments: str,
        stdin: str | None = None,
        check: bool = True,
        kubeconfig: Path | None = None,
        timeout_seconds: float = _COMMAND_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl, as cluster-admin unless told otherwise."""
        command = [str(find_binary("kubectl")), *arguments]
        return self._run(command, stdin=stdin, check=check, kubeconfig=kubeconfig, timeout_seconds=timeout_seconds)

    def helm(
        self,
        *arguments: str,
        stdin: str | None = None,
        check: bool = True,
        kubeconfig: Path | None = None,
        timeout_seconds: float = _COMMAND_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run Helm, as cluster-admin unless told otherwise."""
        command = [str(find_binary("helm")), *arguments]
        return self._run(command, stdin=stdin, check=check, kubeconfig=kubeconfig, timeout_seconds=timeout_seconds)

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """Give a child's environment: this bench's cluster, and caches that go when it goes."""
        caches = self._layout.data / "cache"
        return {
            **os.environ,
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "KUBECACHEDIR": str(caches / "kubectl"),
            "HELM_CACHE_HOME": str(caches / "helm"),
            "HELM_CONFIG_HOME": str(caches / "helm-config"),
            "HELM_DATA_HOME": str(caches / "helm-data"),
        }

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """Write a kubeconfig with a real token of a ServiceAccount: exactly what its RBAC allows, nothing else."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _TOKEN_SECONDS},
        }
        answer = Api(self.api_url, self.ca_file, self.admin_token).post(path, body)
        if answer.status != 201:
            raise BenchError(f"no token for {namespace}/{service_account}: {answer.status} {answer.body}")
        return write_kubeconfig(
            self._layout.kubeconfigs / f"{namespace}.{service_account}",
            api_url=self.api_url,
            ca_file=self.ca_file,
            token=answer.body["status"]["token"],
            namespace=namespace,
        )

    def deaths(self) -> dict[str, str]:
        """Name the parts that died by themselves, each with how and its last words."""
        if not self._layout.deaths.is_dir():
            return {}
        return {path.name: path.read_text() for path in sorted(self._layout.deaths.iterdir())}

    def down(self, *, keep_logs: bool = False) -> None:
        """Stop everything and wait for it; safe to repeat."""
        if not is_alive(self._layout) and self._keeper is None:
            return
        died = self.deaths()
        if self._keeper is not None:
            end_keeper(self._keeper, "keep" if keep_logs else "discard")
            self._keeper = None
        else:
            self._ask_down()
        for text in died.values():
            print(f"bench {self.name}: {text}", file=sys.stderr)
        if self.logs_dir.is_dir():
            print(f"bench {self.name}: logs are kept in {self.logs_dir}", file=sys.stderr)

    def detach(self) -> None:
        """Let the bench outlive this process: from now on only `down` ends it."""
        if self._keeper is None:
            return
        detach_keeper(self._keeper)
        self._keeper = None

    def _ask_down(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.keeper_pid, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_WITHIN_SECONDS
        while is_alive(self._layout):
            if time.monotonic() > deadline:
                os.kill(self.keeper_pid, signal.SIGKILL)
            time.sleep(0.02)
        sweep_dead()

    def _run(
        self,
        command: list[str],
        *,
        stdin: str | None,
        check: bool,
        kubeconfig: Path | None,
        timeout_seconds: float,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            input=stdin or "",
            env=self.environment(kubeconfig),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        if check and done.returncode != 0:
            raise CommandFailed(done.returncode, [Path(command[0]).name, *command[1:]], done.stdout, done.stderr)
        return done

    def _import_image(self, oci_archive: Path) -> None:
        command = [
            str(require_program("ctr")),
            "--address",
            self._facts.containerd_socket,
            "--namespace",
            "k8s.io",
        ]
        command += ["images", "import", str(oci_archive)]
        self._run(command, stdin=None, check=True, kubeconfig=None, timeout_seconds=_COMMAND_SECONDS)


def _present(value: _Part | None, option: str) -> _Part:
    if value is None:
        raise BenchError(f"this bench was made without it: ask for BenchOptions({option})")
    return value
