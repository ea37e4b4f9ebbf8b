"""How often something happened within the last minute, without a list of when."""

from dataclasses import dataclass, replace

_MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Counts of this minute and of the one before."""

    began_at: float = 0.0
    count: int = 0
    earlier: int = 0

    def counting(self, now: float, *, by: int = 1) -> "Rate":
        """Count something that happens now."""
        fresh = self._at(now)
        return replace(fresh, count=fresh.count + by)

    def last_minute(self, now: float) -> int:
        """Return how much there was within the last minute: of the minute before, the share that still counts."""
        fresh = self._at(now)
        share = 1 - (now - fresh.began_at) / _MINUTE_SECONDS
        return round(fresh.count + fresh.earlier * share)

    def _at(self, now: float) -> "Rate":
        age, minute_began_at = now - self.began_at, now - now % _MINUTE_SECONDS
        if age < 0:
            # The clock was set back: what was counted lately still was.
            return Rate(minute_began_at, self.count)
        if age < _MINUTE_SECONDS:
            return self
        return Rate(minute_began_at, earlier=self.count if age < 2 * _MINUTE_SECONDS else 0)
