"""The cluster behind its port: server-side apply, conditional deletes, and no write that changes nothing."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus

from voicefleet.fleet import Mark, PodRef
from voicefleet.manifests import Manifest
from voicefleet.manifests.pod import busy_annotations, busy_labels
from voicefleet.names import FIELD_MANAGER, STATUS_FIELD_MANAGER
from voicefleet_operator.cache import Cache
from voicefleet_operator.errors import ApiError, NotLeaderError
from voicefleet_operator.kube import (
    EVENTS,
    NAMESPACES,
    PODS,
    SECRETS,
    TYPES_BY_KIND,
    Body,
    Kube,
    ResourceType,
)
from voicefleet_operator.workqueue import WorkQueue

# Children are not watched: what somebody changed about them is put right this much later.
_APPLY_AGAIN_SECONDS = 600.0
_NAMESPACE_LABELS_SECONDS = 30.0


class KubeCluster:
    """The real cluster; every change asks first whether this process still leads."""

    def __init__(
        self,
        kube: Kube,
        cache: Cache,
        queue: WorkQueue,
        *,
        may_write: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._queue = queue
        self._may_write = may_write
        self._clock = clock
        self._applied: dict[str, tuple[str, float]] = {}
        self._created: dict[str, float] = {}
        self._labels: dict[str, tuple[Mapping[str, str], float]] = {}

    async def apply(self, manifest: Manifest) -> None:
        """Bring a child to its manifest, unless that was done lately."""
        path = _path(manifest)
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        before, at = self._applied.get(path, ("", 0.0))
        if before == digest and self._clock() - at < _APPLY_AGAIN_SECONDS:
            return
        self._check_lead()
        await self._kube.apply(path, manifest, field_manager=FIELD_MANAGER)
        self._applied[path] = (digest, self._clock())

    async def create_pod(self, manifest: Manifest) -> None:
        """Create a pod; one of that name that exists already is as good."""
        body = await self._create(PODS, manifest)
        if body is not None:
            self._take_in(PODS, body)

    async def create_secret(self, manifest: Manifest, *, again: bool) -> None:
        """Create a Secret, unless that was done lately; one of that name that exists already is as good."""
        path = SECRETS.path(manifest["metadata"]["namespace"], manifest["metadata"]["ownerReferences"][0]["uid"])
        if not again and self._clock() - self._created.get(path, float("-inf")) < _APPLY_AGAIN_SECONDS:
            return
        await self._create(SECRETS, manifest)
        self._created[path] = self._clock()

    async def delete_pod(self, namespace: str, pod: PodRef) -> None:
        """Delete a pod, if it is still exactly the one that was read."""
        self._check_lead()
        conditions = {"uid": pod.uid, "resourceVersion": pod.resource_version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        try:
            answer = await self._kube.delete(PODS.path(namespace, pod.name), body)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return
        if answer.get("kind") == "Pod":
            self._take_in(PODS, answer)

    async def mark_pod(self, namespace: str, mark: Mark) -> None:
        """Tell the cluster whether a pod may be evicted."""
        self._check_lead()
        metadata = {"labels": busy_labels(busy=mark.busy), "annotations": busy_annotations(busy=mark.busy)}
        path = PODS.path(namespace, mark.pod.name)
        body = await self._kube.merge(path, {"metadata": {**metadata, "uid": mark.pod.uid}})
        self._take_in(PODS, body)

    async def write_status(self, resource: ResourceType, body: Body, status: Manifest) -> None:
        """Replace what is said about an object."""
        self._check_lead()
        metadata = body["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"], "status")
        manifest = {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            # The uid keeps a status from reaching another object that took the name.
            "metadata": {key: metadata[key] for key in ("name", "namespace", "uid")},
            "status": status,
        }
        answer = await self._kube.apply(path, manifest, field_manager=STATUS_FIELD_MANAGER)
        self._take_in(resource, answer)

    async def read_pod_events(self, namespace: str, uid: str) -> list[Body]:
        """Return what was said about a pod."""
        answer = await self._kube.get(EVENTS.path(namespace), fieldSelector=f"involvedObject.uid={uid}", limit="50")
        return list(answer["items"])

    async def read_namespace_labels(self, name: str) -> Mapping[str, str]:
        """Return a namespace's labels, at most half a minute old."""
        labels, at = self._labels.get(name, ({}, float("-inf")))
        if self._clock() - at > _NAMESPACE_LABELS_SECONDS:
            answer = await self._kube.get(NAMESPACES.path(name=name))
            labels = answer["metadata"].get("labels", {})
            self._labels[name] = (labels, self._clock())
        return labels

    async def _create(self, resource: ResourceType, manifest: Manifest) -> Body | None:
        self._check_lead()
        try:
            return await self._kube.post(resource.path(manifest["metadata"]["namespace"]), manifest)
        except ApiError as error:
            if error.status == HTTPStatus.CONFLICT and error.reason == "AlreadyExists":
                return None
            raise

    def _take_in(self, resource: ResourceType, body: Body) -> None:
        """Read our own write: the next decision counts it even if the watch is late.

        The answer may also hold what somebody else wrote just before. The watch will tell of that no more, since it
        is known by then, so another turn has to look.
        """
        for key in self._cache.observe(resource, body):
            self._queue.add(key)

    def _check_lead(self) -> None:
        if not self._may_write():
            raise NotLeaderError


def _path(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return TYPES_BY_KIND[manifest["kind"]].path(metadata["namespace"], metadata["name"])
