"""Text that comes in pieces, let through whole word by whole word: who takes over in between begins with a new one."""

import re

# The beginning of a word that may go on in the next piece. Scripts without spaces have no such beginnings.
_BEGINNING = re.compile(r"[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u9fff\uf900-\ufaff]{1,40}\Z")


class WholeWords:
    """What was let through so far, and the piece of a word that waits for its end."""

    def __init__(self) -> None:
        self.said = ""
        self._held = ""

    def push(self, piece: str) -> str:
        """Take in a piece and return what is whole by now."""
        text = self._held + piece
        beginning = _BEGINNING.search(text)
        cut = beginning.start() if beginning else len(text)
        self._held = text[cut:]
        return self._let_through(text[:cut])

    def finish(self) -> str:
        """Return what was held: nothing goes on."""
        held, self._held = self._held, ""
        return self._let_through(held)

    def _let_through(self, text: str) -> str:
        self.said += text
        return text
