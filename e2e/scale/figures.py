"""Figures of a run: what was asked, what came out, and whether that is enough."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, and the limit that it should keep, if there is one."""

    name: str
    value: float
    unit: str
    at_most: float | None = None

    @property
    def kept(self) -> bool:
        """Tell whether it is within its limit; a number that could not be taken is not."""
        return self.at_most is None or self.value <= self.at_most


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one measurement found."""

    measurement: str
    title: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    sizes: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return next(figure.value for figure in self.figures if figure.name == name)

    @property
    def kept(self) -> bool:
        """Tell whether every figure is within its limit."""
        return all(figure.kept for figure in self.figures)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON, which knows no infinity."""
        figures = [asdict(figure) | {"value": _finite(figure.value), "kept": figure.kept} for figure in self.figures]
        return asdict(self) | {"figures": figures, "kept": self.kept}


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value that this share of all does not exceed (nearest rank); infinite for no values at all."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.inf


def table(outcomes: Sequence[Outcome]) -> str:
    """Return all figures as text."""
    rows = [(outcome, figure) for outcome in outcomes for figure in outcome.figures]
    width = max((len(figure.name) for _, figure in rows), default=0)
    lines: list[str] = []
    last: Outcome | None = None
    for outcome, figure in rows:
        if outcome is not last:
            sizes = ", ".join(f"{name} {number:g}" for name, number in outcome.sizes.items())
            lines += ["", f"{outcome.title} ({sizes})", *(f"  note: {note}" for note in outcome.notes)]
            last = outcome
        limit = "" if figure.at_most is None else f"  at most {figure.at_most:g}"
        verdict = "" if figure.at_most is None else ("  kept" if figure.kept else "  MISSED")
        lines.append(f"  {figure.name:<{width}}  {figure.value:>10.2f} {figure.unit:<8}{limit:<16}{verdict}".rstrip())
    return "\n".join(lines).lstrip("\n")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
