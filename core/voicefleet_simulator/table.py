"""Figures as a table for people."""

from collections.abc import Sequence

from voicefleet_simulator.compare import Figures
from voicefleet_simulator.trace import Trace

_HEAD = ("policy", "dispatch", "pod-hours", "x bound", "blocked", "waited", "calls cut", "p99 wait", "pods created")


def render_table(trace: Trace, least: float, played: Sequence[Figures]) -> str:
    """Return the figures of all policies, one a line, under a line about the day."""
    rows = [_HEAD, *(_row(figures) for figures in played)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEAD))]
    hours = trace.seconds / 3600
    about = (
        f"{trace.name}: {len(trace.starts):,} calls in {hours:,.1f} h, at most {trace.peak:,} at once. "
        f"Knowing it all ahead would take {least:,.1f} pod-hours."
    )
    return "\n".join([about, "", *(_line(row, widths) for row in rows)])


def _row(figures: Figures) -> tuple[str, ...]:
    outcome = figures.outcome
    return (
        figures.contender.name,
        figures.contender.dispatch.value,
        f"{outcome.pod_hours:,.1f}",
        "-" if figures.ratio is None else f"{figures.ratio:.3f}",
        f"{outcome.blocked_fraction:.4%}",
        f"{outcome.waited_fraction:.3%}",
        f"{outcome.cut:,}",
        f"{outcome.p99_wait_seconds:.1f} s",
        f"{outcome.pods_created:,}",
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right."""
    cells = [
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
