"""Pods as the apiserver writes them, turned into what decisions need."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from voicefleet.fleet import Pod, PodRef, Trouble
from voicefleet.last_words import quotable
from voicefleet.manifests.pod import CONTAINER, SECRET_VOLUME_PREFIX, TEXT_VOLUME_PREFIX, resources_of
from voicefleet.names import (
    ANNOTATION_CORDONED_AT,
    ANNOTATION_END_CALLS,
    ANNOTATION_REFRESHED_AT,
    ANNOTATION_RESIZE_REFUSED,
    ANNOTATION_SECRETS_CHANGED,
    LABEL_BUSY,
    LABEL_REVISION,
    Reason,
)
from voicefleet_operator.apiserver.cache import Kept
from voicefleet_operator.apiserver.kube import Body

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_NOT_CREATED = "ContainerCreating"
# What a node says while it makes a container: that it fails at something, or that it got beyond that.
_FAILS = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})
_GETS_ON = frozenset({"Pulling", "Pulled", "Created", "Started"})
_secret_missing = re.compile(r'secret "([^"]+)" not found')
_key_missing = re.compile(r"references non-existent secret key: (\S+)")
_text_missing = re.compile(r'configmap "([^"]+)" not found')
_text_key_missing = re.compile(r"configmap references non-existent config key: (\S+)")
_volume = re.compile(rf'volume "((?:{SECRET_VOLUME_PREFIX}|{TEXT_VOLUME_PREFIX})[0-9]+|control)"')
_TEXT_LENGTH = 300
# Once may be chance, and a container that was restarted once has its own words in the log.
_AGAIN_AND_AGAIN = 2
_MAKE_ROOM = "Add nodes, or make spec.worker.resources smaller or spec.worker.podTemplate less choosy."
_OTHER_IMAGE = "Correct spec.worker.image or imagePullSecrets; where the spec names no image, the chart's worker.image."


def read_pod(body: Body, start_failure: str | None = None) -> Pod:
    """Return a pod of ours, with the latest complaint about its volumes or its network if there is one.

    A fleet of a thousand is read several times a second, and few of its pods change meanwhile.
    """
    if start_failure is not None or not isinstance(body, Kept):
        return _read_pod(body, start_failure)
    try:
        reading: Pod = body.reading
    except AttributeError:
        reading = body.reading = _read_pod(body, None)
    return reading


def _read_pod(body: Body, start_failure: str | None) -> Pod:
    metadata, status = body["metadata"], body.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    ready = conditions.get("Ready", {})
    is_ready = ready.get("status") == "True"
    return Pod(
        ref=PodRef(metadata["name"], metadata["uid"], metadata["resourceVersion"]),
        revision=metadata.get("labels", {}).get(LABEL_REVISION, ""),
        phase=status.get("phase", "Pending"),
        ready=is_ready,
        ready_since=_moment(ready.get("lastTransitionTime")) if is_ready else None,
        leaving="deletionTimestamp" in metadata,
        scheduled=bool(body["spec"].get("nodeName")),
        process_stopped="waiting" in _container_state(body),
        marked_busy=metadata.get("labels", {}).get(LABEL_BUSY) == "true",
        trouble=_find_trouble(body, conditions, start_failure),
        ended_at=_ended_at(body, conditions.values()),
        created_at=_moment(metadata.get("creationTimestamp")),
        cordoned_at=_noted_moment(body, ANNOTATION_CORDONED_AT),
        secrets_changed=metadata.get("annotations", {}).get(ANNOTATION_SECRETS_CHANGED, ""),
        refreshed_at=_noted_moment(body, ANNOTATION_REFRESHED_AT),
        ends_calls=metadata.get("annotations", {}).get(ANNOTATION_END_CALLS) == "true",
        resources=tuple(sorted((k, v) for k, v in resources_of(body["spec"]).items() if k in ("cpu", "memory"))),
        resize_refused=metadata.get("annotations", {}).get(ANNOTATION_RESIZE_REFUSED) == "true",
        resizing_since=_resizing_since(conditions, metadata.get("generation", 0)),
    )


def address_of(body: Body) -> str | None:
    """Return where a pod's control port may be reached, once it runs."""
    status = body.get("status", {})
    return status.get("podIP") if status.get("phase") == "Running" else None


