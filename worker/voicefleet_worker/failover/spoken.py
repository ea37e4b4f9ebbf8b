"""How far a text was spoken, by the sound that there is of it."""

import re
from collections.abc import Sequence

# What an ordinary voice says in a second, as long as nobody has heard this one.
USUAL_CHARACTERS_PER_SECOND = 15.0
_SLACK_SECONDS = 0.05
_WORD_ENDS = re.compile(r"\s+|(?<=[.!?,;:\u3001\u3002\uff01\uff1f])(?=\S)")

Word = tuple[str, float]
"""A word and the moment at which it has been said."""


def spoken_characters(text: str, words: Sequence[Word], seconds: float, *, per_second: float) -> int:
    """Return how many characters of a text were said within so many seconds of its sound.

    A provider that tells when each word ends is believed. Of another one it is reckoned, and the word in the middle of
    which it fell silent is said again: half of a word is none.
    """
    if words:
        return _up_to_last_word(text, [word for word, ended in words if ended <= seconds + _SLACK_SECONDS])
    reckoned = int(seconds * per_second)
    if reckoned >= len(text):
        return len(text)
    ends = [found.end() for found in _WORD_ENDS.finditer(text) if found.end() <= reckoned]
    return ends[-1] if ends else 0


def _up_to_last_word(text: str, said: Sequence[str]) -> int:
    """Find words one after another; one that the provider writes in another way is passed over."""
    at = 0
    for word in said:
        found = text.find(word.strip(), at)
        at = found + len(word.strip()) if found >= 0 else at
    return at
