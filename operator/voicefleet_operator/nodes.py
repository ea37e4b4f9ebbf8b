"""The nodes that are about to go, as far as anybody has said so."""

import asyncio
import logging
import random
from http import HTTPStatus

from voicefleet.leaving_nodes import Taint, why_leaving
from voicefleet.names import LABEL_AGENT
from voicefleet_operator.cache import Cache
from voicefleet_operator.errors import ApiError
from voicefleet_operator.kube import NODES, Body, Kube
from voicefleet_operator.workqueue import Key, WorkQueue

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 300.0


class Nodes:
    """What was last read of each node that is leaving, by name."""

    def __init__(self) -> None:
        self._leaving: dict[str, str] = {}

    def observe(self, body: Body, *, gone: bool = False) -> bool:
        """Take in a node, and tell whether that changes what becomes of its pods."""
        name, spec = body["metadata"]["name"], body.get("spec", {})
        taints = [Taint(taint["key"], taint.get("effect", "")) for taint in spec.get("taints", [])]
        going = "deletionTimestamp" in body["metadata"]
        why = None if gone else why_leaving(cordoned=spec.get("unschedulable", False), taints=taints, deleted=going)
        before = self._leaving.pop(name, None)
        if why is not None:
            self._leaving[name] = why
        return why != before

    def is_leaving(self, name: str) -> bool:
        """Tell whether a node is about to go."""
        return name in self._leaving

    def keep_only(self, names: set[str]) -> None:
        """Forget nodes that no longer exist."""
        self._leaving = {name: why for name, why in self._leaving.items() if name in names}


class NodeWatch:
    """Keeps `Nodes` true, and has the agents reconciled whose workers run on a node that changed."""

    def __init__(self, nodes: Nodes, cache: Cache, queue: WorkQueue, kube: Kube) -> None:
        self.nodes = nodes
        self._cache = cache
        self._queue = queue
        self._kube = kube

    def observe(self, body: Body, *, gone: bool = False) -> None:
        """Take in one event."""
        if self.nodes.observe(body, gone=gone):
            for key in self._agents_on(body["metadata"]["name"]):
                self._queue.add(key)

    async def run(self) -> None:
        """List all nodes now and then, since watches lose what happens between them."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
            await self.list_all()

    async def list_all(self) -> None:
        """Take in every node; without the right to, fleets run as well, but learn late that a node goes."""
        names: set[str] = set()
        try:
            async for page in self._kube.pages(NODES.path()):
                for body in page["items"]:
                    names.add(body["metadata"]["name"])
                    self.observe(body)
        except ApiError as error:
            hint = "grant get, list and watch on nodes" if error.status == HTTPStatus.FORBIDDEN else ""
            logger.warning("nodes cannot be listed", extra={"status": error.status, "hint": hint})
            return
        self.nodes.keep_only(names)

    def _agents_on(self, node: str) -> set[Key]:
        pods = [body["metadata"] for body in self._cache.pods if body["spec"].get("nodeName") == node]
        return {Key("VoiceAgent", pod["namespace"], pod.get("labels", {}).get(LABEL_AGENT, "")) for pod in pods}
