"""What a person sees: who says what, as it is said, and dimmed what the agent does besides."""

import logging
from typing import TextIO

from livekit.agents.voice.io import TextOutput

from voicefleet_worker.logs import SAFE_FIELDS

_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_SHOWN_CHARACTERS = 400


class Screen:
    """Standard output; who reads it through a pipe gets the same without colours."""

    def __init__(self, output: TextIO, *, is_coloured: bool) -> None:
        self._output = output
        self._is_coloured = is_coloured
        self._is_within_line = False

    def label(self, who: str) -> str:
        """Return what stands before somebody's words."""
        return self._in(_BOLD, f"{who}>") + " "

    def said(self, who: str, words: str) -> None:
        """Show what somebody said."""
        self.end_line()
        self._write(f"{self.label(who)}{_printable(words)}\n")

    def aside(self, line: str) -> None:
        """Show what was done and not said."""
        self.end_line()
        shown = _printable(line)
        shown = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
        self._write(self._in(_DIM, f"  {shown}") + "\n")

    def stream(self, who: str, piece: str) -> None:
        """Show a piece of what somebody is saying."""
        if not self._is_within_line:
            self._write(self.label(who))
            piece = piece.lstrip()
        self._is_within_line = True
        self._write(_printable(piece))

    def end_line(self) -> None:
        """Begin a new line, unless one has just begun."""
        if self._is_within_line:
            self._is_within_line = False
            self._write("\n")

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._is_coloured else text

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()


class Words(TextOutput):
    """Where the session puts what the agent says."""

    def __init__(self, screen: Screen, who: str) -> None:
        super().__init__(label="terminal", next_in_chain=None)
        self._screen = screen
        self._who = who

    async def capture_text(self, text: str) -> None:
        """Show a piece."""
        self._screen.stream(self._who, text)

    def flush(self) -> None:
        """Show that this was all."""
        self._screen.end_line()


def set_up_logging(screen: Screen) -> None:
    """Show our own warnings; the SDK tells of the same failures at greater length."""
    handler = _Asides(screen)
    logging.basicConfig(level=logging.CRITICAL, handlers=[handler], force=True)
    for name in ("livekit", "livekit.agents", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("voicefleet").setLevel(logging.WARNING)


class _Asides(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        known = {name: value for name, value in vars(record).items() if name in SAFE_FIELDS}
        fields = ", ".join(f"{name}: {value}" for name, value in sorted(known.items()))
        self._screen.aside(f"! {record.getMessage()}" + (f" ({fields})" if fields else ""))


def _printable(text: str) -> str:
    """Keep from a terminal what it would obey."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)
