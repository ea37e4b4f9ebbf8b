"""What was told about each object, and how often, so that the same again only counts."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

_TELL_AGAIN_SECONDS = 60.0
# Words with numbers in them never end, and an Event is gone after an hour.
_MOST_TOLD = 64


@dataclass(frozen=True, slots=True)
class Telling:
    """How often something was told, and when first and last."""

    since: datetime
    count: int
    at: float


class Told:
    """The latest tellings about each object, by its uid."""

    def __init__(self) -> None:
        self._told: defaultdict[str, dict[str, Telling]] = defaultdict(dict)

    def again(self, uid: str, what: str, *, now: datetime, clock: float) -> Telling | None:
        """Return how often something has been told with this time, or nothing if it was told a moment ago."""
        before = self._told[uid].get(what)
        if before is None:
            return Telling(now, 1, clock)
        if clock - before.at < _TELL_AGAIN_SECONDS:
            return None
        return Telling(before.since, before.count + 1, clock)

    def note(self, uid: str, what: str, telling: Telling) -> None:
        """Keep that something was told, and forget what was told longest ago."""
        told = self._told[uid]
        told.pop(what, None)
        told[what] = telling
        while len(told) > _MOST_TOLD:
            del told[next(iter(told))]

    def forget(self, uid: str) -> None:
        """Forget what was told about an object that is gone."""
        self._told.pop(uid, None)
