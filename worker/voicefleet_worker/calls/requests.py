"""Whether what an agent may ask for in a call could ever be asked for: found out at the start, and not by a caller."""

from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet_worker.problems import or_refuse
from voicefleet_worker.tools.mcp import check_mcp


def check_requests(plan: DialoguePlan, where: str) -> None:
    """Refuse tools that would fail in each call."""
    for tool in plan.tools:
        or_refuse(check_mcp(tool), where)
