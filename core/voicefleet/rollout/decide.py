"""Where new calls go: the decision about one rollout, made anew from the status each time.

All that it must remember stands in the status that it returns, so an operator that starts again goes on where the
last one stood. Two facts tell how far a rollout is, not its phase: the revision is the stable one (it has taken
over), or it is the rejected one (it was rolled back).
"""

from dataclasses import replace
from datetime import datetime, timedelta

from voicefleet.api.types import timestamp
from voicefleet.api.voiceagent.rollout import Rollout
from voicefleet.api.voiceagent.status import RevisionStatus, RolloutStatus
from voicefleet.rollout.aim import Aim, begin, find_stable, goes_on, plan_aim
from voicefleet.rollout.canary import Advance, Trial, advance_canary, hold_canary, say
from voicefleet.rollout.clock import elapsed, hold, resume, time_until
from voicefleet.rollout.comparison import compare
from voicefleet.rollout.drains import Drains
from voicefleet.rollout.history import Parts, find_revision, number_revisions, remember
from voicefleet.rollout.promotion import promoted_step
from voicefleet.rollout.seen import LiveRevision, RolloutDecision, RolloutSeen
from voicefleet.wording import plural

_BLIND = "stands still: it is unknown which workers there are, or the load of some"
_NONE_CLOSES = "no other one is closed while the load of some workers is unknown"
_HELD = "spec.rollout.undoToRevision keeps revision"
_PAUSED = "stands still: spec.rollout.paused is set"


def plan_rollout(seen: RolloutSeen, *, now: datetime) -> RolloutDecision:
    """Return where new calls go from now on, and the status that says so."""
    highest = seen.before.highest_number if seen.before is not None else 0
    numbered = number_revisions(seen.known, seen.live, seen.wanted, highest=highest, now=now)
    stable = find_stable(seen)
    aim = plan_aim(seen, numbered, stable)
    status = begin(seen, aim, stable, max(highest, *(revision.number for revision in numbered)))
    advance = _advance(seen, numbered, aim, status, now)
    return _decided(seen, numbered, advance, now)


def _advance(
    seen: RolloutSeen, numbered: tuple[RevisionStatus, ...], aim: Aim, status: RolloutStatus, now: datetime
) -> Advance:
    if status.revision == status.rejected:
        return Advance(_rolled_back(status, now))
    if aim.problem is not None:
        return Advance(say(hold(status, now), "Stalled", aim.problem))
    if status.revision == status.stable:
        return Advance(_taken_over(seen, status, now))
    if seen.rules.paused and not aim.at_once:
        return Advance(hold_canary(status, _PAUSED, now))
    trial = _trial(seen, numbered, status)
    if status.started_at is None:
        # There is nothing to compare with, and nothing to protect, if the stable revision never took a call.
        stable = find_revision(numbered, status.stable or "")
        proven = _live(seen, status.stable or "").taking > 0 or (stable is not None and stable.took_calls)
        has_canary = bool(trial.steps) and proven and not aim.at_once
        status = resume(status, now).model_copy(update={"started_at": timestamp(now), "step": int(has_canary)})
    advance = Advance(status)
    if trial.is_on(status):
        if seen.blind:
            return Advance(hold_canary(status, _BLIND, now))
        advance = advance_canary(trial, status, now)
    if advance.status.phase == "RolledBack":
        return advance
    if not trial.is_on(advance.status):
        return replace(advance, status=_move_all(seen, advance.status, now))
    missing = _lacks_workers(seen, _live(seen, advance.status.revision))
    return replace(advance, status=_watch_progress(seen, advance.status, missing=missing, now=now))


def _lacks_workers(seen: RolloutSeen, canary: LiveRevision) -> bool:
    """Tell whether a canary has workers that do not come up; what load or a node that goes has closed came up once.

    A fleet that sleeps wants no workers, and lacks none.
    """
    if not canary.taking:
        return seen.workers_wanted > 0
    return canary.taking + canary.closed < canary.workers


def _trial(seen: RolloutSeen, numbered: tuple[RevisionStatus, ...], status: RolloutStatus) -> Trial:
    canary, revision = seen.rules.canary, find_revision(numbered, status.revision)
    return Trial(
        seen,
        steps=canary.steps if canary else (),
        analysis=canary.analysis if canary else None,
        number=revision.number if revision else 0,
        taking=_live(seen, status.revision).taking,
        promoted=promoted_step(seen.promoted, revision) if revision else 0,
    )


