"""What a caller hears when nobody could answer: never nothing.

Pure: it knows neither how it is said, nor who failed.
"""

from dataclasses import dataclass
from typing import Literal

from voicefleet.conversation.phrases import cannot_go_on, say_again

Job = Literal["hearing", "thinking", "speaking"]
MOST_IN_A_ROW = 3
"""Failed turns in a row after which a call is ended: who calls again may be luckier than who stays."""


@dataclass(frozen=True, slots=True)
class Apology:
    """What is said, and whether the call goes on."""

    words: str
    has_voice: bool
    """Whether there is somebody to say it; else it is beeped."""
    is_last: bool

    @property
    def beeps(self) -> int:
        """Beeps in place of the words: one more when the call ends."""
        return 3 if self.is_last else 2


def apologise(failed: Job, in_a_row: int, *, language: str) -> Apology:
    """Decide what follows a turn that failed, the first (1) or another one in a row."""
    is_last = in_a_row >= MOST_IN_A_ROW
    words = cannot_go_on(language) if is_last else say_again(language)
    return Apology(words, has_voice=failed != "speaking", is_last=is_last)
