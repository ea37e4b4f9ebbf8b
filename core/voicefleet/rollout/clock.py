"""Moments of a rollout as the status holds them: to the second, and standing still while the rollout is held."""

from datetime import datetime, timedelta

from voicefleet.api.types import timestamp
from voicefleet.api.voiceagent.status import RolloutStatus


def elapsed(since: str | None, now: datetime) -> timedelta:
    """Return how long ago a moment was; nothing if it has not come."""
    return now - datetime.fromisoformat(since) if since is not None else timedelta()


def hold(status: RolloutStatus, now: datetime) -> RolloutStatus:
    """Stop the clock of the steps."""
    return status.model_copy(update={"paused_at": status.paused_at or timestamp(now)})


def resume(status: RolloutStatus, now: datetime) -> RolloutStatus:
    """Let the clock go on where it stopped."""
    if status.paused_at is None:
        return status
    held = max(timedelta(), elapsed(status.paused_at, now))
    return status.model_copy(
        update={
            "paused_at": None,
            "step_started_at": _moved(status.step_started_at, held),
            "missing_since": _moved(status.missing_since, held),
        }
    )


def time_until(moments: list[tuple[str | None, float]], now: datetime) -> timedelta | None:
    """Return the time to the next moment: each is a beginning and the seconds after it; what is past is left out."""
    left = [timedelta(seconds=after) - elapsed(since, now) for since, after in moments if since is not None]
    ahead = [time for time in left if time > timedelta()]
    return min(ahead) if ahead else None


def _moved(moment: str | None, by: timedelta) -> str | None:
    return None if moment is None else timestamp(datetime.fromisoformat(moment) + by)
