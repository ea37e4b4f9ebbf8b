"""The soak as a picture: memory, and who used the machine."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from e2e.voice_bench.series import PARTS, Sample

_COLOURS = ("tab:green", "tab:blue", "tab:gray", "lightgray")


def write_plot(path: Path, samples: Sequence[Sample], *, title: str, cores: int) -> None:
    """Draw the series of a soak."""
    seconds = [sample.seconds for sample in samples]
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(seconds, [sample.megabytes for sample in samples], color=_COLOURS[0])
    above.axvline(60, linestyle=":", color="black", label="the first minute")
    above.set_ylim(0, 1.2 * max(sample.megabytes for sample in samples))
    above.set_ylabel("memory of the worker, MB (PSS)")
    above.legend(loc="lower right")
    above.set_title(title)
    below.stackplot(
        seconds, [[sample.cores[part] for sample in samples] for part in PARTS], labels=PARTS, colors=_COLOURS
    )
    below.plot(seconds, [sample.busy * cores for sample in samples], ":", color="black", label="the whole machine")
    below.set_ylim(0, cores)
    below.set_ylabel("cores in use")
    below.set_xlabel("seconds")
    below.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    # With words as words, without a date and with ids that stay, a picture of the same figures is the same small file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "voicefleet"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
