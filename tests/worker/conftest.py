"""Files of a worker for every test that wants them."""

from pathlib import Path

import pytest

from tests.worker.files import Mounted, mount
from voicefleet_worker.settings import Settings, load_settings


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return mount(tmp_path)


@pytest.fixture
def settings(mounted: Mounted) -> Settings:
    """Read outside of any event loop, as the worker does."""
    return load_settings(mounted.flags, {})
