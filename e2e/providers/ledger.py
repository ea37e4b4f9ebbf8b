"""What was asked of the providers: counts, sizes and times, never a key and never a text."""

import hashlib
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

_KEPT = 20_000
_SECRET_OPTIONS = frozenset({"api_key", "access_token", "token"})


def fingerprint(key: str) -> str:
    """Return enough of a key's digest to tell two keys apart."""
    return hashlib.sha256(key.encode()).hexdigest()[:12] if key else ""


def public_options(options: dict[str, Any]) -> dict[str, Any]:
    """Drop what may hold a secret."""
    return {name: value for name, value in options.items() if name not in _SECRET_OPTIONS}


@dataclass(slots=True)
class Entry:
    """One request, or one socket with its turns (utterances heard, sentences said, responses made)."""

    time_seconds: float
    instance: str
    provider: str
    service: str
    transport: str
    key: str = ""
    model: str = ""
    language: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    audio_in_bytes: int = 0
    audio_in_seconds: float = 0.0
    audio_out_bytes: int = 0
    audio_out_seconds: float = 0.0
    text_in_chars: int = 0
    text_out_chars: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    turns: int = 0
    status: int = 0
    outcome: str = "open"
    fault: str = "ok"
    ttfb_ms: float | None = None
    turn_ttfb_ms: list[float] = field(default_factory=list)
    duration_ms: float | None = None


class Ledger:
    """The last requests, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)

    def add(self, entry: Entry) -> None:
        """Write down a request when it comes in."""
        self._entries.append(entry)

    def rows(self) -> list[dict[str, Any]]:
        """Return every request as JSON."""
        return [asdict(entry) for entry in self._entries]

    def counts(self) -> dict[str, dict[str, int]]:
        """Count requests, turns and outcomes by `instance/provider/service`."""
        counters: dict[str, Counter[str]] = {}
        for entry in self._entries:
            counter = counters.setdefault(f"{entry.instance}/{entry.provider}/{entry.service}", Counter())
            counter.update({"requests": 1, "turns": entry.turns, entry.outcome: 1})
        return {name: dict(counter) for name, counter in counters.items()}

    def clear(self) -> None:
        """Forget."""
        self._entries.clear()
