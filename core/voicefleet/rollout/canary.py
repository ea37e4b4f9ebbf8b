"""One canary's way through its steps: held for a while, compared, taken on, or found worse."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from voicefleet.api.types import timestamp
from voicefleet.api.voiceagent.rollout import Analysis, RolloutStep
from voicefleet.api.voiceagent.status import RolloutAnalysis, RolloutStatus
from voicefleet.rollout.clock import elapsed, hold, resume
from voicefleet.rollout.comparison import Judgement, Verdict, compare, gather, has_enough
from voicefleet.rollout.figures import Figures
from voicefleet.rollout.promotion import invite
from voicefleet.rollout.seen import RolloutSeen


@dataclass(frozen=True, slots=True)
class Advance:
    """A canary after one more look at it."""

    status: RolloutStatus
    figures_used: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A canary under trial: the fleet, the canary's number and workers, and what a person allowed."""

    seen: RolloutSeen
    steps: tuple[RolloutStep, ...]
    analysis: Analysis | None
    number: int
    taking: int
    promoted: int
    """Last step that a person lets it leave."""

    def is_on(self, status: RolloutStatus) -> bool:
        """Tell whether there is a step left to take."""
        return 1 <= status.step <= len(self.steps)


def advance_canary(trial: Trial, status: RolloutStatus, now: datetime) -> Advance:
    """Return the canary after this look: one step further at most, unless a person lets it skip some."""
    if trial.promoted >= status.step:
        status = _leave_step(trial, status, min(trial.promoted, len(trial.steps)), now)
        if not trial.is_on(status):
            return Advance(status)
    if status.analysis is not None and status.analysis.found_worse:
        return Advance(_worse(trial, status, _judge(trial, status), now))
    step = trial.steps[status.step - 1]
    status = _share(resume(status, now), step.share_percent)
    if trial.taking and status.step_started_at is None:
        status = status.model_copy(update={"step_started_at": timestamp(now)})
    looked = _look(trial, status, now)
    status, verdict = looked.status, _judge(trial, looked.status)
    if status.analysis is not None and status.analysis.found_worse:
        return Advance(_worse(trial, status, verdict, now), looked.figures_used)
    held = timedelta(seconds=step.pause_seconds)
    over = (
        step.pause_seconds > 0 and status.step_started_at is not None and elapsed(status.step_started_at, now) >= held
    )
    if over and trial.taking and verdict.judgement is Judgement.NO_WORSE:
        status = _leave_step(trial, status, status.step, now)
        if trial.is_on(status):
            status = _share(status, trial.steps[status.step - 1].share_percent)
        else:
            return Advance(say(status, "Progressing", verdict.words), looked.figures_used)
    return Advance(_describe(trial, status, verdict), looked.figures_used)


def hold_canary(status: RolloutStatus, why: str, now: datetime) -> RolloutStatus:
    """Return the canary as it stands, with its clock stopped."""
    return say(hold(status, now), "Paused", why)


def _describe(trial: Trial, status: RolloutStatus, verdict: Verdict) -> RolloutStatus:
    step = trial.steps[status.step - 1]
    where = f"step {status.step} of {len(trial.steps)}, {status.share_percent} % of new calls"
    if status.step_started_at is None:
        return say(status, "Progressing", f"{where}: waits for a worker that takes calls")
    words = f"{where}: {verdict.words}" if verdict.words else where
    if step.pause_seconds == 0:
        return say(status, "Paused", f"{words}; {invite(trial.number, status.step)}")
    return say(status, "Progressing", words)


def _judge(trial: Trial, status: RolloutStatus) -> Verdict:
    if trial.analysis is None:
        return Verdict(Judgement.NO_WORSE, "")
    return compare(status.analysis or RolloutAnalysis(), trial.analysis)


def _look(trial: Trial, status: RolloutStatus, now: datetime) -> Advance:
    """Compare the revisions if it is time to; figures from before the canary took calls are left aside."""
    rules, known = trial.analysis, status.analysis
    if rules is None or status.step_started_at is None:
        return Advance(status)
    if known is None or known.looked_at is None:
        begun = (known or RolloutAnalysis()).model_copy(update={"looked_at": timestamp(now)})
        return Advance(status.model_copy(update={"analysis": begun}), figures_used=True)
    figures = trial.seen.figures
    canary, stable = figures.get(status.revision, Figures()), figures.get(status.stable or "", Figures())
    if elapsed(known.looked_at, now).total_seconds() < rules.interval_seconds or not has_enough(canary, stable, rules):
        return Advance(status)
    gathered = gather(known, canary, stable, rules=rules, now=now)
    return Advance(status.model_copy(update={"analysis": gathered}), figures_used=True)


def _worse(trial: Trial, status: RolloutStatus, verdict: Verdict, now: datetime) -> RolloutStatus:
    words = verdict.words if verdict.judgement is Judgement.WORSE else f"was found worse; since then {verdict.words}"
    canary = trial.seen.rules.canary
    if canary is not None and canary.automatic_rollback:
        update = {"rejected": status.revision, "share_percent": 0, "paused_at": None, "missing_since": None}
        rejected = status.model_copy(update=update)
        return say(rejected, "RolledBack", f"{words}; new calls go to {status.stable} again")
    return say(hold(status, now), "Paused", f"{words}; {invite(trial.number, status.step)}")


def _leave_step(trial: Trial, status: RolloutStatus, left: int, now: datetime) -> RolloutStatus:
    """Go on behind a step. A person who lets a worse canary go on has judged it, and the comparison begins anew."""
    worse = status.analysis is not None and status.analysis.found_worse
    return status.model_copy(
        update={
            "step": left + 1,
            "step_started_at": timestamp(now) if trial.taking else None,
            "paused_at": None,
            "analysis": None if worse else status.analysis,
        }
    )


def _share(status: RolloutStatus, percent: int) -> RolloutStatus:
    """Give the canary its share; one that was edited down in mid-rollout takes no calls back."""
    return status.model_copy(update={"share_percent": max(status.share_percent, percent)})


def say(status: RolloutStatus, phase: str, words: str) -> RolloutStatus:
    """Return the rollout with a phase and why it is in it."""
    return status.model_copy(update={"phase": phase, "verdict": words[:1024]})