def waits_for_volumes(body: Body) -> bool:
    """Tell whether only events can say what a pod waits for."""
    if not body["spec"].get("nodeName"):
        return False
    return bool(_container_state(body).get("waiting", {}).get("reason") == _NOT_CREATED)


def find_start_failure(events: Iterable[Body]) -> str | None:
    """Return the latest complaint about a pod's volumes or its network, unless its node has got beyond that."""
    said = [event for event in events if event.get("reason") in _FAILS | _GETS_ON]
    latest = max(said, key=_last_seen, default=None)
    return latest.get("message", "") if latest and latest["reason"] in _FAILS else None


def _last_seen(event: Body) -> tuple[str, bool]:
    """Return when something was last said; within a second a node gets on after it has failed, and never before."""
    series = event.get("series") or {}
    at = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or ""
    return at, event["reason"] in _GETS_ON


def _container_state(body: Body) -> Mapping[str, Any]:
    state: Mapping[str, Any] = _container_status(body).get("state") or {}
    return state


def _container_status(body: Body) -> Mapping[str, Any]:
    """Return what the kubelet says of our container; a mesh may have put others beside it, which come and go."""
    return _ours(body.get("status", {}).get("containerStatuses"))


def _ours(containers: Iterable[Body] | None) -> Body:
    return next((container for container in containers or () if container["name"] == CONTAINER), {})


def _find_trouble(body: Body, conditions: Mapping[str, Body], start_failure: str | None) -> Trouble | None:
    status = body.get("status", {})
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return Trouble(Reason.UNSCHEDULABLE, f"no node takes a worker: {_why_unscheduled(scheduled)}. {_MAKE_ROOM}")
    if status.get("phase") == "Failed":
        return Trouble(Reason.POD_FAILED, f"a worker ended: {_why_ended(body)}")
    waiting = _container_state(body).get("waiting", {})
    reason, message = waiting.get("reason", ""), _short(waiting.get("message"))
    if reason in _IMAGE_REASONS:
        image = _ours(body["spec"]["containers"]).get("image", "")
        return Trouble(Reason.IMAGE_PULL, f"image {image!r} cannot be pulled: {message or reason}. {_OTHER_IMAGE}")
    if reason == _NOT_CREATED:
        return _start_trouble(body, start_failure) if start_failure else None
    if reason == "CreateContainerConfigError":
        kind = Reason.SECRET_MISSING if "secret" in message else Reason.POD_FAILED
        return Trouble(kind, f"a worker cannot start: {message}. Check worker.podTemplate.env.")
    if reason in ("CrashLoopBackOff", "RunContainerError", "CreateContainerError"):
        return Trouble(Reason.POD_FAILED, _crash_message(body, reason, message))
    if not waiting and _crashes_on(body):
        return Trouble(Reason.POD_FAILED, _crash_message(body, reason, message))
    return None


def _crashes_on(body: Body) -> bool:
    """Tell whether a container is on its next try: between two rests it runs for a moment, and is no better for it."""
    container = _container_status(body)
    crashed = "terminated" in container.get("lastState", {})
    return crashed and not container.get("started") and container.get("restartCount", 0) >= _AGAIN_AND_AGAIN


def _why_unscheduled(condition: Body) -> str:
    """Return the scheduler's first sentence; the rest is about whom it did not drive out."""
    return _short(condition.get("message")).partition(". ")[0].rstrip(".")


