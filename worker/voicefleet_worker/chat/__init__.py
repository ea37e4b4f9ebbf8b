"""`voicefleet chat`: the very agent of a call, talked to in a terminal."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable

from voicefleet_worker.chat.conversation import converse
from voicefleet_worker.chat.keyboard import Keyboard, terminal_kept
from voicefleet_worker.chat.leaving import heed_ctrl_c
from voicefleet_worker.chat.material import Material, Wishes, gather
from voicefleet_worker.chat.screen import Screen, set_up_logging
from voicefleet_worker.problems import BadInputError

_FAILED = 1
_BAD_INPUT = 2
_INTERRUPTED = 130


def run(arguments: argparse.Namespace) -> int:
    """Talk until one side has had enough, and return the exit code."""
    screen = Screen(sys.stdout, is_coloured=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    wishes = Wishes(
        arguments.agent, arguments.pool, arguments.secrets, dict(arguments.variables), texts=arguments.texts
    )
    try:
        material = gather(wishes, os.environ)
        set_up_logging(screen)
        with terminal_kept() as give_back:
            return asyncio.run(_talk(material, screen, give_back))
    except BadInputError as error:
        sys.stderr.write(f"voicefleet chat: {error}\n")
        return _BAD_INPUT


async def _talk(material: Material, screen: Screen, give_back: Callable[[], None]) -> int:
    def leave_at_once() -> None:
        give_back()
        os._exit(_INTERRUPTED)

    is_leaving = heed_ctrl_c(leave_at_once)
    try:
        return 0 if await converse(material, Keyboard(), screen) else _FAILED
    except asyncio.CancelledError:
        if not is_leaving.is_set():
            raise
        return _INTERRUPTED
