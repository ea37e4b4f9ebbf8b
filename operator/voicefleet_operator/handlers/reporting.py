"""Writing a status only when it says something else than before, and not more often than every other second."""

from datetime import timedelta

from voicefleet.api.conditions import CommonStatus
from voicefleet_operator.apiserver.kube import Body, ResourceType
from voicefleet_operator.ports import Ports


async def write_if_changed(
    ports: Ports, resource: ResourceType, body: Body, before: CommonStatus, status: CommonStatus
) -> timedelta | None:
    """Write a status, zeros included and without what is not known, unless it is what stands there already.

    Return how long to wait if it is too early for another word.
    """
    if status == before:
        return None
    uid = body["metadata"]["uid"]
    wait_seconds = ports.pacer.wait_seconds(uid)
    if wait_seconds > 0:
        return timedelta(seconds=wait_seconds)
    ports.pacer.note(uid)
    await ports.cluster.write_status(resource, body, status.model_dump(mode="json", by_alias=True, exclude_none=True))
    return None
