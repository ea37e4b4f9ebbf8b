"""Who decides alone: only whoever goes on saying so, and is heard."""

from dataclasses import dataclass

import pytest

from tests.support.fleet import state
from voicefleet.names import SILENT_AFTER_SECONDS
from voicefleet.providers.alone import ALONE_AFTER_SECONDS, Sharing, SharingLedger


def said(*words: tuple[float, str, bool | None]) -> SharingLedger:
    """Return the ledger that was told at these moments, by these workers, whether they share."""
    ledger = SharingLedger()
    for at, uid, shares in words:
        ledger.note(uid, state(shares_health=shares), at)
    return ledger


@dataclass(frozen=True)
class Case:
    """What workers say, and how many of them are alone at a moment."""

    id: str
    words: tuple[tuple[float, str, bool | None], ...]
    at: float
    counted: Sharing


LIMIT = ALONE_AFTER_SECONDS
CASES = [
    Case("nobody has said anything", (), 0, Sharing(0, 0)),
    Case("workers without Redis do not count", ((0, "a", None), (30, "a", None)), 30, Sharing(0, 0)),
    Case("one that shares is not alone", ((0, "a", True), (30, "a", True)), 30, Sharing(1, 0)),
    Case("one that has just begun is not alone yet", ((0, "a", False), (14, "a", False)), LIMIT - 0.1, Sharing(1, 0)),
    Case("one that goes on saying so is", ((0, "a", False), (14, "a", False)), LIMIT, Sharing(1, 1)),
    Case("one that shares again is not", ((0, "a", False), (20, "a", True)), 20, Sharing(1, 0)),
    Case("its time alone begins anew", ((0, "a", False), (20, "a", True), (21, "a", False)), 30, Sharing(1, 0)),
    Case("two of three", tuple((at, uid, uid == "c") for at in (0, 20) for uid in "abc"), 20, Sharing(3, 2)),
    Case("one that lost its Redis by its spec", ((0, "a", False), (20, "a", None)), 20, Sharing(0, 0)),
    Case("one that is heard no more", ((0, "a", False), (20, "a", False)), 20.1 + SILENT_AFTER_SECONDS, Sharing(0, 0)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_who_decides_alone(case: Case) -> None:
    assert said(*case.words).count(case.at) == case.counted


def test_a_worker_that_is_gone_does_not_count() -> None:
    ledger = said((0, "a", False), (0, "b", False), (20, "a", False), (20, "b", False))
    ledger.retain({"b"})

    assert ledger.count(20) == Sharing(1, 1)
