"""Whether LiveKit gives calls to the workers that ask for them: a server may clamp loads, and then draws evenly.

A new call is a hit if its worker asked for calls, a miss if it went to one that asked for none while another one that
asked had room. A rush of calls makes misses too, as the favourites fill up between two words of theirs, but never most.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from voicefleet.autoscaling.packing import GRADES
from voicefleet.fleet.observed import Heard

_ASKS_FOR_CALLS = GRADES[-1]
_FEWEST_CALLS = 12
_FORGETFUL_AT = 60


@dataclass(frozen=True, slots=True)
class Preference:
    """What became of the latest calls that had a choice."""

    hits: int = 0
    misses: int = 0

    @property
    def is_ignored(self) -> bool:
        """Whether calls go wherever they like; of those that had a choice, hardly one in a hundred should."""
        return self.hits + self.misses >= _FEWEST_CALLS and self.misses > self.hits

    def after(self, uid: str, new_calls: int, before: Mapping[str, Heard]) -> "Preference":
        """Return it after calls came to a worker, of which, like of all others, this was the word before."""
        heard = before.get(uid)
        if not new_calls or heard is None or heard.state.asked_load is None:
            return self
        if _asks(heard):
            return Preference(self.hits + new_calls, self.misses).fading()
        if any(_asks(other) and _has_room(other) for name, other in before.items() if name != uid):
            return Preference(self.hits, self.misses + new_calls).fading()
        return self

    def fading(self) -> "Preference":
        """Forget half when there is much to remember: a server that was set right is believed again."""
        if self.hits + self.misses < _FORGETFUL_AT:
            return self
        return Preference(self.hits // 2, self.misses // 2)


def _asks(heard: Heard) -> bool:
    return heard.state.asked_load is not None and heard.state.asked_load <= _ASKS_FOR_CALLS


def _has_room(heard: Heard) -> bool:
    state = heard.state
    closed = state.cordoned or state.draining or not state.registered
    return not closed and len(state.sessions) < state.slots
