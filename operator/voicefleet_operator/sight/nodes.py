"""The nodes that are about to go, as far as anybody has said so."""

import logging
from http import HTTPStatus

from voicefleet.leaving_nodes import Taint, Toleration, must_go, reasons_to_leave
from voicefleet_operator.apiserver.cache import Cache, agent_of
from voicefleet_operator.apiserver.kube import NODES, Body, Kube
from voicefleet_operator.errors import ApiError
from voicefleet_operator.sight.rounds import Rounds
from voicefleet_operator.turns.workqueue import Key, WorkQueue

logger = logging.getLogger(__name__)


class Nodes:
    """What was last read of each node that is leaving, by name."""

    def __init__(self) -> None:
        self._leaving: dict[str, tuple[Taint, ...]] = {}
        self._versions: dict[str, int] = {}

    def observe(self, body: Body, *, gone: bool = False) -> bool:
        """Take in a node, unless newer is known, and tell whether that changes what becomes of its pods.

        A list that was under way must not undo what a watch told meanwhile.
        """
        name, spec, version = body["metadata"]["name"], body.get("spec", {}), int(body["metadata"]["resourceVersion"])
        if version < self._versions.get(name, 0):
            return False
        self._versions[name] = version
        taints = [Taint(each["key"], each.get("effect", ""), each.get("value", "")) for each in spec.get("taints", [])]
        going = "deletionTimestamp" in body["metadata"]
        cordoned = spec.get("unschedulable", False)
        why = () if gone else reasons_to_leave(cordoned=cordoned, taints=taints, deleted=going)
        before = self._leaving.pop(name, ())
        if why:
            self._leaving[name] = why
        return why != before

    def must_go(self, pod: Body) -> bool:
        """Tell whether a pod's node is about to go, for a reason that the pod minds."""
        reasons = self._leaving.get(pod["spec"].get("nodeName", ""))
        if reasons is None:
            return False
        return must_go(reasons, [_read_toleration(each) for each in pod["spec"].get("tolerations", [])])

    def keep_only(self, names: set[str]) -> None:
        """Forget nodes that no longer exist."""
        self._versions = {name: version for name, version in self._versions.items() if name in names}
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
                self._queue.add(key, urgent=True)

    async def run(self, rounds: Rounds) -> None:
        """List all nodes now and then, since watches lose what happens between them."""
        while True:
            await rounds.pause()
            try:
                await self.list_all()
            except Exception:
                # One node that nobody expected must not end the looking at all others.
                logger.exception("looking at nodes failed")

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
        return {agent_of(pod) for pod in self._cache.pods if pod["spec"].get("nodeName") == node}


def _read_toleration(body: Body) -> Toleration:
    return Toleration(
        body.get("key", ""),
        body.get("operator", "Equal"),
        body.get("value", ""),
        body.get("effect", ""),
        body.get("tolerationSeconds"),
    )
