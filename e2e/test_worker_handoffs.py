"""Several agents in one call, on a real LiveKit server with a caller who hears each of them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.bench import Bench
from e2e.caller import Caller, Line
from e2e.operating import ROOT
from e2e.providers import Control, Providers
from e2e.working import Worker, ready, run_worker, seat_for, write_files

SAMPLE = ROOT / "manifests" / "samples" / "voiceagent-team.yaml"
ACCOUNT = "RX 77 1234"
SUMMARY = "The caller wants to pay an invoice."
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def worker(bench: Bench, providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("worker")
    arguments = write_files(folder, bench, providers, "team")
    spec = yaml.safe_load(SAMPLE.read_text())["spec"]
    agent = json.loads((folder / "agent.json").read_text())
    agent["spec"] |= {"agents": spec["agents"], "variables": spec["variables"]}
    (folder / "agent.json").write_text(json.dumps(agent))
    with run_worker(folder, arguments, "team") as running:
        yield running


def hands_over(match: str, to: str) -> dict[str, Any]:
    return {"match": match, "tool_call": {"name": f"hand_over_to_{to}", "arguments": {"reason": "as it is"}}}


def control_of(providers: Providers, *rules: dict[str, Any]) -> Control:
    control = Control(providers.control_url)
    control.reset()
    control.set_rules(rules)
    return control


async def test_the_caller_is_put_through_and_the_next_agent_answers(
    worker: Worker, providers: Providers, line: Line
) -> None:
    """Whoever sums up sees the caller's words; whoever takes over sees the summary."""
    control = control_of(
        providers,
        {"match": "Caller:.*invoice", "reply": SUMMARY},
        hands_over("(?i)invoice", "billing"),
        {"match": "colleague", "on": "instructions", "reply": "Billing speaking. Which invoice do you want to pay?"},
    )
    await ready(worker)
    async with Caller(line, seat=seat_for(worker, account=ACCOUNT, balance="17")) as caller:
        await caller.listen()
        through = await caller.say("I want to pay my invoice.", timeout_seconds=40)
        if "Billing" not in through.agent_text:
            through = await caller.listen(timeout_seconds=30)
        after = await caller.say("When are you open?", timeout_seconds=30)
    print(caller.report().as_text())

    said = [turn.agent_text for turn in caller.report().turns]
    assert "One moment, I am putting you through to billing." in " ".join(said)
    assert "Billing speaking. Which invoice do you want to pay?" in " ".join(said)
    assert through.heard_seconds > 1
    assert after.heard_seconds > 0.8
    assert caller.report().cuts == ()
    spoken = control.spoken()
    assert spoken.index("One moment, I am putting you through to billing.") < len(spoken) - 1
    handed = [(r["from_agent"], r["to_agent"]) for r in worker.records() if r["message"] == "handed over"]
    assert handed[-1] == ("reception", "billing")
    log = worker.log.read_text()
    assert not [word for word in (ACCOUNT, SUMMARY, "invoice") if word in log]


async def test_an_agent_with_its_own_voice_greets_hears_and_says_one_field(
    worker: Worker, providers: Providers, line: Line
) -> None:
    words = '{"emotion": "calm", "text": "Please leave the house now. Somebody is on the way."}'
    control_of(providers, hands_over("(?i)power", "faults"), {"match": "(?i)open", "reply": words})
    await ready(worker)
    async with Caller(line, seat=seat_for(worker)) as caller:
        await caller.listen()
        through = await caller.say("I have no power.", timeout_seconds=40)
        after = await caller.say("Shall I open a window?", timeout_seconds=30)
    print(caller.report().as_text())

    assert through.agent_text == "This is the fault desk. Are you safe where you are?"
    assert through.heard_seconds > 1
    assert after.agent_text == "Please leave the house now. Somebody is on the way.", "of the object only the words"
    assert after.heard_seconds > 1
    assert caller.report().cuts == ()
    options = [row["options"] for row in Control(providers.control_url).requests("cartesia", "tts")]
    assert "calm" in [each.get("generation_config", {}).get("emotion") for each in options], "and how they are said"


async def test_a_tool_of_the_next_agent_is_not_offered_before(worker: Worker, providers: Providers, line: Line) -> None:
    """Reception cannot do what billing can: who is not in charge hands nobody over."""
    control_of(providers, hands_over("(?i)reception", "reception"))
    await ready(worker)
    async with Caller(line, seat=seat_for(worker)) as caller:
        await caller.listen()
        turn = await caller.say("Is this the reception?", timeout_seconds=30)
    print(caller.report().as_text())

    assert turn.agent_text.startswith("You said")