def _move_all(seen: RolloutSeen, status: RolloutStatus, now: datetime) -> RolloutStatus:
    """Let all new calls go over as workers take calls; it has taken over once no other worker does."""
    status = resume(status, now)
    taking, others = _live(seen, status.revision).taking, _others(seen, status)
    if not seen.blind and others.taking == 0 and taking >= min(1, seen.workers_wanted):
        return _taken_over(seen, status.model_copy(update={"stable": status.revision}), now)
    # 2 of 3 workers that take calls are new: 66 %. All is said only once it has taken over.
    moved = min(99, 100 * taking // max(1, taking + others.taking))
    status = status.model_copy(update={"share_percent": max(status.share_percent, moved)})
    words = f"{taking} of {taking + others.taking} workers that take calls are of this revision"
    words += f"; {_NONE_CLOSES}" if seen.blind else ""
    return _watch_progress(
        seen, say(status, "Progressing", _with_comparison(seen, status, words)), missing=True, now=now
    )


def _taken_over(seen: RolloutSeen, status: RolloutStatus, now: datetime) -> RolloutStatus:
    others = _others(seen, status)
    status = status.model_copy(
        update={
            "share_percent": 100,
            "started_at": status.started_at or timestamp(now),
            "step_started_at": None,
            "paused_at": None,
            "missing_since": None,
            "taking": 0,
        }
    )
    if others.taking:
        words = f"still taking calls: {plural(others.taking, 'worker')} of other revisions"
        return say(status, "Progressing", words)
    if others.workers:
        words = f"all new calls go to this revision; {plural(others.workers, 'worker')} of other revisions left"
        return say(status, "Draining", _with_comparison(seen, status, words))
    # Whoever went back and writes a new template later has perhaps forgotten that.
    held = f"{_HELD} {status.revision}; remove it to roll out the template" if status.revision != seen.wanted else ""
    return say(status, "Complete", _with_comparison(seen, status, held))


def _rolled_back(status: RolloutStatus, now: datetime) -> RolloutStatus:
    words = status.verdict if status.phase == "RolledBack" else "was found worse before"
    update = {
        "share_percent": 0,
        "started_at": status.started_at or timestamp(now),
        "paused_at": None,
        "missing_since": None,
    }
    return say(status.model_copy(update=update), "RolledBack", words)


def _watch_progress(seen: RolloutSeen, status: RolloutStatus, *, missing: bool, now: datetime) -> RolloutStatus:
    """Say that a rollout is stalled once workers have been missing for long and none has come."""
    if not missing or status.phase != "Progressing":
        return status.model_copy(update={"missing_since": None, "taking": 0})
    before, taking = seen.before, _live(seen, status.revision).taking
    moved = before is not None and before.revision == status.revision and status.share_percent > before.share_percent
    if status.missing_since is None or taking > status.taking or moved:
        since = {"missing_since": timestamp(now), "taking": max(taking, status.taking)}
        return status.model_copy(update=since)
    deadline = seen.rules.progress_deadline_seconds
    if elapsed(status.missing_since, now).total_seconds() < deadline:
        return status
    words = f"no further worker of this revision has taken calls within {deadline} seconds; {status.verdict}"
    return say(status, "Stalled", words)


def _decided(
    seen: RolloutSeen, numbered: tuple[RevisionStatus, ...], advance: Advance, now: datetime
) -> RolloutDecision:
    status = advance.status
    target, stable, share = _direct_calls(status, seen.rules)
    drains = _drains(seen, status).note(seen.calls, target=target)
    status = status.model_copy(
        update={
            "calls_drained": min(1_000_000, drains.drained),
            "calls_finished": min(1_000_000, drains.finished),
            "calls_cut": min(1_000_000, drains.cut),
        }
    )
    main = status.stable or status.revision
    parts = Parts(stable=main, canary=target if target != main else None, wanted=seen.wanted)
    return RolloutDecision(
        target=target,
        stable=stable,
        share_percent=share,
        status=status,
        revisions=remember(numbered, seen.live, parts, limit=seen.rules.revision_history_limit),
        drains=drains,
        figures_used=advance.figures_used,
        next_look=_next_look(status, seen.rules, now),
    )


def _direct_calls(status: RolloutStatus, rules: Rollout) -> tuple[str, str | None, int]:
    """Return the revision that new calls go to, the one that takes the rest, and the first one's share."""
    revision, stable = status.revision, status.stable or status.revision
    if revision in (status.rejected, stable) or status.started_at is None:
        return stable, None, 100
    on_step = rules.canary is not None and 1 <= status.step <= len(rules.canary.steps)
    held = status.paused_at is not None
    share = status.share_percent if on_step or held else 100
    if share == 0 and not on_step:
        return stable, None, 100
    return revision, stable if share < 100 else None, share


def _drains(seen: RolloutSeen, status: RolloutStatus) -> Drains:
    before = seen.before
    if before is None or not goes_on(before, status.revision, status.rejected):
        return Drains()
    if seen.drains is not None:
        return seen.drains
    return Drains.resume(before.calls_drained, before.calls_finished, before.calls_cut)


def _next_look(status: RolloutStatus, rules: Rollout, now: datetime) -> timedelta | None:
    if status.revision in (status.stable, status.rejected) or status.paused_at is not None:
        return None
    moments: list[tuple[str | None, float]] = [(status.missing_since, rules.progress_deadline_seconds)]
    canary = rules.canary
    if canary is not None and 1 <= status.step <= len(canary.steps):
        moments.append((status.step_started_at, canary.steps[status.step - 1].pause_seconds))
        if canary.analysis is not None:
            # A look that is due but has too few calls to compare is tried again.
            interval = canary.analysis.interval_seconds
            looked_at = status.analysis.looked_at if status.analysis else None
            moments += [(looked_at, interval), (timestamp(now), interval)]
    return time_until(moments, now)


def _live(seen: RolloutSeen, name: str) -> LiveRevision:
    return next((revision for revision in seen.live if revision.name == name), LiveRevision(name))


def _others(seen: RolloutSeen, status: RolloutStatus) -> LiveRevision:
    others = [revision for revision in seen.live if revision.name != status.revision]
    return LiveRevision("", sum(each.workers for each in others), sum(each.taking for each in others))


def _with_comparison(seen: RolloutSeen, status: RolloutStatus, words: str) -> str:
    canary = seen.rules.canary
    if status.analysis is None or canary is None or canary.analysis is None:
        return words
    compared = compare(status.analysis, canary.analysis).words
    return f"{words}; {compared}" if words else compared
