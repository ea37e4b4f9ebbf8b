"""Everything the handlers share, in one place on the application."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from e2e.providers.espeak import Voice
from e2e.providers.faults import ANY, FaultBoard
from e2e.providers.hearing import Hearing
from e2e.providers.ledger import Ledger
from e2e.providers.persona import Rule
from e2e.providers.wire import Json

if TYPE_CHECKING:
    from e2e.providers.exchange import Exchange


class KeyRing:
    """The keys that are accepted; without any, every key but the empty one is."""

    def __init__(self) -> None:
        self._accepted: dict[tuple[str, str], frozenset[str]] = {}

    def put(self, instance: str, provider: str, keys: Iterable[str]) -> None:
        """Accept these keys and no others."""
        self._accepted[instance, provider] = frozenset(keys)

    def clear(self) -> None:
        """Accept any key again."""
        self._accepted.clear()

    def accepts(self, instance: str, provider: str, key: str) -> bool:
        """Decide on one key."""
        for name in ((instance, provider), (ANY, provider)):
            if name in self._accepted:
                return key in self._accepted[name]
        return bool(key)


@dataclass(slots=True)
class Studio:
    """The state of the stand-ins."""

    hearing: Hearing
    voice: Voice = field(default_factory=Voice)
    faults: FaultBoard = field(default_factory=FaultBoard)
    ledger: Ledger = field(default_factory=Ledger)
    keys: KeyRing = field(default_factory=KeyRing)
    rules: list[Rule] = field(default_factory=list)
    # What was said aloud, so that a test can ask what the caller must have heard.
    spoken: deque[Json] = field(default_factory=lambda: deque(maxlen=2000))
    live: set["Exchange"] = field(default_factory=set)


STUDIO = web.AppKey("studio", Studio)
