"""Specs of one VoiceAgent, and how people edit them, for stories about its fleet."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.support.fake_operator import parse_spec

TEMPLATES = {"A": 3, "B": 3, "C": 4}
"""Templates and how many calls a worker of each holds."""
SPEC: dict[str, Any] = {
    "template": "A",
    "cpu": "4",
    "scaling": {"min": 1, "max": 4, "startupSeconds": 10, "expectedCallSeconds": 60, "warmFloorSlots": 1},
    "rollout": {},
}
SCALINGS: tuple[dict[str, Any], ...] = (
    {"min": 1, "max": 4},
    {"min": 2, "max": 2},
    {"min": 3, "max": 5},
    {"min": 0, "max": 3, "scaleToZero": True},
    {"min": 0, "max": 3, "scaleToZero": True, "scaleDownDelaySeconds": 60},
    {"holdSeconds": 0, "warmFloorSlots": 4},
    {"holdSeconds": 60, "budget": {"maxCostPerHour": 2, "workerCostPerHour": 1}},
    {"budget": {"maxWorkerHoursPerDay": 24}},
)
ROLLOUTS: tuple[dict[str, Any], ...] = (
    {},
    {"maxSurgePercent": 100},
    {"maxDrainSeconds": 30},
    {"maxDrainSeconds": 30, "onDrainLimit": "EndCalls"},
    {"revisionHistoryLimit": 0},
    {"canary": {"steps": [{"sharePercent": 10, "pauseSeconds": 20}, {"sharePercent": 50, "pauseSeconds": 20}]}},
    {"canary": {"steps": [{"sharePercent": 30, "pauseSeconds": 0}]}},
    {"maxSurgePercent": 1, "resize": "Replace", "progressDeadlineSeconds": 30},
)
EDITS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(sorted(TEMPLATES)).map(lambda template: {"template": template}),
    st.sampled_from(SCALINGS).map(lambda scaling: {"scaling": {**SPEC["scaling"], **scaling}}),
    st.integers(0, 4).map(lambda count: {"scaling": {**SPEC["scaling"], "mode": "External"}, "replicas": count}),
    st.sampled_from(ROLLOUTS).map(lambda rollout: {"rollout": rollout}),
    st.sampled_from(ROLLOUTS).map(lambda rollout: {"rollout": {**rollout, "paused": True}}),
    st.sampled_from([None, "1", "2", "3"]).map(lambda wish: {"undoToRevision": wish}),
    st.booleans().map(lambda suspend: {"suspend": suspend}),
    st.sampled_from(["2", "4"]).map(lambda cpu: {"cpu": cpu}),
    st.tuples(st.sampled_from(sorted(TEMPLATES)), st.sampled_from(ROLLOUTS)).map(
        lambda both: {"template": both[0], "rollout": both[1]}
    ),
)


def spec_text(spec: dict[str, Any]) -> str:
    """Return a spec as the API server keeps it."""
    template = spec["template"]
    body = {key: value for key, value in spec.items() if key not in ("template", "cpu")}
    body["agents"] = [{"name": "desk", "instructions": template}]
    body["worker"] = {"sessionsPerWorker": TEMPLATES[template], "resources": {"cpu": spec["cpu"]}}
    text = json.dumps(body, sort_keys=True)
    parse_spec(text)
    return text
