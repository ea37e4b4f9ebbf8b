"""What of the conversation so far the next agent is given. Pure.

An agent can hand on only what it has seen itself. Instructions are never handed on. What a tool was asked and answered
goes on only to an agent that has the same tool.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from voicefleet.handoffs.sight import NO_MARKS, Marks, Member, Sight, Variables, betrays, secrets_before

Context = Literal["None", "Summary", "Full"]
_MOST_CHARACTERS = 1200
_REASON_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said or done, and what may be read from it."""

    id: str
    speaker: Literal["Caller", "Agent", "Tool", "Note"]
    text: str
    marks: Marks = NO_MARKS
    tool: str = ""
    call_id: str = ""
    """By this a tool's answer belongs to its question."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What the next agent may be given, and what may be read from it."""

    said: tuple[Said, ...] = ()

    @property
    def marks(self) -> Marks:
        """What may be read from all of it together."""
        return NO_MARKS.union(*(item.marks for item in self.said))


def pass_on(conversation: Sequence[Said], context: Context, to: Member, sight: Sight, variables: Variables) -> Passed:
    """Return what the next agent may be given, or what a summary for it may be made of."""
    if context == "None":
        return Passed()
    secrets = secrets_before(sight, variables)
    fit = [item for item in conversation if is_fit(item.text, item.marks, sight, secrets) and _is_shared(item, to)]
    whole = _whole_calls(conversation, fit)
    return Passed(tuple(item for item in fit if not item.call_id or item.call_id in whole))


def is_fit(text: str, marks: Marks, sight: Sight, secrets: Iterable[str]) -> bool:
    """Tell whether an agent with this sight may read a text."""
    return not marks & sight.hidden and not betrays(text, secrets)


def reason_of(when: str, given: str, marks: Marks, sight: Sight, variables: Variables) -> str:
    """Return why the call was handed over: in the words of who did if the next one may read them, else in the spec's.

    >>> reason_of("It is about money.", "", NO_MARKS, Sight(), {})
    'It is about money.'
    """
    words = " ".join(given.split())[:_REASON_CHARACTERS]
    return words if words and is_fit(words, marks, sight, secrets_before(sight, variables)) else when


def shorten(summary: str) -> str:
    """Return a summary that is no longer than a model should be made to read before it speaks."""
    text = " ".join(summary.split())
    if len(text) <= _MOST_CHARACTERS:
        return text
    return text[:_MOST_CHARACTERS].rsplit(" ", 1)[0] + " …"


def _is_shared(item: Said, to: Member) -> bool:
    return not item.tool or item.tool in to.tools


def _whole_calls(conversation: Iterable[Said], fit: Iterable[Said]) -> set[str]:
    """Return the tool calls of which question and answer may be read; one without the other confuses models."""
    kept = {item.id for item in fit}
    broken = {item.call_id for item in conversation if item.id not in kept}
    answers = [item.call_id for item in conversation if item.call_id]
    return {call for call in answers if call not in broken and answers.count(call) > 1}
