"""Real workers in the name of simulated pods: what a kubelet would mount, start and end, as processes of this machine.

A simulated pod has an address of its own on loopback, and nobody there. The operator cannot tell: it finds a control
port under the pod's address.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from e2e.bench import Bench
from e2e.bench.api import Api
from e2e.working import run_worker
from voicefleet.names import (
    AGENT_FILE,
    CONTROL_PORT,
    CONTROL_TOKEN_DIRECTORY,
    CONTROL_TOKEN_KEY,
    ENV_POD_UID,
    ENV_REVISION,
    LABEL_AGENT,
    LABEL_REVISION,
    POOL_FILE,
    SECRETS_DIRECTORY,
    SPEC_DIRECTORY,
    WRITABLE_DIRECTORY,
)

_LOOK_SECONDS = 0.2


class PodProcesses:
    """One agent's workers, each for as long as its pod is there and is not being deleted."""

    def __init__(self, bench: Bench, namespace: str, agent: str, folder: Path) -> None:
        self._api = Api(bench.api_url, bench.ca_file, bench.admin_token)
        self._namespace = f"/api/v1/namespaces/{namespace}"
        self._pods = f"{self._namespace}/pods?labelSelector={LABEL_AGENT}%3D{agent}"
        self._name = f"{namespace}.{agent}"
        self._folder = folder
        self._running: dict[str, ExitStack] = {}

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Start and end workers as pods come and go, for the length of the block."""
        enough = asyncio.Event()
        keeping = asyncio.create_task(self._keep(enough))
        try:
            yield
        finally:
            # Not cancelled: a worker that is being started would be nobody's.
            enough.set()
            try:
                await keeping
            finally:
                await asyncio.gather(*(asyncio.to_thread(stack.close) for stack in self._running.values()))

    async def _keep(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            answer = await asyncio.to_thread(self._api.get, self._pods)
            # No answer is no news.
            if answer.status == 200:
                here = {pod["metadata"]["uid"]: pod for pod in answer.body["items"] if _is_to_run(pod)}
                gone = [self._running.pop(uid) for uid in [*self._running] if uid not in here]
                come = [uid for uid in here if uid not in self._running]
                self._running |= {uid: ExitStack() for uid in come}
                await asyncio.gather(
                    *(asyncio.to_thread(stack.close) for stack in gone),
                    *(asyncio.to_thread(self._start, here[uid]) for uid in come),
                )
            await asyncio.sleep(_LOOK_SECONDS)

    def _start(self, pod: dict[str, Any]) -> None:
        uid, root = pod["metadata"]["uid"], self._folder / pod["metadata"]["name"]
        self._mount(pod["spec"], root)
        spec = root / SPEC_DIRECTORY.strip("/")
        (container,) = pod["spec"]["containers"]
        arguments = [
            *("--spec", str(spec / AGENT_FILE), "--pool", str(spec / POOL_FILE)),
            *("--secrets", str(root / SECRETS_DIRECTORY.strip("/"))),
            *("--control-token-file", str(root / CONTROL_TOKEN_DIRECTORY.strip("/") / CONTROL_TOKEN_KEY)),
            *("--data", str(root / WRITABLE_DIRECTORY.strip("/"))),
            *("--control-host", pod["status"]["podIP"], "--control-port", str(CONTROL_PORT)),
            *container.get("args", ()),
        ]
        told = {ENV_POD_UID: uid, ENV_REVISION: pod["metadata"]["labels"][LABEL_REVISION]}
        self._running[uid].enter_context(run_worker(root, arguments, self._name, environment=told))

    def _mount(self, spec: dict[str, Any], root: Path) -> None:
        (container,) = spec["containers"]
        paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        for volume in spec["volumes"]:
            folder = root / paths[volume["name"]].strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in self._files(volume).items():
                (folder / name).write_bytes(content)

    def _files(self, volume: dict[str, Any]) -> dict[str, bytes]:
        if "configMap" in volume:
            data = self._read("configmaps", volume["configMap"]["name"])
            return {name: text.encode() for name, text in data.items()}
        if "secret" in volume:
            data = self._read("secrets", volume["secret"]["secretName"])
            return {name: base64.b64decode(text) for name, text in data.items()}
        return {}

    def _read(self, kind: str, name: str) -> dict[str, str]:
        answer = self._api.get(f"{self._namespace}/{kind}/{name}")
        assert answer.status == 200, answer
        data: dict[str, str] = answer.body["data"]
        return data


def _is_to_run(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and bool(pod["status"].get("podIP"))
