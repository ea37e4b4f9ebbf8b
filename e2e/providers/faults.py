"""What is wrong with a provider right now: pure bookkeeping, the clock and the sockets are elsewhere."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Mode = Literal[
    "ok",
    "slow",
    "wrong",
    "throttled",
    "unauthorized",
    "error",
    "dead_mid_stream",
    "stalled_mid_stream",
    "endless",
    "silent",
    "flapping",
    "refuse",
]
MODES: tuple[str, ...] = get_args(Mode)
ANY = "*"
MAIN = "main"


class BadFaultError(ValueError):
    """A fault that makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to be broken.

    Modes: `slow` waits before the first chunk and between chunks; `wrong` answers garbage; `throttled`
    is 429 with Retry-After; `unauthorized` 401; `error` is `status`; `dead_mid_stream` cuts the TCP
    connection after so many chunks or bytes, and `stalled_mid_stream` sends no more on it; `endless` is
    speech that goes on for ever; `silent` accepts and never answers; `flapping` is in turn down
    (`status`) and up, by period or, without one, by request; `refuse` cuts before any answer.
    """

    mode: Mode = "ok"
    latency_ms: float = 0
    first_byte_ms: float | None = None
    retry_after_seconds: int = 1
    status: int | None = None
    after_chunks: int = 2
    after_bytes: int | None = None
    period_ms: float = 0
    fraction: float = 1.0

    @classmethod
    def parse(cls, body: dict[str, Any]) -> "Fault":
        """Read a fault from the control API, refusing what it does not know."""
        unknown = body.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise BadFaultError(f"unknown fields: {sorted(unknown)}")
        if body.get("mode", "ok") not in MODES:
            raise BadFaultError(f"mode must be one of {', '.join(MODES)}, was {body['mode']!r}")
        fault = cls(**body)
        if not 0 <= fault.fraction <= 1:
            raise BadFaultError(f"fraction must be between 0 and 1, was {fault.fraction}")
        return fault

    def delay_seconds(self, *, first: bool) -> float:
        """Say how long to wait before the next chunk."""
        if self.mode != "slow":
            return 0.0
        if first and self.first_byte_ms is not None:
            return self.first_byte_ms / 1000
        return self.latency_ms / 1000


OK = Fault()


@dataclass(slots=True)
class _Setting:
    fault: Fault
    since_seconds: float
    requests: int = 0

    def for_next_request(self, now_seconds: float) -> Fault:
        self.requests += 1
        # Spread evenly and without chance: of ten requests with 0.3, the 4th, 7th and 10th.
        hit = int(self.requests * self.fault.fraction) > int((self.requests - 1) * self.fault.fraction)
        if not hit:
            return OK
        if self.fault.mode != "flapping":
            return self.fault
        return Fault(mode="error", status=self.fault.status or 503) if self._is_down(now_seconds) else OK

    def _is_down(self, now_seconds: float) -> bool:
        """Down first, then up, and so on."""
        if not self.fault.period_ms:
            return self.requests % 2 == 1
        return int((now_seconds - self.since_seconds) * 1000 / self.fault.period_ms) % 2 == 0


class FaultBoard:
    """The faults of every instance of every provider."""

    def __init__(self) -> None:
        self._settings: dict[tuple[str, str, str], _Setting] = {}

    def put(self, key: tuple[str, str, str], fault: Fault, *, now_seconds: float) -> None:
        """Break one service of one instance; `*` stands for all services or all providers."""
        self._settings[key] = _Setting(fault=fault, since_seconds=now_seconds)

    def clear(self, instance: str | None = None) -> None:
        """Mend one instance, or everything."""
        kept = {key: value for key, value in self._settings.items() if instance not in (None, key[0])}
        self._settings = kept

    def admit(self, key: tuple[str, str, str], *, now_seconds: float) -> Fault:
        """Decide what a new request meets."""
        setting = self._find(key)
        return setting.for_next_request(now_seconds) if setting else OK

    def revision(self, key: tuple[str, str, str]) -> int:
        """Change whenever the fault is set anew, so that streams already open notice."""
        setting = self._find(key)
        return id(setting) if setting else 0

    def snapshot(self) -> dict[str, str]:
        """Say what is broken."""
        return {"/".join(key): setting.fault.mode for key, setting in self._settings.items()}

    def _find(self, key: tuple[str, str, str]) -> _Setting | None:
        instance, provider, service = key
        for name in ((instance, provider, service), (instance, provider, ANY), (instance, ANY, ANY)):
            if name in self._settings:
                return self._settings[name]
        return None
