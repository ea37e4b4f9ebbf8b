"""Whether a model's arguments are what a tool takes; its schema is the spec's own, or comes from a service."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
from livekit.agents import ToolError
from referencing import Registry
from referencing.exceptions import Unresolvable

from voicefleet_worker.tools.cut_short import TookTooLongError, cut_short
from voicefleet_worker.tools.templates import Values

CHECK_SECONDS = 0.2
"""Of the processor; a check takes a thousandth of that."""
_SHOWN_CHARACTERS = 200
_MOST_CHARACTERS = 8_000
# Nothing is fetched in the middle of a call, wherever a schema may point to.
_NOWHERE: Registry[bool | Mapping[str, Any]] = Registry()


class Arguments:
    """What one tool takes."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        self.schema = schema
        self._validator = validator_of(schema)

    def check(self, given: Values) -> None:
        """Tell the model what is wrong with its arguments, if anything is."""
        if len(json.dumps(given)) > _MOST_CHARACTERS:
            raise ToolError("the arguments are too long")
        try:
            with cut_short(CHECK_SECONDS):
                error = jsonschema.exceptions.best_match(self._validator.iter_errors(given))
        except TookTooLongError as endless:
            raise ToolError("the arguments cannot be checked: use shorter and plainer ones") from endless
        except Unresolvable as elsewhere:
            raise ToolError("what this tool takes is not known, so it cannot be used") from elsewhere
        if error is not None:
            where = ".".join(map(str, error.absolute_path)) or "the arguments"
            raise ToolError(f"{where}: {error.message[:_SHOWN_CHARACTERS]}")


def validator_of(schema: Mapping[str, object]) -> jsonschema.Draft202012Validator:
    """Return what checks values against a schema."""
    return jsonschema.Draft202012Validator(schema, registry=_NOWHERE)
