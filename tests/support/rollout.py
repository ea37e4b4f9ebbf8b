"""Rollouts for tests, told as stories: live workers, a spec, time that passes, and a status that survives restarts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from voicefleet.api.voiceagent.rollout import Rollout
from voicefleet.api.voiceagent.status import RevisionStatus, RolloutStatus
from voicefleet.rollout import Figures, LiveRevision, RolloutDecision, RolloutSeen, WorkerCalls, plan_rollout

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
STEPS = ({"sharePercent": 5, "pauseSeconds": 600}, {"sharePercent": 50, "pauseSeconds": 300})
Count = int | tuple[int, int] | tuple[int, int, int]
ANALYSIS = {"intervalSeconds": 30, "minCalls": 50}


def canary(*steps: dict[str, int], **fields: Any) -> dict[str, Any]:
    """Return the spec of a canary, of two steps unless others are named."""
    return {"steps": list(steps or STEPS), **fields}


def figures(calls: int, *, failed: int = 0, early: int = 0) -> Figures:
    """Return figures of calls with twenty requests and ten fast turns each."""
    turns = (0, 0, 0, calls * 10, *(0,) * 14)
    return Figures(calls, failed, early, provider_requests=calls * 20, turn_latency=turns)


def well(calls: int) -> Figures:
    """Return figures of calls of which one in a hundred failed."""
    return figures(calls, failed=calls // 100)


class Story:
    """One agent's rollouts from look to look; each look is made again on the status as it was written down."""

    def __init__(self, *, taking: int = 4, **rollout: Any) -> None:
        self.now = NOW
        self.rules = rollout
        self.seen = RolloutSeen(Rollout(), "one", 4)
        self.said: RolloutDecision | None = None
        self.look(one=(taking, 4))

    @property
    def status(self) -> RolloutStatus:
        """Return the latest status."""
        assert self.said is not None
        return self.said.status

    @property
    def told(self) -> tuple[str, str, int]:
        """Return the phase, where new calls go, and the share of that."""
        assert self.said is not None
        return self.status.phase, self.said.target, self.said.share_percent

    def template(self, wanted: str) -> "Story":
        """Change the template."""
        self.seen = replace(self.seen, wanted=wanted)
        return self

    def spec(self, **rollout: Any) -> "Story":
        """Change fields of spec.rollout."""
        self.rules = {**self.rules, **rollout}
        return self

    def after(self, seconds: float) -> "Story":
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self

    def counted(self, **by_revision: Figures) -> "Story":
        """Let calls end."""
        sums = {name: self.seen.figures.get(name, Figures()) + new for name, new in by_revision.items()}
        self.seen = replace(self.seen, figures={**self.seen.figures, **sums})
        return self

    def promote(self, value: str) -> "Story":
        """Let a person go on."""
        self.seen = replace(self.seen, promoted=value)
        return self

    def blind(self, is_blind: bool = True) -> "Story":
        """Lose sight of the load, or find it again."""
        self.seen = replace(self.seen, blind=is_blind)
        return self

    def holding(self, *workers: WorkerCalls) -> "Story":
        """Show who holds calls."""
        self.seen = replace(self.seen, calls=workers)
        return self

    def wants(self, workers: int) -> "Story":
        """Let the fleet want another number of workers."""
        self.seen = replace(self.seen, workers_wanted=workers)
        return self

    def live(self, **taking: Count) -> "Story":
        """Let other workers live: how many take calls, or also how many there are, and how many are closed."""
        self.seen = replace(self.seen, live=tuple(_live(name, count) for name, count in taking.items()))
        return self

    def look(self, **taking: Count) -> RolloutDecision:
        """Decide, write the status down, and check that it alone leads to the same decision."""
        if taking:
            self.live(**taking)
        self.seen = replace(self.seen, rules=Rollout.model_validate(self.rules))
        said = plan_rollout(self.seen, now=self.now)
        self.seen = replace(
            self.seen,
            before=RolloutStatus.model_validate_json(said.status.model_dump_json(by_alias=True, exclude_none=True)),
            known=tuple(RevisionStatus.model_validate_json(each.model_dump_json()) for each in said.revisions),
            figures={} if said.figures_used else self.seen.figures,
            drains=said.drains,
        )
        for drains in (said.drains, None):
            again = plan_rollout(replace(self.seen, drains=drains), now=self.now)
            assert again.status == said.status, (again.status, said.status)
            assert (again.target, again.stable, again.share_percent) == (said.target, said.stable, said.share_percent)
            assert again.revisions == said.revisions
        self.said = said
        return said


def _live(name: str, count: Count) -> LiveRevision:
    taking, workers, closed = (*count, 0)[:3] if isinstance(count, tuple) else (count, count, 0)
    return LiveRevision(name, workers=workers, taking=taking, closed=closed, oldest=NOW)
