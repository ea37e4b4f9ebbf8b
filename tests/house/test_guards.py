"""The guards of the test suite guard."""

import asyncio
import os
import socket
import time

import pytest
from blockbuster import BlockingError
from pytest_socket import SocketConnectBlockedError

from tests.support import blocking


def test_a_unit_test_cannot_reach_the_network() -> None:
    # The guard warns before it raises, and here a warning is an error.
    refused = pytest.raises((SocketConnectBlockedError, UserWarning), match="tried to use socket")
    with socket.socket() as connection, refused:
        connection.connect(("192.0.2.1", 80))


async def test_code_that_blocks_the_event_loop_is_caught() -> None:
    with pytest.raises(BlockingError):
        blocking.sleep_in_the_loop()


async def test_code_that_waits_as_it_should_passes() -> None:
    await asyncio.sleep(0)


def test_blocking_outside_a_loop_is_nobodys_business() -> None:
    started = time.monotonic()
    blocking.sleep_in_the_loop()

    assert time.monotonic() > started
    assert os.getpid()
