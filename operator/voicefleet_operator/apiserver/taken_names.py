"""Names of workers that other pods have: whoever wants to look into a worker in peace takes its labels away."""

import time
from collections import defaultdict
from collections.abc import Callable

from voicefleet.manifests import Manifest
from voicefleet.names import LABEL_AGENT, LABEL_MANAGED_BY
from voicefleet_operator.apiserver.kube import PODS, Body, Kube

# Without either, a pod is no worker of an agent, whoever owns it.
_LABELS = (LABEL_MANAGED_BY, LABEL_AGENT)
# Nobody tells us when such a pod goes; a lookout has only the one name.
_TAKEN_FOR_SECONDS = 600.0


class TakenNames:
    """What was found out when a worker was to be created and its name was taken."""

    def __init__(self, kube: Kube, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._names: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def of(self, uid: str) -> frozenset[str]:
        """Return the names that the pods of an agent cannot have, as far as it was tried lately."""
        since = self._clock() - _TAKEN_FOR_SECONDS
        return frozenset(name for name, at in self._names.get(uid, {}).items() if at >= since)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an agent that is gone."""
        self._names.pop(uid, None)

    async def look_up(self, manifest: Manifest, *, owner: str) -> Body | None:
        """Return the worker that has the name, of which nobody told us yet; a name that another pod has is noted."""
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        wanted = manifest["metadata"]["labels"]
        answer = await self._kube.get(PODS.path(namespace), fieldSelector=f"metadata.name={name}")
        for found in answer["items"]:
            labels = found["metadata"].get("labels", {})
            if all(labels.get(label) == wanted[label] for label in _LABELS):
                return {"apiVersion": "v1", "kind": "Pod", **found}
            self._names[owner][name] = self._clock()
        return None
