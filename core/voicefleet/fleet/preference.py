"""Whether LiveKit gives calls to the workers that ask for them: a server may clamp loads, and then draws evenly.

What tells is a call that had a choice between workers whose loads lie far apart and not above zero, for there a server
that clamps sees no difference. It is a hit if nobody who asked for far more calls had room, a miss if somebody had,
both by the word before the call and by the word after it: a rush that fills the favourites is no miss.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from voicefleet.autoscaling.packing import OWN_FORMULA, REST
from voicefleet.fleet.observed import Heard

_FAR_APART = 50.0
"""Grades are a hundred apart; a canary's share sets lesser differences, by which both sides get calls."""
_FEWEST_CALLS = 12
_FEWEST_TO_TRUST = 24
_HITS_TO_TRUST = 10
"""So many for each miss: of two workers a server that clamps hits one call in two, and 22 of 24 once in 50,000."""
_FORGETFUL_AT = 60


class Extremes(NamedTuple):
    """What was asked for, throughout, by workers that had room all the while."""

    lowest: float = math.inf
    """By whoever asked for most calls."""
    highest: float = -math.inf
    """By whoever asked for fewest, of those that a server that clamps cannot tell from the others."""


@dataclass(frozen=True)
class Words:
    """The last words of a fleet's workers, and those before that."""

    before: Mapping[str, Heard]
    now: Mapping[str, Heard]

    @cached_property
    def extremes(self) -> Extremes:
        """Return between which loads a call had the choice; found out once, for a turn may bring hundreds of calls."""
        lowest, highest = Extremes()
        for uid, then in self.before.items():
            now = self.now.get(uid)
            if now is None or not _has_room(now) or (then is not now and not _has_room(then)):
                continue
            loads = _load(then), _load(now)
            lowest = min(lowest, max(loads))
            if max(loads) <= REST:
                highest = max(highest, min(loads))
        return Extremes(lowest, highest)

    def load(self, uid: str) -> float | None:
        """Return what a worker reported throughout; if that changed, nobody knows what it was when a call came."""
        if uid not in self.before or uid not in self.now:
            return None
        then, now = _load(self.before[uid]), _load(self.now[uid])
        return now if then == now else None


@dataclass(frozen=True, slots=True)
class Preference:
    """What became of the latest calls that had a choice."""

    hits: int = 0
    misses: int = 0
    is_ignored: bool = False
    """Calls go wherever they like. Believed until nearly all calls of a few dozen go where they were asked for."""

    def after(self, uid: str, new_calls: int, words: Words) -> "Preference":
        """Return it after calls came to a worker."""
        own = words.load(uid)
        if not new_calls or own is None:
            return self
        # No load is far from itself: whoever is far away is another worker.
        lowest, highest = words.extremes
        if _is_far_below(lowest, own):
            return Preference(self.hits, self.misses + new_calls, self.is_ignored)._judged()
        if _is_far_below(own, highest):
            return Preference(self.hits + new_calls, self.misses, self.is_ignored)._judged()
        return self

    def _judged(self) -> "Preference":
        """Change the verdict if there is reason to, or else forget half when there is much to remember."""
        calls = self.hits + self.misses
        if self.is_ignored and calls >= _FEWEST_TO_TRUST and self.misses * _HITS_TO_TRUST <= self.hits:
            return Preference()
        if not self.is_ignored and calls >= _FEWEST_CALLS and self.misses > self.hits:
            return Preference(is_ignored=True)
        if calls < _FORGETFUL_AT:
            return self
        return Preference(self.hits // 2, self.misses // 2, self.is_ignored)


def _load(heard: Heard) -> float:
    """Return what it reports while it is open; who was told nothing reports a little below zero."""
    return OWN_FORMULA if heard.state.asked_load is None else heard.state.asked_load


def _is_far_below(load: float, other: float) -> bool:
    return 1 - load >= _FAR_APART * (1 - other)


def _has_room(heard: Heard) -> bool:
    state = heard.state
    closed = state.cordoned or state.draining or not state.registered
    return heard.live and not closed and len(state.sessions) < state.slots
