"""How much is repeated of what a worker said before it ended, where people read who may not read its log. Pure."""

import re

from voicefleet.api.references import looks_like_a_secret
from voicefleet.names import LAST_WORDS_PREFIX

_LONGEST_CHARACTERS = 300
_beginning_of_word = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]")
# Keys of most vendors have no shape but their length; names in our own words are shorter, or have dashes or no digit.
_unbroken = re.compile(r"[0-9A-Za-z]{16,}")


def quotable(message: str) -> str:
    """Return a worker's last words in one line, or nothing if it did not write them for that, or they may hold a key.

    An image of somebody else's may leave anything where the kubelet looks, such as the end of its log.
    """
    if not message.startswith(LAST_WORDS_PREFIX):
        return ""
    words = " ".join(message.removeprefix(LAST_WORDS_PREFIX).split())
    if any(looks_like_a_secret(words[found.start() :]) for found in _beginning_of_word.finditer(words)):
        return ""
    if any(re.search("[0-9]", run) for run in _unbroken.findall(words)):
        return ""
    return words if len(words) <= _LONGEST_CHARACTERS else words[: _LONGEST_CHARACTERS - 1] + "…"
