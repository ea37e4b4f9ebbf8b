"""Which tools of a call are at work. While one is, the SDK lets no agent give way to another, and nobody can speak."""

import asyncio
import contextlib

from livekit.agents import AgentSession, ToolCallEnded, ToolCallStarted, ToolExecutionUpdatedEvent


class AtWork:
    """Those of one call."""

    def __init__(self) -> None:
        self._calls: set[str] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def follow(self, session: AgentSession[None]) -> None:
        """Count them from now on."""
        session.on("tool_execution_updated", self._on_update)

    async def idle(self, seconds: float) -> None:
        """Wait until none is, but not for ever."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_idle.wait(), seconds)

    def _on_update(self, event: ToolExecutionUpdatedEvent) -> None:
        match event.update:
            case ToolCallStarted(function_call=call):
                self._calls.add(call.call_id)
                self._is_idle.clear()
            case ToolCallEnded(call_id=call_id):
                self._calls.discard(call_id)
                if not self._calls:
                    self._is_idle.set()
            case _:
                pass
