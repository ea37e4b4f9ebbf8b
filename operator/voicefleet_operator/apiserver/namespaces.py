"""What namespaces are labelled with, which a pool may ask for: hardly ever changed, and asked for by each agent."""

import time
from collections.abc import Callable, Mapping

from voicefleet_operator.apiserver.kube import NAMESPACES, Kube

_FRESH_SECONDS = 30.0
_KEPT_SECONDS = 600.0


class NamespaceLabels:
    """Labels of namespaces, at most half a minute old."""

    def __init__(self, kube: Kube, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._known: dict[str, tuple[Mapping[str, str], float]] = {}

    async def read(self, name: str) -> Mapping[str, str]:
        """Return a namespace's labels."""
        labels, at = self._known.get(name, ({}, float("-inf")))
        if self._clock() - at > _FRESH_SECONDS:
            answer = await self._kube.get(NAMESPACES.path(name=name))
            labels = answer["metadata"].get("labels", {})
            self._known = {n: known for n, known in self._known.items() if self._clock() - known[1] < _KEPT_SECONDS}
            self._known[name] = (labels, self._clock())
        return labels
