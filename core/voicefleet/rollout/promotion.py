"""How a person lets a canary go on: one annotation that names the revision and the step that may be left.

`kubectl annotate va desk voicefleet.dev/promote=7/2 --overwrite` lets revision 7 leave steps 1 and 2;
`7/all` skips all steps. Since the revision is named, what is left lying there does nothing to the next rollout.
"""

from voicefleet.api.voiceagent.status import RevisionStatus
from voicefleet.names import ANNOTATION_PROMOTE

ALL_STEPS = 1_000


def promoted_step(annotation: str, revision: RevisionStatus) -> int:
    """Return the last step that a person lets this revision leave; 0 if none."""
    whom, _, step = annotation.strip().partition("/")
    if whom not in (revision.name, str(revision.number)):
        return 0
    if step == "all":
        return ALL_STEPS
    return min(int(step), ALL_STEPS - 1) if step.isascii() and step.isdigit() and len(step) <= 4 else 0


def invite(number: int, step: int) -> str:
    """Say how a person lets the canary go on."""
    return f"to go on: kubectl annotate va NAME {ANNOTATION_PROMOTE}={number}/{step} --overwrite"
