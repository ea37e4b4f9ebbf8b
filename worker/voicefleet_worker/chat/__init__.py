"""`voicefleet chat`: the very agent of a call, talked to in a terminal."""

import argparse
import asyncio
import os
import sys

from voicefleet_worker.chat.conversation import converse
from voicefleet_worker.chat.keyboard import Keyboard, terminal_kept
from voicefleet_worker.chat.material import Wishes, gather
from voicefleet_worker.chat.screen import Screen, set_up_logging
from voicefleet_worker.problems import BadInputError

_FAILED = 1
_BAD_INPUT = 2


def run(arguments: argparse.Namespace) -> int:
    """Talk until one side has had enough, and return the exit code."""
    screen = Screen(sys.stdout, is_coloured=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    wishes = Wishes(
        arguments.agent, arguments.pool, arguments.secrets, dict(arguments.variables), texts=arguments.texts
    )
    try:
        material = gather(wishes, os.environ)
        set_up_logging(screen)
        with terminal_kept():
            return 0 if asyncio.run(converse(material, Keyboard(), screen)) else _FAILED
    except BadInputError as error:
        sys.stderr.write(f"voicefleet chat: {error}\n")
        return _BAD_INPUT
