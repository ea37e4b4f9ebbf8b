"""When Secrets are written, where we may know.

Whoever may list or watch Secrets may read them. The server is asked for a table of their names and for nothing else:
what they hold may also stand in their annotations, where `kubectl apply` notes what it applied.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from voicefleet.names import KUBELET_PERIOD_SECONDS
from voicefleet_operator.apiserver.cache import Cache, agent_of
from voicefleet_operator.apiserver.kube import SECRETS, Body, Kube
from voicefleet_operator.errors import ApiError
from voicefleet_operator.turns.workqueue import WorkQueue

logger = logging.getLogger(__name__)

# A server that hears us ends a watch after minutes.
_PAUSE_SECONDS = 1.0
_AGAIN_SECONDS = 10.0
_REFUSED_SECONDS = 60.0
_FORGOTTEN_AFTER = timedelta(seconds=KUBELET_PERIOD_SECONDS)


class Writes:
    """When writes to Secrets were last seen, by namespace and name.

    A watch of all namespaces tells only names: a write counts for all Secrets of that name.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str | None, str], datetime] = {}

    def note(self, namespace: str | None, name: str, now: datetime) -> None:
        """Note a write; those that every kubelet knows of by itself by now are forgotten."""
        self._seen = {key: at for key, at in self._seen.items() if now - at <= _FORGOTTEN_AFTER}
        self._seen[namespace, name] = now

    def written_at(self, pod: Body) -> datetime | None:
        """Return when any Secret that a pod mounts was last written, as far as that was seen."""
        if not self._seen:
            return None
        namespaces = (pod["metadata"]["namespace"], None)
        moments = [self._seen.get((namespace, name)) for name in _mounted(pod) for namespace in namespaces]
        return max((moment for moment in moments if moment is not None), default=None)


class SecretWatch:
    """Keeps `Writes` true, and has the agents reconciled whose workers mount what was written."""

    def __init__(self, kube: Kube, cache: Cache, queue: WorkQueue, scopes: Sequence[str | None]) -> None:
        self.writes = Writes()
        self._kube = kube
        self._cache = cache
        self._queue = queue
        self._scopes = scopes

    async def run(self) -> None:
        """Watch for ever."""
        async with asyncio.TaskGroup() as group:
            for namespace in self._scopes:
                group.create_task(self._watch(namespace))

    async def _watch(self, namespace: str | None) -> None:
        version, path = "", SECRETS.path(namespace)
        while True:
            try:
                # What was written while nobody watched is not seen, if the server no longer knows it either.
                version = version or await self._kube.version_of(path)
                async with aclosing(self._kube.watch_names(path, version=version)) as events:
                    async for event in events:
                        version = event["object"]["metadata"].get("resourceVersion") or version
                        self._take_in(namespace, event)
                await asyncio.sleep(_PAUSE_SECONDS)
            except ApiError as error:
                hint = "grant list and watch on secrets" if error.status == HTTPStatus.FORBIDDEN else ""
                logger.warning("Secrets cannot be watched", extra={"status": error.status, "hint": hint})
                version = "" if error.status == HTTPStatus.GONE else version
                await asyncio.sleep(_REFUSED_SECONDS if hint else _AGAIN_SECONDS)
            except Exception:
                # What one event holds must not end the watching of all others.
                logger.exception("watching Secrets failed")
                version = ""
                await asyncio.sleep(_AGAIN_SECONDS)

    def _take_in(self, namespace: str | None, event: Body) -> None:
        if event["type"] not in ("ADDED", "MODIFIED"):
            return
        for row in event["object"].get("rows") or ():
            name = str(row["cells"][0])
            pods = [pod for pod in self._cache.pods if namespace in (None, pod["metadata"]["namespace"])]
            users = {agent_of(pod) for pod in pods if name in _mounted(pod)}
            if users:
                self.writes.note(namespace, name, datetime.now(UTC))
            for key in users:
                self._queue.add(key)


def _mounted(pod: Body) -> set[str]:
    """Return the names of the Secrets that a pod mounts."""
    volumes = pod["spec"].get("volumes", [])
    return {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
