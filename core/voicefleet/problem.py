"""What keeps an agent from running, as a person would mend it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class DialogueProblem:
    """What stands in the way, and where a person would mend it."""

    source: Literal["agent", "pool"]
    field: str
    message: str
