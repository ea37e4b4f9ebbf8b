"""The machine over the time of a soak: plain values."""

from dataclasses import asdict, dataclass

PARTS = ("worker", "livekit-server", "stand-ins", "callers")


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at one moment, and what was used since the one before."""

    seconds: float
    megabytes: float
    busy: float
    """Share of all cores, by whomever."""
    cores: dict[str, float]
    """By each part of the bench."""

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)
