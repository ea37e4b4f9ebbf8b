"""JSON schemas in a spec, by which arguments, answers of a look-up and structured output are checked in a call."""

import json
from collections.abc import Iterator, Mapping

import jsonschema

from voicefleet.api.voiceagent import VoiceAgentSpec
from voicefleet.problem import DialogueProblem

_REFERENCE = '"$ref"'
# Whoever checks anything by a schema goes as deep as it does, and Python does not go deep.
_MOST_LEVELS = 32


def fault_in_schema(schema: Mapping[str, object]) -> tuple[str, str] | None:
    """Say where in it and why this is no JSON schema."""
    if (depth := too_deep(schema)) is not None:
        return "", depth
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return "".join(f".{part}" for part in error.path), str(error.message)
    return None


def too_deep(value: object) -> str | None:
    """Say that what is free in form goes deeper than whoever reads it."""
    levels, inside = 0, [value]
    while inside := [each for each in inside if isinstance(each, Mapping | list | tuple)]:
        levels += 1
        inside = [part for each in inside for part in (each.values() if isinstance(each, Mapping) else each)]
    return f"it has more than {_MOST_LEVELS} levels" if levels > _MOST_LEVELS else None


def strange_schemas(spec: VoiceAgentSpec) -> Iterator[DialogueProblem]:
    """Say by which schemas nothing could ever be checked."""
    for where, schema, may_refer in _schemas(spec):
        if (fault := fault_in_schema(schema)) is not None:
            place, message = fault
            yield DialogueProblem("agent", where + place, f"is no JSON schema: {message}")
        elif not may_refer and _REFERENCE in json.dumps(schema):
            # The model gets it as it is, and would have to fetch what it refers to.
            yield DialogueProblem("agent", where, "$ref is not supported: write the schema out")


def _schemas(spec: VoiceAgentSpec) -> Iterator[tuple[str, Mapping[str, object], bool]]:
    """Yield each schema with its field, and whether it may refer to parts of itself."""
    for tool in spec.tools:
        if tool.parameters is not None:
            yield f"spec.tools[{tool.name}].parameters", tool.parameters, False
    lookup = spec.variables.lookup
    if lookup is not None and lookup.response_schema is not None:
        yield "spec.variables.lookup.responseSchema", lookup.response_schema, True
    if spec.analysis is not None:
        yield "spec.analysis.resultSchema", spec.analysis.result_schema, True
    for index, agent in enumerate(spec.agents):
        if agent.structured_output is not None:
            yield f"spec.agents[{index}].structuredOutput.parameters", agent.structured_output.parameters, True
