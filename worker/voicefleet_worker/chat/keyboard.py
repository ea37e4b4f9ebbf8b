"""What a person types, or a pipe brings, line by line and without holding up the agent."""

import asyncio
import contextlib
import io
import re
import sys
import termios
import threading
from collections.abc import Callable, Iterator

# What takes no room on a line has to be marked for who edits it.
_STYLE = re.compile("\x1b\\[[0-9]*m")


class Keyboard:
    """Standard input. A line is read when it is asked for, so that nothing is typed into an answer."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdin.isatty()
        # The lock of a buffer would be held by whoever waits for a line: Python aborts an end that finds it held.
        self._pipe = io.FileIO(sys.stdin.fileno(), closefd=False)
        self._can_edit = self.is_terminal and sys.stdout.isatty()
        if self._can_edit:
            # For its effect: lines can be edited, and earlier ones called up.
            import readline  # noqa: F401, PLC0415

    async def line(self, prompt: str) -> str | None:
        """Return the next line, or None at the end."""
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        # A thread that waits for a key cannot be called off; one that nobody waits for ends with the process.
        threading.Thread(target=self._read, args=(prompt, answer), daemon=True).start()
        line = None
        try:
            line = await answer
        finally:
            if line is None and self.is_terminal:
                # Nobody has ended the line of the prompt.
                sys.stdout.write("\n")
        return line

    def _read(self, prompt: str, answer: "asyncio.Future[str | None]") -> None:
        try:
            text = self._edited(prompt) if self._can_edit else self._plain(prompt)
        except (EOFError, OSError, UnicodeDecodeError):
            text = None

        def tell() -> None:
            if not answer.done():
                answer.set_result(text)

        # Whoever leaves in between closes the loop.
        with contextlib.suppress(RuntimeError):
            answer.get_loop().call_soon_threadsafe(tell)

    def _edited(self, prompt: str) -> str:
        return input(_STYLE.sub("\x01\\g<0>\x02", prompt))

    def _plain(self, prompt: str) -> str | None:
        if self.is_terminal:
            sys.stdout.write(prompt)
            sys.stdout.flush()
        line = self._pipe.readline()
        return line.decode(sys.stdin.encoding) if line else None


@contextlib.contextmanager
def terminal_kept() -> Iterator[Callable[[], None]]:
    """Leave the terminal as it was, whenever we go: somebody may be in the middle of a line.

    Whoever goes without coming back here gives it back first.
    """
    if not sys.stdin.isatty():
        yield lambda: None
        return
    before = termios.tcgetattr(sys.stdin)

    def give_back() -> None:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)

    try:
        yield give_back
    finally:
        give_back()
