"""Having the kubelets look at the Secrets of running workers now, and not when they next would.

The operator may not read Secrets, so it cannot see that one has changed: somebody says so with an annotation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from voicefleet.fleet.observed import PodRef, Worker

# Each is a write, and calls go before.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Refresh:
    """A pod that is to bear what was said when Secrets changed; that it is another word makes its kubelet look."""

    pod: PodRef
    word: str


def plan_refreshes(word: str, staying: Iterable[Worker]) -> tuple[Refresh, ...]:
    """Return the pods that do not bear the word yet; the next turn goes on where there are many."""
    if not word:
        return ()
    lacking = [worker.pod.ref for worker in staying if worker.pod.secrets_changed != word]
    return tuple(Refresh(ref, word) for ref in lacking[:_AT_ONCE])
