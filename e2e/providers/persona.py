"""What the language model answers: the first rule that matches, else a plain receptionist.

Pure. It knows conversations as a list of turns, not which protocol brought them.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Speaker = Literal["user", "tool", "instructions", "assistant"]


class BadRuleError(ValueError):
    """A rule that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model wants called."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments_json(self) -> str:
        return json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Rule:
    """When the last turn matches, answer so.

    `on` names whose turn is matched: the user's, a tool's output, or the instructions of a reply that
    nobody asked for. `reply` may use the match's groups, as in `\\1`. A rule whose tool is not on
    offer is passed over. Without an `instance` it holds for all.
    """

    match: str
    reply: str = ""
    tool_call: ToolCall | None = None
    delay_ms: float = 0
    tokens_per_chunk: int = 1
    chunk_interval_ms: float = 5
    on: Speaker = "user"
    instance: str | None = None

    @classmethod
    def parse(cls, body: dict[str, Any]) -> "Rule":
        """Read a rule from the control API."""
        unknown = body.keys() - {item.name for item in fields(cls)}
        if unknown or "match" not in body:
            raise BadRuleError(f"a rule needs a match; unknown fields: {sorted(unknown)}")
        try:
            re.compile(body["match"])
            tool_call = ToolCall(**body["tool_call"]) if body.get("tool_call") else None
        except (re.error, TypeError) as error:
            raise BadRuleError(str(error)) from error
        return cls(**{**body, "tool_call": tool_call})


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that was said, or what a tool returned."""

    speaker: Speaker
    text: str
    tool_name: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say, or which tool to call, and how fast."""

    text: str = ""
    tool_call: ToolCall | None = None
    delay_ms: float = 0
    tokens_per_chunk: int = 1
    chunk_interval_ms: float = 5

    def pieces(self) -> list[str]:
        """Cut the text into the chunks of a stream; joined they are the text."""
        words = re.findall(r"\S+\s*", self.text) or ([self.text] if self.text else [])
        step = max(1, self.tokens_per_chunk)
        return ["".join(words[start : start + step]) for start in range(0, len(words), step)]


_OPENING_HOURS = "We are open from nine to five, Monday to Friday."
RECEPTIONIST = (
    Rule(match=r"(?i)\b(opening hours|opening hour|when (are|do) you open|open)\b", reply=_OPENING_HOURS),
    Rule(match=r"(?i)\b(goodbye|bye)\b", reply="Goodbye, and thank you for calling."),
    Rule(match=r"(?i)^\W*(hello|hi|hey|good (morning|afternoon|evening))\W*$", reply="Hello, how can I help you?"),
    Rule(match=r"(?s)^\s*$", reply="I am sorry, I did not hear you."),
    Rule(match=r"(?s)^\s*(.+?)\s*$", reply=r"You said: \1"),
    Rule(match=r"(?s)^\s*(.*?)\s*$", reply=r"The answer is \1", on="tool"),
    Rule(match=r"", reply="Hello, how can I help you?", on="instructions"),
)


def answer(
    turns: Sequence[Turn],
    *,
    tools: Sequence[str],
    tool_choice: str = "auto",
    rules: Iterable[Rule],
    instance: str = "main",
) -> Answer:
    """Decide the next answer. `tool_choice` is auto, none, required or a tool's name."""
    last = turns[-1] if turns else Turn(speaker="instructions", text="")
    if last.speaker == "assistant":
        last = Turn(speaker="instructions", text="")
    offered = () if tool_choice == "none" else tuple(tools)
    forced = tool_choice in tools or tool_choice == "required"
    for rule in (*rules, *RECEPTIONIST):
        found = _match(rule, last, instance)
        callable_now = rule.tool_call is not None and rule.tool_call.name in offered
        if found is None or (rule.tool_call is not None and not callable_now):
            continue
        if forced and not callable_now:
            continue
        return _build(rule, found)
    if forced:
        return Answer(tool_call=ToolCall(name=tool_choice if tool_choice in tools else tools[0]))
    return Answer(text="I do not know.")


def _match(rule: Rule, last: Turn, instance: str) -> re.Match[str] | None:
    if rule.on != last.speaker or rule.instance not in (None, instance):
        return None
    return re.search(rule.match, last.text)


def _build(rule: Rule, found: re.Match[str]) -> Answer:
    return Answer(
        text=found.expand(rule.reply) if rule.tool_call is None else "",
        tool_call=rule.tool_call,
        delay_ms=rule.delay_ms,
        tokens_per_chunk=rule.tokens_per_chunk,
        chunk_interval_ms=rule.chunk_interval_ms,
    )
