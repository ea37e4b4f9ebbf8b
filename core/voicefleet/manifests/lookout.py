"""The pod of a lookout: a worker's, but for a slot, the places where files are kept, and most of its size."""

from voicefleet.api import VoiceAgent
from voicefleet.manifests import Manifest
from voicefleet.manifests.pod import CONTAINER
from voicefleet.manifests.revision import Revision, build_pod
from voicefleet.names import LOOKOUT_FLAG, lookout_name

# It takes 80 MB. Loading takes a second of a whole core, and afterwards it is idle.
_RESOURCES = {
    "requests": {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
    "limits": {"cpu": "1", "memory": "256Mi", "ephemeral-storage": "256Mi"},
}
_GRACE_SECONDS = 5


def build_lookout(agent: VoiceAgent, revision: Revision, *, control_key_id: str) -> Manifest:
    """Return the pod that looks for callers of an agent and of others of its pool."""
    pod = build_pod(agent, revision, 0, control_key_id=control_key_id)
    # A disk that only one node may have would keep it from the others.
    stores = {volume["name"] for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume}
    spec = {
        **pod["spec"],
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "containers": [_looking_out(container, stores) for container in pod["spec"]["containers"]],
        "volumes": [volume for volume in pod["spec"]["volumes"] if volume["name"] not in stores],
    }
    return {**pod, "metadata": {**pod["metadata"], "name": lookout_name(agent.metadata.name)}, "spec": spec}


def _looking_out(container: Manifest, stores: set[str]) -> Manifest:
    if container["name"] != CONTAINER:
        return container
    return {
        **container,
        "args": [LOOKOUT_FLAG],
        "resources": _RESOURCES,
        "volumeMounts": [mount for mount in container["volumeMounts"] if mount["name"] not in stores],
    }
