"""Rules for every unit test: no network but loopback, nothing that blocks the event loop."""

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings
from pytest_socket import socket_allow_hosts

# How long an example takes says more about the machine than about us.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

OURS = ["voicefleet", "voicefleet_operator", "voicefleet_worker", "tests.support"]


@pytest.fixture(autouse=True)
def _no_network() -> None:
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx(OURS):
        yield
