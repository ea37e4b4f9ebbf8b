"""Files of a worker for every test that wants them."""

from pathlib import Path

import pytest

from tests.worker.files import Mounted, mount
from voicefleet_worker import environment
from voicefleet_worker.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _nothing_stays_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back what a call tells its own process: the next test would find a whole LiveKit in its environment."""
    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", environment._SPANS_MAY_HOLD_WORDS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return mount(tmp_path)


@pytest.fixture
def settings(mounted: Mounted) -> Settings:
    """Read outside of any event loop, as the worker does."""
    return load_settings(mounted.flags, {})
