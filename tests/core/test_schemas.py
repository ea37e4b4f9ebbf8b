"""A JSON schema that is none is found out when a spec is read, and not by a caller."""

from typing import Any

import pytest

from tests.core.test_dialogue import THREE, agent, pool
from voicefleet.conversation.dialogue import DialogueProblem, plan_dialogue

WELL = {"type": "object", "properties": {"id": {"type": "string"}}}
BAD = {"type": "object", "properties": {"id": {"type": "strin"}}}
ELSEWHERE = {"type": "object", "properties": {"id": {"$ref": "https://example.com/schema"}}}
WITHIN = {"$defs": {"name": {"type": "string"}}, "type": "object", "properties": {"id": {"$ref": "#/$defs/name"}}}
TOOL = "spec.tools[book].parameters"
LOOKUP = "spec.variables.lookup.responseSchema"
SPOKEN = "spec.agents[0].structuredOutput.parameters"
AFFINITY = "spec.worker.podTemplate.affinity"
SPREAD = "spec.worker.podTemplate.topologySpreadConstraints"
AT = ".properties.id.type"


def nested(levels: int, key: str = "not") -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels - 1):
        schema = {key: schema}
    return schema


def wide(values: int) -> dict[str, Any]:
    return {"type": "object", "enum": [str(number) for number in range(values - 2)]}


def of_tool(schema: dict[str, Any]) -> dict[str, Any]:
    http = {"url": "https://example.com/book"}
    return {"tools": [{"name": "book", "description": "Books.", "parameters": schema, "http": http}]}


def of_lookup(schema: dict[str, Any]) -> dict[str, Any]:
    return {"variables": {"lookup": {"url": "https://example.com/calls", "responseSchema": schema}}}


def of_speech(schema: dict[str, Any]) -> dict[str, Any]:
    spoken = {**schema, "properties": {"text": {"type": "string"}, **schema["properties"]}}
    return {"agents": [{"name": "desk", "instructions": "Be kind.", "structuredOutput": {"parameters": spoken}}]}


def problem_of(spec: dict[str, Any]) -> tuple[str, str] | None:
    plan = plan_dialogue(agent(**spec), pool(*THREE))
    return (plan.field, plan.message) if isinstance(plan, DialogueProblem) else None


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        (of_tool(BAD), TOOL + AT, "is no JSON schema: 'strin' is not valid"),
        (of_lookup(BAD), LOOKUP + AT, "is no JSON schema: 'strin' is not valid"),
        (of_speech(BAD), SPOKEN + AT, "is no JSON schema: 'strin' is not valid"),
        (of_tool(nested(33)), TOOL, "has more than 32 levels"),
        (of_tool(nested(20_000)), TOOL, "has more than 32 levels"),
        ({"worker": {"podTemplate": {"affinity": nested(33)}}}, AFFINITY, "has more than 32 levels"),
        ({"worker": {"podTemplate": {"topologySpreadConstraints": [nested(32)]}}}, SPREAD, "has more than 32 levels"),
        (
            {"analysis": {"resultSchema": BAD}},
            "spec.analysis.resultSchema" + AT,
            "is no JSON schema: 'strin' is not valid",
        ),
        (of_tool(wide(3_001)), TOOL, "has more than 3000 values: make it smaller"),
        (
            of_tool(wide(1_500)) | of_lookup(wide(1_501)),
            LOOKUP,
            "has, with the schemas before it, more than 3000 values",
        ),
        (of_tool({"type": ["long" * 1_000]}), TOOL + ".type", "is no JSON schema: ['long"),
        (of_tool(ELSEWHERE), TOOL, "$ref is not supported: write the schema out"),
        (of_tool(WITHIN), TOOL, "$ref is not supported: write the schema out"),
    ],
)
def test_what_could_never_be_checked_is_refused_by_its_field(spec: dict[str, Any], field: str, words: str) -> None:
    problem = problem_of(spec)

    assert problem is not None
    assert problem[0] == field
    assert words in problem[1]
    assert len(problem[1]) < 300


@pytest.mark.parametrize(
    "spec",
    [
        of_tool(WELL),
        of_lookup(WELL),
        of_speech(WELL),
        of_lookup(WITHIN),
        of_tool({}),
        of_tool(nested(32)),
        of_tool(wide(3_000)),
        of_tool(wide(1_500)) | of_lookup(wide(1_500)),
        {},
    ],
)
def test_what_can_be_checked_is_taken(spec: dict[str, Any]) -> None:
    assert problem_of(spec) is None
