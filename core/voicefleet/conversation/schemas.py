"""JSON schemas in a spec, by which arguments, answers of a look-up and structured output are checked in a call."""

import json
from collections.abc import Iterator, Mapping

import jsonschema

from voicefleet.api.voiceagent import VoiceAgentSpec
from voicefleet.problem import DialogueProblem

_REFERENCE = '"$ref"'
# Whoever checks anything by a schema goes as deep as it does, and Python does not go deep.
_MOST_LEVELS = 32
# To look at a schema of so many takes half a second, while which the operator can do nothing for anybody else.
_MOST_VALUES = 3_000
_LONGEST_FAULT = 200


def fault_in_schema(schema: Mapping[str, object]) -> tuple[str, str] | None:
    """Say where in it and why this is no JSON schema that anything could be checked by."""
    if (excess := too_large(schema)) is not None:
        return "", excess
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = "".join(f".{part}" for part in error.path)
        return place, f"is no JSON schema: {error.message[:_LONGEST_FAULT]}"
    return None


def too_large(value: object) -> str | None:
    """Say that what is free in form is more than whoever reads it can take."""
    levels, values = _extent(value)
    if levels > _MOST_LEVELS:
        return f"has more than {_MOST_LEVELS} levels: make it flatter"
    return f"has more than {_MOST_VALUES} values: make it smaller" if values > _MOST_VALUES else None


def strange_schemas(spec: VoiceAgentSpec) -> Iterator[DialogueProblem]:
    """Say by which schemas nothing could ever be checked."""
    values = 0
    for where, schema, may_refer in _schemas(spec):
        values += _extent(schema)[1]
        if (fault := fault_in_schema(schema)) is not None:
            place, message = fault
            yield DialogueProblem("agent", where + place, message)
        elif values > _MOST_VALUES:
            message = f"has, with the schemas before it, more than {_MOST_VALUES} values: make them smaller"
            yield DialogueProblem("agent", where, message)
            return
        elif not may_refer and _REFERENCE in json.dumps(schema):
            # The model gets it as it is, and would have to fetch what it refers to.
            yield DialogueProblem("agent", where, "$ref is not supported: write the schema out")


def _extent(value: object) -> tuple[int, int]:
    """Return how many levels and how many values something has."""
    levels, values, level = 0, 0, [value]
    while containers := [each for each in level if isinstance(each, Mapping | list | tuple)]:
        level = [part for each in containers for part in (each.values() if isinstance(each, Mapping) else each)]
        levels, values = levels + 1, values + len(level)
    return levels, values


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
