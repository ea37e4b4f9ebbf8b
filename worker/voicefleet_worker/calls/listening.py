"""What a call's session does, as far as the fleet's figures need it: how long turns take."""

from livekit.agents import AgentSession, ConversationItemAddedEvent
from livekit.agents.llm import ChatMessage

from voicefleet_worker.desk.reports import Reporter


def report_on(session: AgentSession[None], reporter: Reporter) -> None:
    """Count the session's turns from now on."""

    def on_item(event: ConversationItemAddedEvent) -> None:
        # From the end of the caller's speech to the first sound of the answer; a greeting answers nobody.
        if isinstance(event.item, ChatMessage) and "e2e_latency" in event.item.metrics:
            reporter.count_turn(event.item.metrics["e2e_latency"])

    session.on("conversation_item_added", on_item)
