"""`make bench-worker` at a size that says nothing of speed: that it measures what it says, and says it in full."""

import asyncio
import json
import os
from typing import Any

import pytest

from e2e.bench.options import Livekit
from e2e.providers import Providers
from e2e.scale.figures import table
from e2e.voice_bench import plain_agent
from e2e.voice_bench.__main__ import MEASUREMENTS, Sizes, run
from e2e.voice_bench.stage import set_stage
from e2e.voice_bench.workers import agent_manifest, pool_manifest
from voicefleet.api.providerpool import ProviderPool
from voicefleet.api.voiceagent import VoiceAgent
from voicefleet.conversation.dialogue import DialoguePlan, plan_dialogue
from voicefleet.conversation.voice_plan import PipelinePlan
from voicefleet_worker.voices.session import turn_handling

TINY = Sizes(
    cpu_calls=1,
    memory_calls=2,
    cpu_rounds=1,
    cpu_seconds=10.0,
    latency_calls=1,
    latency_rounds=2,
    memory_rounds=1,
    failover_rounds=1,
    start_rounds=1,
    soak_seconds=12.0,
    soak_calls=2,
)
# Five workers start, one after another, and a dozen calls are held.
pytestmark = pytest.mark.timeout(540)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All measurements, as JSON; limits may be missed on a machine that others use."""
    with set_stage(print) as stage:
        found = asyncio.run(run(stage, TINY, frozenset(MEASUREMENTS)))
    print(table(found.outcomes))
    file = tmp_path_factory.mktemp("voice-bench") / "figures.json"
    file.write_text(json.dumps(found.as_dict(), allow_nan=False))
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def figures(document: dict[str, Any], measurement: str) -> dict[str, float]:
    outcome = next(each for each in document["outcomes"] if each["measurement"] == measurement)
    return {figure["name"]: figure["value"] for figure in outcome["figures"]}


@pytest.mark.proof
def test_every_measurement_is_made_and_every_limit_is_one_of_the_contract(document: dict[str, Any]) -> None:
    limits = {
        (outcome["measurement"], figure["unit"], figure["at_most"])
        for outcome in document["outcomes"]
        for figure in outcome["figures"]
        if figure["at_most"] is not None
    }

    assert [each["measurement"] for each in document["outcomes"]] == [
        "cpu",
        "latency",
        "memory",
        "failover",
        "start",
        "soak",
    ]
    assert limits >= {
        ("cpu", "x", 1.1),
        ("memory", "x", 1.1),
        ("latency", "ms", 10),
        ("latency", "ms", 25),
        ("failover", "ms", 300),
        ("start", "s", 5),
        ("soak", "", 0),
        ("soak", "%", 2),
    }


@pytest.mark.proof
def test_all_four_workers_hold_calls_and_answer(document: dict[str, Any]) -> None:
    cpu = figures(document, "cpu")

    for name in ("ours", "plain", "ours, cleaning", "plain again"):
        assert cpu[f"{name}: turns"] > 0
        # A call recognises a voice all the time; a worker without one does not.
        assert cpu[f"{name}: per call"] > cpu[f"{name}: no call"] > 0


@pytest.mark.proof
def test_an_extra_call_takes_memory(document: dict[str, Any]) -> None:
    memory = figures(document, "memory")

    assert all(5 < memory[f"{name}: per extra call"] < memory[f"{name}: no call"] for name in ("ours", "plain"))


@pytest.mark.proof
def test_who_is_silent_costs_no_less_than_the_time_out(document: dict[str, Any]) -> None:
    failover = figures(document, "failover")

    for who in ("who thinks", "who speaks"):
        assert failover[f"{who} is silent: from request, p50"] > 0


@pytest.mark.proof
def test_the_soak_is_one_series_of_calls_that_are_not_dropped(document: dict[str, Any]) -> None:
    soak = figures(document, "soak")

    assert soak["calls at once"] == 2
    assert soak["calls that were dropped"] == 0
    assert [sample["seconds"] for sample in document["soak"]] == sorted(s["seconds"] for s in document["soak"])
    assert all(0 < sample["cores"]["worker"] < (os.cpu_count() or 1) for sample in document["soak"])


def test_the_peer_takes_turns_as_our_agent_does_by_default() -> None:
    plan = plan_dialogue(
        VoiceAgent.model_validate(agent_manifest("ours")),
        ProviderPool.model_validate(
            pool_manifest(
                Livekit("ws://127.0.0.1", "http://127.0.0.1", "key", "secret"), Providers.at("http://127.0.0.1")
            )
        ),
    )
    assert isinstance(plan, DialoguePlan)
    ours = turn_handling(plan)
    detector = ours.pop("turn_detection")

    assert ours == plain_agent.TURN_HANDLING
    assert detector.model == "turn-detector-v1-mini"
    assert isinstance(plan.entry.voice, PipelinePlan)
    vad = plan.entry.voice.vad
    assert (vad.activation_threshold, vad.min_speech_milliseconds, vad.min_silence_milliseconds) == (0.5, 50, 250)
    assert plan.language == plain_agent.LANGUAGE
