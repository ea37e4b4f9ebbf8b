"""The frontier as a picture: what is paid against what is lost."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from voicefleet_simulator.catalogue import OURS
from voicefleet_simulator.compare import Figures

SUFFIXES = (".svg", ".png")
_EXTRA = "voicefleet[plot]"
# Nothing lost cannot stand on a logarithmic axis; it stands at its left end.
_LEAST_FRACTION = 1e-6
# Far above this is far from good; the rest would be squeezed.
_HIGHEST_RATIO = 2.2


class CannotPlotError(Exception):
    """matplotlib is not there, or the file cannot be written."""


def check_plot(path: str) -> None:
    """Find out whether a plot can be made before an hour of simulation is spent."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise CannotPlotError(f"{path}: a plot is a file that ends in {' or '.join(SUFFIXES)}")
    if not Path(path).resolve().parent.is_dir():
        raise CannotPlotError(f"{path}: there is no such folder")
    if find_spec("matplotlib") is None:
        raise CannotPlotError(f"a plot needs matplotlib: pip install '{_EXTRA}'")


def write_plot(path: str, played: Sequence[Figures], curve: Sequence[Figures], title: str) -> None:
    """Draw every policy as a point, and ours over its headrooms as a curve."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    for figures in played:
        ours = figures.contender.name == OURS
        axes.plot(*_point(figures), "o" if ours else "x", color="tab:green" if ours else "tab:gray")
        label = f"{figures.contender.name} ({figures.contender.dispatch.value})"
        axes.annotate(
            label, _point(figures), fontsize=6, xytext=(3, 3), textcoords="offset points", annotation_clip=True
        )
    points = [_point(figures) for figures in curve]
    axes.plot([x for x, _ in points], [y for _, y in points], "-", color="tab:green", label="voicefleet by headroom")
    axes.axhline(1.0, linestyle=":", color="black", label="clairvoyant bound")
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_FRACTION / 1.5, 1.0)
    axes.set_ylim(0.98, _HIGHEST_RATIO)
    axes.set_xlabel("share of calls that found no slot (none at all: 0.0001 %)")
    axes.set_ylabel("pod-hours as a multiple of the bound")
    axes.set_title(title)
    axes.legend(loc="upper right")
    try:
        figure.savefig(path)
    except OSError as error:
        raise CannotPlotError(f"{path}: cannot be written: {error.strerror}") from error


def _point(figures: Figures) -> tuple[float, float]:
    return max(_LEAST_FRACTION, figures.outcome.blocked_fraction), min(_HIGHEST_RATIO, figures.ratio or 1.0)
