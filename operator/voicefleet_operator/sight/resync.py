"""Comparing our copy with the cluster now and then, since watches lose deletions."""

import asyncio
import logging
import time
from collections.abc import Sequence

from voicefleet.names import LABEL_MANAGED_BY, MANAGED_BY
from voicefleet_operator.apiserver.cache import CACHED, Cache, Change
from voicefleet_operator.apiserver.kube import PODS, Kube, ResourceType
from voicefleet_operator.errors import ApiError
from voicefleet_operator.metrics import Metrics
from voicefleet_operator.sight.rounds import EVERY_SECONDS, Rounds
from voicefleet_operator.turns.workqueue import WorkQueue

logger = logging.getLogger(__name__)

SELECTOR = {"labelSelector": f"{LABEL_MANAGED_BY}={MANAGED_BY}"}
_AFTER_FAILURE_SECONDS = 10.0
# Three rounds that failed: whatever is wrong with this process or its connections, a new one may not have it.
_STALE_SECONDS = 3 * EVERY_SECONDS * 1.2


class Resync:
    """Lists everything that is cached, and has what differs reconciled."""

    def __init__(self, kube: Kube, cache: Cache, queue: WorkQueue, namespaces: Sequence[str], metrics: Metrics) -> None:
        self._kube = kube
        self._cache = cache
        self._queue = queue
        self.scopes: Sequence[str | None] = namespaces or [None]
        """The namespaces that are looked at; None is all of them."""
        self._metrics = metrics
        self._succeeded_at: float | None = None
        self._versions: dict[tuple[ResourceType, str | None], str] = {}

    async def run(self, rounds: Rounds) -> None:
        """Compare for ever."""
        while True:
            await rounds.pause()
            try:
                await self.compare_all()
            except ApiError as error:
                logger.warning("listing failed", extra={"status": error.status, "error": str(error)})
                await asyncio.sleep(_AFTER_FAILURE_SECONDS)
            except Exception:
                # One object that nobody expected must not end the comparing of all others.
                logger.exception("comparing failed")
                await asyncio.sleep(_AFTER_FAILURE_SECONDS)

    def why_stale(self) -> str | None:
        """Say that our copy has not been compared for far too long, if so."""
        if self._succeeded_at is None or time.monotonic() - self._succeeded_at < _STALE_SECONDS:
            return None
        return f"nothing could be listed for {_STALE_SECONDS:.0f} seconds"

    def age_seconds(self) -> float | None:
        """Return how long ago everything was last listed."""
        return None if self._succeeded_at is None else time.monotonic() - self._succeeded_at

    async def compare_all(self) -> None:
        """List every kind once and take in what differs."""
        await self.compare_each(CACHED)
        self._succeeded_at = time.monotonic()

    async def compare_each(self, resources: Sequence[ResourceType]) -> None:
        """List some kinds once and take in what differs."""
        for resource in resources:
            for namespace in self.scopes:
                await self.compare(resource, namespace)

    def version_of(self, resource: ResourceType, namespace: str | None) -> str:
        """Return the version of the last list of a collection, from which a watch can go on; empty before the first."""
        return self._versions.get((resource, namespace), "")

    async def compare(self, resource: ResourceType, namespace: str | None) -> str:
        """List one collection, take in what differs, and return the version of the list."""
        query = SELECTOR if resource is PODS else {}
        store, listed, version = self._cache.store(resource), set[str](), 0
        async for page in self._kube.pages(resource.path(namespace), **query):
            # A list holds its items without kind and version, which a status needs.
            kind = {"apiVersion": page["apiVersion"], "kind": page["kind"].removesuffix("List")}
            version = version or int(page["metadata"]["resourceVersion"])
            # Page by page: ten thousand pods at once would take more memory than everything else.
            for item in page["items"]:
                listed.add(item["metadata"]["uid"])
                self._look_at(store.put({**kind, **item}))
        gone = store.drop_missing(listed, version=version, namespace=namespace)
        self._metrics.ghosts.labels(resource.plural).inc(len(gone))
        for change in gone:
            self._look_at(change)
        self._versions[resource, namespace] = str(version)
        return str(version)

    def _look_at(self, change: Change | None) -> None:
        for key in self._cache.concerned(change) if change else ():
            self._queue.add(key)
