"""What a call leaves in OpenTelemetry's spans, whoever collects them."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession, JobProcess, function_tool
from livekit.agents.telemetry import tracer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.worker.failover.scripted import Thinker
from voicefleet_worker.calls import entry
from voicefleet_worker.settings import Settings

PROMPT, QUESTION, ARGUMENT, RESULT, ANSWER = WORDS = ("walnut", "plum", "cherry", "quince", "almond")
VARIABLES = ("LIVEKIT_TELEMETRY_ALLOW_PII", "LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Collect spans as something does that was put into the pod from outside: the SDK finds it by itself."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    before, exporter, provider = tracer._tracer_provider, InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    tracer.set_provider(provider)
    yield exporter
    tracer.set_provider(before)


class Fruiterer(Agent):
    """An agent with one tool."""

    def __init__(self) -> None:
        super().__init__(instructions=f"Speak of {PROMPT}s.")

    @function_tool
    async def weigh(self, fruit: str) -> str:
        """Weigh a fruit."""
        return f"{fruit}: {RESULT}"


class Model(Thinker):
    """Has a fruit weighed, and says something."""

    def __init__(self) -> None:
        super().__init__([f'call weigh {{"fruit": "{ARGUMENT}"}}'], [f"An {ANSWER}."])


@pytest.mark.parametrize("allowed", [False, True])
async def test_no_word_of_a_turn_is_in_a_span_unless_the_spec_wants_it(
    settings: Settings, collected: InMemorySpanExporter, *, allowed: bool
) -> None:
    setup = entry.CallSetup(settings.plan, settings.secrets, settings.livekit, trace_content=allowed)
    entry.prepare_process(setup, cast("JobProcess", SimpleNamespace(userdata={})))
    session: AgentSession[None] = AgentSession(llm=Model(), vad=None, turn_handling={"turn_detection": None})
    await session.start(Fruiterer())
    result = await session.run(user_input=f"I would like a {QUESTION}.")
    await session.aclose()

    assert ANSWER in str(result.events[-1])
    spans: list[Any] = list(collected.get_finished_spans())
    assert {"agent_turn", "llm_node"} <= {span.name for span in spans}
    told = "\n".join(span.to_json() for span in spans)
    assert {word for word in WORDS if word in told} == (set(WORDS) if allowed else set())
