"""The simulation as a figure: calls wasted by the size of the fleet, with and without sharing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from multirouter.errors import UsageError

# Colours that colour-blind readers can tell apart. Source: Okabe and Ito, Color Universal Design.
COLOURS = {False: "#D55E00", True: "#0072B2"}
NAMES = {False: "each process alone", True: "state shared"}


def draw(runs: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Writes a figure with two plots.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("a picture requires matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    plots = figure.subplots(1, 2)
    for plot, key, title in zip(
        plots,
        ("wasted", "trials"),
        ("calls wasted on a dead provider", "trials while it was dead"),
        strict=True,
    ):
        for shared in (False, True):
            rows = [run for run in runs if run["shared"] is shared]
            sizes = [run["processes"] for run in rows]
            counts = [sum(outage[key] for outage in run["outages"]) for run in rows]
            plot.plot(sizes, counts, "o-", color=COLOURS[shared], label=NAMES[shared])
            for size, count in zip(sizes, counts, strict=True):
                plot.annotate(
                    f"{count:,}", (size, count), (0, 5), textcoords="offset points", ha="center"
                )
        plot.set(xscale="log", yscale="log", title=title, xlabel="processes of the fleet")
        plot.margins(y=0.2)
        plot.grid(alpha=0.3)
        plot.legend(frameon=False, loc="upper left")
    figure.savefig(file, dpi=120)
