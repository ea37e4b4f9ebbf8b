"""Which revision a rollout is about: the spec's, or the one that a person goes back to."""

from collections.abc import Iterable
from dataclasses import dataclass

from voicefleet.api.voiceagent.status import RevisionStatus, RolloutStatus
from voicefleet.rollout.history import find_revision
from voicefleet.rollout.promotion import ALL_STEPS, promoted_step
from voicefleet.rollout.seen import RolloutSeen


@dataclass(frozen=True, slots=True)
class Aim:
    """A revision, and how it is to be reached."""

    revision: str
    rejected: str | None = None
    """Revision that was found worse; the aim itself, if the spec still asks for it."""
    at_once: bool = False
    """Without a canary: a person goes back, and back is known ground."""
    problem: str | None = None
    """Why a person's wish cannot be done."""


def plan_aim(seen: RolloutSeen, numbered: tuple[RevisionStatus, ...], stable: str) -> Aim:
    """Return what is to be rolled out."""
    rejected = _still_rejected(seen, numbered)
    wish = seen.rules.undo_to_revision
    if wish is None:
        return Aim(seen.wanted, rejected, at_once=seen.wanted == stable)
    found = find_revision(numbered, wish)
    if found is not None and found.name != rejected:
        return Aim(found.name, rejected, at_once=True)
    stay = seen.before.revision if seen.before is not None else seen.wanted
    reason = "was found worse and rolled back" if found is not None else "is not remembered"
    known = ", ".join(f"{each.number} ({each.name})" for each in numbered if each.name not in (rejected, seen.wanted))
    offer = f"undoToRevision may be one of {known}" if known else "there is no other revision to go back to"
    return Aim(stay, rejected, problem=f"revision {wish} {reason}; {offer}")


def _still_rejected(seen: RolloutSeen, numbered: Iterable[RevisionStatus]) -> str | None:
    """Return the rejected revision as long as the spec asks for it and no person takes all of it on himself."""
    if seen.before is None or seen.before.rejected != seen.wanted:
        return None
    revision = find_revision(numbered, seen.wanted)
    accepted = revision is not None and promoted_step(seen.promoted, revision) == ALL_STEPS
    return None if accepted else seen.wanted


def find_stable(seen: RolloutSeen) -> str:
    """Return the revision that calls go back to: what the status remembers, or else what takes most calls now."""
    if seen.before is not None:
        return seen.before.stable or seen.before.revision
    others = [revision for revision in seen.live if revision.name != seen.wanted and revision.taking]
    wanted_takes = any(revision.name == seen.wanted and revision.taking for revision in seen.live)
    if wanted_takes or not others:
        return seen.wanted
    return max(others, key=lambda revision: (revision.taking, revision.name)).name


def goes_on(before: RolloutStatus, revision: str, rejected: str | None) -> bool:
    """Tell whether it is the same rollout as before; one that a person takes up again after its rejection is not."""
    was_rejected, is_rejected = before.rejected == before.revision, rejected == revision
    return before.revision == revision and (is_rejected or not was_rejected)


def begin(seen: RolloutSeen, aim: Aim, stable: str, highest: int) -> RolloutStatus:
    """Return the rollout of the aim: the one under way, or one that has not begun."""
    before = seen.before
    if before is not None and goes_on(before, aim.revision, aim.rejected):
        return before.model_copy(update={"rejected": aim.rejected, "stable": stable, "highest_number": highest})
    return RolloutStatus(
        revision=aim.revision,
        stable=stable,
        rejected=aim.rejected,
        phase="Progressing",
        share_percent=100 if aim.revision == stable else 0,
        highest_number=highest,
    )