def _start_trouble(body: Body, failure: str) -> Trouble:
    namespace = body["metadata"]["namespace"]
    secret, key, volume = _secret_missing.search(failure), _key_missing.search(failure), _volume.search(failure)
    name = _source_of_volume(body, volume.group(1)) if volume else secret.group(1) if secret else None
    if secret and name:
        return Trouble(
            Reason.SECRET_MISSING,
            f"Secret {name!r} does not exist in namespace {namespace!r}: create it, and waiting workers start.",
        )
    if key and name:
        return Trouble(
            Reason.SECRET_MISSING,
            f"Secret {name!r} in namespace {namespace!r} lacks key {key.group(1)!r}: add it, and workers start.",
        )
    if name and _text_missing.search(failure):
        return Trouble(
            Reason.CONFIG_MAP_MISSING,
            f"ConfigMap {name!r} does not exist in namespace {namespace!r}: create it, and waiting workers start.",
        )
    if name and (text := _text_key_missing.search(failure)):
        return Trouble(
            Reason.CONFIG_MAP_MISSING,
            f"ConfigMap {name!r} in namespace {namespace!r} lacks key {text.group(1)!r}: add it, and workers start.",
        )
    return Trouble(Reason.POD_FAILED, f"a worker cannot start: {_short(failure)}")


def _source_of_volume(body: Body, volume: str) -> str | None:
    """Return the name of the Secret or ConfigMap behind a volume."""
    source: Body = next((v for v in body["spec"].get("volumes", []) if v["name"] == volume), {})
    name: str | None = source.get("secret", {}).get("secretName") or source.get("configMap", {}).get("name")
    return name


def _crash_message(body: Body, reason: str, message: str) -> str:
    last = _container_status(body).get("lastState", {}).get("terminated", {})
    how = f"exit code {last['exitCode']}, {last.get('reason', 'Error')}" if "exitCode" in last else message or reason
    pod = f"-n {body['metadata']['namespace']} {body['metadata']['name']}"
    words = quotable(last.get("message") or "")
    said = f", saying {words!r}" if words else ""
    return f"a worker crashes again and again ({how}){said}: see `kubectl logs {pod} --previous`."


def _why_ended(body: Body) -> str:
    status, ended = body["status"], _container_state(body).get("terminated", {})
    if status.get("reason"):
        return f"{status['reason']}: {_short(status.get('message'))}"
    return f"exit code {ended.get('exitCode', 'unknown')}, {ended.get('reason', 'unknown')}"


def _short(text: str | None) -> str:
    return (text or "")[:_TEXT_LENGTH]


def _ended_at(body: Body, conditions: Iterable[Body]) -> datetime | None:
    """Return when a pod ended, as far as anybody knows.

    One that its node refused never had a container, but something happened to it last; without any time at all its
    place would be filled again at once, and refused again at once.
    """
    finished = _container_state(body).get("terminated", {}).get("finishedAt")
    if finished:
        return _moment(finished)
    happened = [condition.get("lastTransitionTime") for condition in conditions]
    happened.append(body["metadata"].get("creationTimestamp"))
    return max((moment for moment in map(_moment, happened) if moment), default=None)


def _resizing_since(conditions: Mapping[str, Body], generation: int) -> datetime | None:
    """Return since when a node has owed a pod its new size: it has no room yet, or does not get it done.

    What it said of an earlier size says nothing of the one that was asked for since.
    """
    said = [conditions.get(kind, {}) for kind in ("PodResizePending", "PodResizeInProgress")]
    owed = [
        each for each in said if each.get("status") == "True" and each.get("observedGeneration") in (None, generation)
    ]
    since = [_moment(each.get("lastTransitionTime")) for each in owed]
    return min((moment for moment in since if moment), default=None)


def _noted_moment(body: Body, annotation: str) -> datetime | None:
    """Return a moment as we wrote it down; what somebody else put there instead counts for nothing."""
    try:
        moment = _moment(body["metadata"].get("annotations", {}).get(annotation))
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
