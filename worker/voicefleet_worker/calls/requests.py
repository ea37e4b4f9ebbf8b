"""Whether what an agent may ask for in a call could ever be asked for: found out at the start, and not by a caller."""

from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet_worker.calls.lookup import check_lookup
from voicefleet_worker.problems import or_refuse
from voicefleet_worker.tools.mcp import check_mcp
from voicefleet_worker.tools.toolbox import check_tool


def check_requests(plan: DialoguePlan, where: str) -> None:
    """Refuse tools and a look-up that would fail in each call."""
    for tool in plan.tools:
        or_refuse(check_mcp(tool) or check_tool(tool), where)
    or_refuse(check_lookup(plan), where)
