"""Writing a status only when it says something else than before."""

from voicefleet.api.conditions import CommonStatus
from voicefleet_operator.kube import Body, ResourceType
from voicefleet_operator.ports import Ports


async def write_if_changed(
    ports: Ports, resource: ResourceType, body: Body, before: CommonStatus, status: CommonStatus
) -> None:
    """Write a status, zeros included and without what is not known, unless it is what stands there already."""
    if status != before:
        await ports.cluster.write_status(
            resource, body, status.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
