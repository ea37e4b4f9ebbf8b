"""The one exception of start-up: something a person has to mend, said in one line."""

from typing import TypeVar

from voicefleet.problem import DialogueProblem

Result = TypeVar("Result")


class BadInputError(Exception):
    """A file, and where it can be told the field in it, that the worker cannot start with."""

    def __init__(self, where: str, message: str, field: str = "") -> None:
        at = f"{where}: {field}" if field else where
        super().__init__(f"{at}: {message}")


def or_refuse(result: Result | DialogueProblem, where: str) -> Result:
    """Return what was decided, unless something stands in the way."""
    if isinstance(result, DialogueProblem):
        raise BadInputError(where, result.message, result.field)
    return result
