"""The cluster behind its port: server-side apply, conditional deletes, and no write that changes nothing."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus

from voicefleet.fleet import Mark, PodRef
from voicefleet.manifests import Manifest
from voicefleet.manifests.pod import CONTAINER, busy_annotations, busy_labels
from voicefleet.names import ANNOTATION_END_CALLS, ANNOTATION_RESIZE_REFUSED, FIELD_MANAGER, STATUS_FIELD_MANAGER
from voicefleet.report.event_objects import build_event
from voicefleet.report.events import Note
from voicefleet_operator.apiserver.cache import Cache, agent_of
from voicefleet_operator.apiserver.comparing import digest_of, is_within
from voicefleet_operator.apiserver.kube import EVENTS, PODS, SECRETS, TYPES_BY_KIND, Body, Kube, ResourceType
from voicefleet_operator.apiserver.namespaces import NamespaceLabels
from voicefleet_operator.apiserver.taken_names import TakenNames
from voicefleet_operator.apiserver.telling import Told
from voicefleet_operator.errors import ApiError, NotLeaderError
from voicefleet_operator.settings import REPAIR_SECONDS
from voicefleet_operator.turns.workqueue import WorkQueue

_REMOVED = "removed"
# More changes at once make none of them faster, and the lease would have to stand in line behind them.
_CHANGES_AT_ONCE = 32
# A node that cannot, and a server that knows no such thing. If it is the pod that is gone, noting it says so as well.
_CANNOT_RESIZE = (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
_CONFIG_MAPS = TYPES_BY_KIND["ConfigMap"]


class KubeCluster:
    """The real cluster; every change asks first whether this process still leads."""

    def __init__(  # noqa: PLR0913 - each is a part of its own, and named
        self,
        kube: Kube,
        cache: Cache,
        queue: WorkQueue,
        *,
        may_write: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        repair_seconds: float = REPAIR_SECONDS,
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._queue = queue
        self._may_write = may_write
        self._clock = clock
        self._repair_seconds = repair_seconds
        self._changes = asyncio.Semaphore(_CHANGES_AT_ONCE)
        # By the uid of the owner, so that nothing is remembered for longer than it lives.
        self._applied: defaultdict[str, dict[str, tuple[str, float]]] = defaultdict(dict)
        self._told = Told()
        self._config_maps: defaultdict[str, dict[str, Body]] = defaultdict(dict)
        self._taken_names = TakenNames(kube, clock=clock)
        self._labels = NamespaceLabels(kube, clock)

    async def apply(self, manifest: Manifest) -> None:
        """Bring a child to its manifest, unless that was done and nobody changed it since."""
        path, known = _path(manifest), self._applied[_owner(manifest)]
        digest = digest_of(manifest)
        before, at = known.get(path, ("", 0.0))
        if before == digest and self._clock() - at < self._repair_seconds:
            return
        if before != digest or not await self._is_there(path, manifest):
            # A ConfigMap's name says what is in it, so it is made once, which costs less, and at most mended later.
            is_made = manifest["kind"] == "ConfigMap" and not before and await self._create(_CONFIG_MAPS, manifest)
            if not is_made:
                async with self._change() as kube:
                    await kube.apply(path, manifest, field_manager=FIELD_MANAGER)
            # The cores and memory of a revision are changed without another name.
            self._config_maps[_owner(manifest)].pop(path, None)
        known[path] = (digest, self._clock())

    async def _is_there(self, path: str, manifest: Manifest) -> bool:
        """Tell whether an object is still as we applied it: children are not watched, but read now and then."""
        try:
            return is_within(manifest, await self._kube.get(path))
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise

    def trust(self, uid: str, manifests: Iterable[Manifest], *, likely: Iterable[Manifest] = ()) -> None:
        """Believe that an object's children were applied by whoever led before, unless we know better.

        What is merely likely is read before it is applied anew.
        """
        if uid in self._applied:
            return
        # Spread, so that those of a thousand agents are not put right all at once.
        at = self._clock() - random.uniform(0, self._repair_seconds)  # noqa: S311 - a spread
        known = {_path(manifest): (digest_of(manifest), float("-inf")) for manifest in likely}
        self._applied[uid] = known | {_path(manifest): (digest_of(manifest), at) for manifest in manifests}

    async def create_pod(self, manifest: Manifest) -> None:
        """Create a pod; if its name is taken, find out by whom."""
        made = await self._create(PODS, manifest)
        if made is not None:
            pod: Body | None = {**manifest, "metadata": made["metadata"], "status": {"phase": "Pending"}}
        else:
            pod = await self._taken_names.look_up(manifest, owner=_owner(manifest))
        if pod is not None:
            self._take_in(PODS, pod)
        else:
            self._queue.add(agent_of(manifest))

    def taken_names(self, uid: str) -> frozenset[str]:
        """Return the names that an agent's workers cannot have, as far as it was tried."""
        return self._taken_names.of(uid)

    async def create_secret(self, manifest: Manifest, *, again: bool) -> None:
        """Create a Secret, unless that was done lately; one of that name that exists already is as good."""
        path, known = _path(manifest), self._applied[_owner(manifest)]
        _, at = known.get(path, ("", float("-inf")))
        if not again and self._clock() - at < self._repair_seconds:
            return
        await self._create(SECRETS, manifest)
        known[path] = (digest_of(manifest), self._clock())

    async def delete_pod(self, namespace: str, pod: PodRef) -> None:
        """Delete a pod, if it is still exactly the one that was read."""
        conditions = {"uid": pod.uid, "resourceVersion": pod.resource_version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        try:
            async with self._change() as kube:
                answer = await kube.delete(PODS.path(namespace, pod.name), body)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return
        if answer.get("kind") == "Pod":
            self._take_in(PODS, answer)

    async def mark_pod(self, namespace: str, mark: Mark) -> None:
        """Tell the cluster whether a pod may be evicted."""
        metadata = {"labels": busy_labels(busy=mark.busy), "annotations": busy_annotations(busy=mark.busy)}
        path = PODS.path(namespace, mark.pod.name)
        async with self._change() as kube:
            body = await kube.merge(path, {"metadata": {**metadata, "uid": mark.pod.uid}})
        self._take_in(PODS, body)

    async def annotate_pod(self, namespace: str, pod: PodRef, annotations: Mapping[str, str | None]) -> None:
        """Write something down on a pod, or take it away, unless it is no longer the one that is meant."""
        change = {"metadata": {"annotations": dict(annotations), "uid": pod.uid}}
        async with self._change() as kube:
            body = await kube.merge(PODS.path(namespace, pod.name), change)
        self._take_in(PODS, body)

    async def end_pod(self, namespace: str, pod: PodRef) -> None:
        """Delete a pod together with its calls; the guard lets it go for the reason that is written on it."""
        await self.annotate_pod(namespace, pod, {ANNOTATION_END_CALLS: "true"})
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": pod.uid}}
        async with self._change() as kube:
            answer = await kube.delete(PODS.path(namespace, pod.name), body)
        if answer.get("kind") == "Pod":
            self._take_in(PODS, answer)

    async def resize_pod(self, namespace: str, pod: PodRef, resources: Mapping[str, str]) -> None:
        """Ask for other cores and memory for a running worker, or note that the cluster does not change them."""
        sizes = {"requests": dict(resources), "limits": dict(resources)}
        change = {"spec": {"containers": [{"name": CONTAINER, "resources": sizes}]}}
        try:
            async with self._change() as kube:
                body = await kube.merge_strategically(PODS.path(namespace, pod.name, "resize"), change)
        except ApiError as error:
            if error.status not in _CANNOT_RESIZE:
                raise
            await self.annotate_pod(namespace, pod, {ANNOTATION_RESIZE_REFUSED: "true"})
        else:
            self._take_in(PODS, body)

    async def set_finalizers(self, resource: ResourceType, body: Body, finalizers: Sequence[str]) -> None:
        """Say who must agree before an object goes, unless the object has changed since it was read."""
        metadata = body["metadata"]
        change = {"resourceVersion": metadata["resourceVersion"], "finalizers": list(finalizers)}
        path = resource.path(metadata["namespace"], metadata["name"])
        async with self._change() as kube:
            answer = await kube.merge(path, {"metadata": change})
        if not ("deletionTimestamp" in answer["metadata"] and not finalizers):
            self._take_in(resource, answer)

    async def read_config_map(self, namespace: str, name: str) -> Body | None:
        """Return a ConfigMap, as it was when first asked for or applied since: its name says what is in it."""
        path = _CONFIG_MAPS.path(namespace, name)
        known = [body for bodies in self._config_maps.values() if (body := bodies.get(path))]
        if known:
            return known[0]
        try:
            body = await self._kube.get(path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        self._config_maps[_owner(body)][path] = body
        return body

    async def remove(self, kind: str, namespace: str, name: str, *, owner: Body) -> None:
        """Delete a child, unless that was done lately; one that is gone, or that is somebody else's, is as good."""
        path, known = TYPES_BY_KIND[kind].path(namespace, name), self._applied[owner["metadata"]["uid"]]
        self._config_maps[owner["metadata"]["uid"]].pop(path, None)
        before, at = known.get(path, ("", 0.0))
        if before == _REMOVED and self._clock() - at < self._repair_seconds:
            return
        try:
            child = (await self._kube.get(path))["metadata"]
            # Whoever sees to it himself may well have chosen the same name.
            if any(each["uid"] == owner["metadata"]["uid"] for each in child.get("ownerReferences", [])):
                body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": child["uid"]}}
                async with self._change() as kube:
                    await kube.delete(path, body)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        known[path] = (_REMOVED, self._clock())

    async def tell(self, note: Note, about: Body) -> None:
        """Write an Event about an object; the same again only counts, and not more often than once a minute."""
        uid, now = about["metadata"]["uid"], datetime.now(UTC)
        telling = self._told.again(uid, note.key, now=now, clock=self._clock())
        if telling is None:
            return
        manifest = build_event(note, about, since=telling.since, now=now, count=telling.count)
        path = EVENTS.path(about["metadata"]["namespace"], manifest["metadata"]["name"])
        async with self._change() as kube:
            await kube.apply(path, manifest, field_manager=FIELD_MANAGER)
        self._told.note(uid, note.key, telling)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of an object that is gone."""
        self._told.forget(uid)
        self._taken_names.forget(uid)
        for memory in (self._applied, self._config_maps):
            memory.pop(uid, None)

    async def write_status(self, resource: ResourceType, body: Body, status: Manifest) -> None:
        """Replace what is said about an object."""
        metadata = body["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"], "status")
        manifest = {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            # The uid keeps a status from reaching another object that took the name.
            "metadata": {key: metadata[key] for key in ("name", "namespace", "uid")},
            "status": status,
        }
        async with self._change() as kube:
            answer = await kube.apply(path, manifest, field_manager=STATUS_FIELD_MANAGER)
        self._take_in(resource, answer)

    async def read_pod_events(self, namespace: str, uid: str) -> list[Body]:
        """Return what was said about a pod."""
        answer = await self._kube.get(EVENTS.path(namespace), fieldSelector=f"involvedObject.uid={uid}", limit="50")
        return list(answer["items"])

    async def read_namespace_labels(self, name: str) -> Mapping[str, str]:
        """Return a namespace's labels, at most half a minute old."""
        return await self._labels.read(name)

    async def _create(self, resource: ResourceType, manifest: Manifest) -> Body | None:
        try:
            async with self._change() as kube:
                return await kube.post(resource.path(manifest["metadata"]["namespace"]), manifest)
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

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[Kube]:
        """Lend the apiserver for one change: when its turn has come, and only if this process still leads then."""
        async with self._changes:
            if not self._may_write():
                raise NotLeaderError
            yield self._kube


def _owner(manifest: Manifest) -> str:
    owners = manifest["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("uid", ""))


def _path(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return TYPES_BY_KIND[manifest["kind"]].path(metadata["namespace"], metadata["name"])
