"""What a call's session does, as far as the fleet's figures need it: how long turns take, and who took how long."""

from livekit.agents import AgentSession, ConversationItemAddedEvent
from livekit.agents.llm import ChatMessage

from voicefleet_worker.desk.reports import Reporter
from voicefleet_worker.failover.conversing import ConversingInTurn
from voicefleet_worker.failover.hearing import HearingInTurn


def report_on(session: AgentSession[None], reporter: Reporter) -> None:
    """Count the session's turns from now on."""

    def on_item(event: ConversationItemAddedEvent) -> None:
        if not isinstance(event.item, ChatMessage):
            return
        metrics, agent = event.item.metrics, session.current_agent
        if "transcription_delay" in metrics:
            _tell(metrics["transcription_delay"], agent.stt, session.stt)
        # From the end of the caller's speech to the first sound of the answer; a greeting answers nobody.
        if "e2e_latency" in metrics:
            reporter.count_turn(metrics["e2e_latency"])
            _tell(metrics["e2e_latency"], agent.llm, session.llm)

    session.on("conversation_item_added", on_item)


def _tell(seconds: float, own: object, sessions: object) -> None:
    """Tell those that cannot measure it themselves; who thinks or speaks for a pipeline can."""
    model = own or sessions
    if isinstance(model, HearingInTurn | ConversingInTurn):
        model.note_latency(seconds)
