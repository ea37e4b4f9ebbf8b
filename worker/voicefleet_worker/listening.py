"""What a call's session does, as far as the fleet's figures need it: how long turns take, and how providers fare."""

from typing import Any

from livekit.agents import AgentSession, ConversationItemAddedEvent
from livekit.agents.llm import ChatMessage
from livekit.agents.metrics import STTMetrics

from voicefleet_worker.reports import Reporter


def report_on(session: AgentSession[None], reporter: Reporter) -> None:
    """Count the session's turns, requests and errors from now on."""

    def on_item(event: ConversationItemAddedEvent) -> None:
        # From the end of the caller's speech to the first sound of the answer; a greeting answers nobody.
        if isinstance(event.item, ChatMessage) and "e2e_latency" in event.item.metrics:
            reporter.count_turn(event.item.metrics["e2e_latency"])

    session.on("conversation_item_added", on_item)
    for provider in (session.stt, session.llm, session.tts):
        if provider is not None:
            _count_requests(provider, reporter)


def _count_requests(provider: Any, reporter: Reporter) -> None:  # noqa: ANN401 - the SDK's three kinds share no base
    """Count what a provider answered and what it did not; each attempt is a request of its own."""
    connection = ""

    def on_metrics(metrics: object) -> None:
        nonlocal connection
        if isinstance(metrics, STTMetrics) and metrics.streamed:
            # One connection hears the whole call and tells of itself every few seconds, under one id.
            if metrics.request_id in ("", connection):
                return
            connection = metrics.request_id
        reporter.count_request()

    def on_error(_: object) -> None:
        reporter.count_request(failed=True)

    provider.on("metrics_collected", on_metrics)
    provider.on("error", on_error)
