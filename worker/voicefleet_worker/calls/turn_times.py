"""How long a caller waits for a model that does it all, by what the session tells of both.

The SDK measures it only where something of ours hears when the caller falls silent. A model that decides about turns
tells that itself, and says nothing of it in what it measures.
"""

from livekit.agents import AgentSession, AgentStateChangedEvent, ConversationItemAddedEvent, UserStateChangedEvent
from livekit.agents.llm import ChatMessage

from voicefleet_worker.saying import does_it_all


def measure_turns(session: AgentSession[None]) -> None:
    """Add to each answer how long the caller waited for it; whoever listens to the session later finds it there."""
    times = _TurnTimes(session)
    session.on("user_state_changed", times.note_caller)
    session.on("agent_state_changed", times.note_agent)
    session.on("conversation_item_added", times.note_item)


class _TurnTimes:
    """Those of one call, one turn after the other."""

    def __init__(self, session: AgentSession[None]) -> None:
        self._session = session
        self._silent_at: float | None = None
        """When the caller fell silent to whom no answer has begun yet."""
        self._seconds: float | None = None
        """What the caller waited for the answer that is being spoken."""

    def note_caller(self, event: UserStateChangedEvent) -> None:
        """Begin to count when the caller has said something."""
        if event.new_state == "speaking":
            self._silent_at = None
        elif event.old_state == "speaking":
            self._silent_at = event.created_at

    def note_agent(self, event: AgentStateChangedEvent) -> None:
        """Stop when the answer begins; what is said unasked, such as a greeting or a filler, answers nobody."""
        if event.new_state != "speaking":
            return
        self._seconds = None
        speech = self._session.current_speech
        is_answer = speech is not None and speech.input_details.modality == "audio"
        if is_answer and self._silent_at is not None and does_it_all(self._session):
            self._seconds, self._silent_at = event.created_at - self._silent_at, None

    def note_item(self, event: ConversationItemAddedEvent) -> None:
        """Write it where the SDK writes what it measured itself, which is better."""
        item = event.item
        if isinstance(item, ChatMessage) and item.role == "assistant":
            seconds, self._seconds = self._seconds, None
            if seconds is not None and "e2e_latency" not in item.metrics:
                item.metrics["e2e_latency"] = seconds
