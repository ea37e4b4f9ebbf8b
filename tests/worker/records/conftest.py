"""Desks to work at, and pauses that nobody notices."""

from pathlib import Path

import pytest

from voicefleet_worker.records import pauses
from voicefleet_worker.records.clerk import Desks


@pytest.fixture
def desks(tmp_path: Path) -> Desks:
    return Desks.below(tmp_path)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "pause_seconds", lambda _failures, _longest: 0.01)
