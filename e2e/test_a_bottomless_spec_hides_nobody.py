"""Promise 6: an agent whose spec is deeper than any parser goes is told so, and all others are served as before.

The apiserver takes ten thousand levels where a spec is free in form, and all agents come to the operator in one list.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.bench import Bench
from e2e.bench.waiting import wait_for
from e2e.operating import ROOT, OperatorProcess, confined_operator, fleet_of, remove_agents

SAMPLES = ROOT / "manifests" / "samples"
AGENT = "receptionist"
LEVELS = {"deep": 40, "deeper": 1_000, "bottomless": 5_000}
LEAD_SECONDS = 25.0
STALLED = '-o=jsonpath={range .status.conditions[?(@.type=="Stalled")]}{.status} {.message}{end}'
TOO_DEEP = "spec.tools[look].parameters: has more than 32 levels: make it flatter"
MANIFEST = """
{"apiVersion": "voicefleet.dev/v1alpha1", "kind": "VoiceAgent", "metadata": {"name": "%s"}, "spec": {
  "providerPoolRef": {"name": "default"},
  "agents": [{"name": "desk", "instructions": "Be kind.", "tools": ["look"]}],
  "tools": [{"name": "look", "description": "Looks.", "http": {"url": "https://example.com"}, "parameters": %s}]}}
"""


@pytest.fixture
def operator(bench: Bench, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    with confined_operator(bench, namespace, tmp_path / "operator.log") as process:
        yield process


@pytest.mark.timeout(180)
def test_a_spec_without_end_is_told_and_hides_no_other(bench: Bench, operator: OperatorProcess, namespace: str) -> None:
    wait_for(operator.leads, "an operator that leads")
    for sample in ("providerpool.yaml", "voiceagent.yaml"):
        bench.kubectl("apply", "-n", namespace, "-f", str(SAMPLES / sample))
    with fleet_of(bench, namespace, AGENT) as fleet:
        fleet.wait_for(1)

        for name, levels in LEVELS.items():
            schema = '{"not": ' * levels + "true" + "}" * levels
            bench.kubectl("create", "-n", namespace, "-f", "-", stdin=MANIFEST % (name, schema))

        wait_for(lambda: told(bench, namespace), "conditions in words")
        # What a watch told of the others is as true as before,
        fleet.patch({"scaling": {"min": 2}})
        fleet.wait_for(2)
        # and so is what a list tells.
        operator.kill()
        operator.start()
        wait_for(operator.leads, "it to lead again", within_seconds=LEAD_SECONDS)
        fleet.patch({"scaling": {"min": 3}})
        fleet.wait_for(3)
        assert told(bench, namespace)
        remove_agents(bench, namespace)


def told(bench: Bench, namespace: str) -> bool:
    """Tell whether each of them is Stalled by what is wrong with it; nothing here could read one as a whole."""
    conditions = [bench.kubectl("get", "va", name, "-n", namespace, STALLED).stdout for name in LEVELS]
    return all(each.startswith("True ") and TOO_DEEP in each for each in conditions)
