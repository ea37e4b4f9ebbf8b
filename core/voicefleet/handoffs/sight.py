"""Which variables of a call an agent may see. Pure.

Everything in a call carries marks: the private variables that may be read from it. A private variable carries its own
name; what an agent says or sets carries all marks of what it sees, since nobody can tell which of it went into its
words. An agent sees nothing that carries a mark which is hidden from it, unless the handoff names just that variable.

The caller's words and what a call brings along carry no marks, but may hold a hidden value all the same. So whatever
holds the text of one is hidden, too.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

Marks = frozenset[str]
NO_MARKS: Marks = frozenset()
# What is as short as this stands inside of many words.
_SHORT_CHARACTERS = 3


@dataclass(frozen=True, slots=True)
class Member:
    """One agent of a call, as far as the others are concerned."""

    name: str
    private: Marks = NO_MARKS
    tools: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Held:
    """A variable's value, and what may be read from it."""

    value: str
    marks: Marks = NO_MARKS


Variables = Mapping[str, Held]


@dataclass(frozen=True, slots=True)
class Sight:
    """What one agent may see, from when it takes over until it hands over."""

    hidden: Marks = NO_MARKS
    """Variables that are private to others, and that no handoff has named."""
    named: frozenset[str] = frozenset()
    """Variables that the handoff to it has named."""
    heard: Marks = NO_MARKS
    """What may be read from what it was given of the conversation before."""


def sight_of(members: Iterable[Member], name: str, *, named: Iterable[str] = (), heard: Marks = NO_MARKS) -> Sight:
    """Return what an agent may see after a handoff that names these variables."""
    by_name = {member.name: member for member in members}
    others: Marks = frozenset().union(*(member.private for member in by_name.values() if member.name != name))
    return Sight(hidden=others - by_name[name].private - frozenset(named), named=frozenset(named), heard=heard)


def take_in(members: Iterable[Member], values: Mapping[str, str]) -> dict[str, Held]:
    """Return the variables of a call that begins."""
    private: Marks = frozenset().union(*(member.private for member in members))
    return {name: Held(value, _own_mark(name, value, private)) for name, value in values.items()}


def put(
    variables: Variables, members: Iterable[Member], name: str, value: str, *, by: Sight
) -> tuple[dict[str, Held], Sight]:
    """Return the variables after an agent has set one, and its sight: it knows what it has set, whosever that is.

    What could be read from a variable before may still be remembered, so marks are never taken away.
    """
    private: Marks = frozenset().union(*(member.private for member in members))
    before = variables[name].marks if name in variables else NO_MARKS
    own = _own_mark(name, value, private)
    known = marks_of(by, variables)
    return {**variables, name: Held(value, before | known | own)}, replace(by, heard=known | own)


def remember(sight: Sight, variables: Variables) -> Sight:
    """Return a sight that knows what it sees now even when that is hidden from it later."""
    return replace(sight, heard=marks_of(sight, variables))


def marks_of(sight: Sight, variables: Variables) -> Marks:
    """Return what may be read from the words of an agent with this sight."""
    seen = (variables[name].marks for name in visible(sight, variables))
    return sight.heard.union(*seen)


def visible(sight: Sight, variables: Variables) -> dict[str, str]:
    """Return the variables that an agent with this sight may see, with their values."""
    secrets = secrets_before(sight, variables)
    return {
        name: held.value
        for name, held in variables.items()
        if name in sight.named or not (held.marks & sight.hidden or betrays(held.value, secrets))
    }


def secrets_before(sight: Sight, variables: Variables) -> frozenset[str]:
    """Return the values that an agent with this sight must not meet in any text."""
    return frozenset(
        held.value for name, held in variables.items() if held.marks & sight.hidden and name not in sight.named
    )


def betrays(text: str, secrets: Iterable[str]) -> bool:
    """Tell whether a text holds one of these values, however it is spelt and spaced; a short one as a word."""
    words = _words(text)
    run_together = "".join(words)
    for secret in secrets:
        needle = "".join(_words(secret))
        if not needle:
            if secret.strip() and secret.strip() in text:
                return True
        elif needle in words or (len(needle) > _SHORT_CHARACTERS and needle in run_together):
            return True
    return False


def _own_mark(name: str, value: str, private: Marks) -> Marks:
    # From what is empty nothing can be read.
    return frozenset({name}) & private if value.strip() else NO_MARKS


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())
