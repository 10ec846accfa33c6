"""The run as a figure: outages and circuits over time, shares, latencies and recoveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.outages.availability import absences, unavailable_periods
from benchmarks.outages.contestants import ORACLE, OURS
from benchmarks.outages.experiments import Experiment
from benchmarks.outages.measures import BACK_WITHIN
from benchmarks.outages.simulation import NO_PROVIDER
from benchmarks.outages.world import World
from multirouter.errors import UsageError

# Colours that colour-blind readers can tell apart. Source: Okabe and Ito, Color Universal Design.
PROVIDERS = ("#0072B2", "#56B4E9", "#009E73", "#F0E442")
KINDS_BY_COLOUR: Mapping[str, tuple[str, ...]] = {
    "#D55E00": ("errors", "hang", "reset", "two at once"),
    "#E69F00": ("429", "429 retry-after"),
    "#CC79A7": ("slow", "decline"),
    "#8C6D46": ("partial", "flapping", "lies"),
}
STATES = {"open": "#333333", "half_open": "#B8B8B8", "cooling down": "#7FA8C9"}
POLICIES = ("#000000", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9")

ZOOM = 12 * 3600.0
"""Seconds of the interval that is shown enlarged, at most; also at most a third of the whole."""

BINS = 72
"""Number of intervals in which shares are shown."""


def draw(experiments: Sequence[Experiment], file: Path) -> list[Path]:
    """Draws the first seed of each scenario; a second scenario's file is named after it.

    Returns:
        The files written.

    Raises:
        UsageError: matplotlib is not installed, or the file is neither .png nor .svg.
    """
    if file.suffix not in {".png", ".svg"}:
        raise UsageError(f"--picture must be a .png or .svg file, got {file.name}")
    figure = _figure_class()
    written: list[Path] = []
    for scenario in dict.fromkeys(experiment.scenario for experiment in experiments):
        seed = experiments[0].seed
        group = [t for t in experiments if (t.scenario, t.seed) == (scenario, seed)]
        target = file.with_stem(f"{file.stem}-{scenario}") if written else file
        canvas = figure(figsize=(17, 10.5), layout="constrained")
        _fill(canvas, group)
        canvas.savefig(target, dpi=110)
        written.append(target)
    return written


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("--picture requires matplotlib: pip install matplotlib") from None
    return Figure


def _fill(figure: Any, group: Sequence[Experiment]) -> None:
    shown = next((t for t in group if t.policy == OURS), group[-1])
    world = shown.world
    grid = figure.add_gridspec(3, 2, width_ratios=(1.75, 1), height_ratios=(1, 0.9, 1))
    whole = figure.add_subplot(grid[0, 0])
    shares = figure.add_subplot(grid[1, 0])
    close = figure.add_subplot(grid[2, 0], sharex=shares)
    span = _zoom(world)
    unit, word = (86_400.0, "days") if world.seconds > 2 * 86_400 else (3600.0, "hours")
    hours = f"hours {span[0] / 3600:.1f} to {span[1] / 3600:.1f}"
    _lanes(whole, shown, (0.0, world.seconds), unit)
    whole.set(title=f"{shown.scenario}: outages (above) and {shown.policy} (below)", xlabel=word)
    _shares(shares, shown, span)
    shares.set_title(f"Providers that answer the calls of {shown.policy}, {hours}")
    _lanes(close, shown, span, 3600.0)
    close.set(title="The same interval: outages (above), circuits (below)", xlabel="hours")
    _legend(close)
    _latencies(figure.add_subplot(grid[0:2, 1]), group)
    _recovery_times(figure.add_subplot(grid[2, 1]), group)


def _zoom(world: World) -> tuple[float, float]:
    """The interval with most kinds of outages, and among those the one with the longest."""
    width = min(ZOOM, world.seconds / 3)
    starts = [min(max(0.0, i.outage.start - width / 12), world.seconds - width)
              for i in world.incidents]  # fmt: skip

    def score(start: float) -> tuple[int, float]:
        spans: dict[str, float] = {}
        for i in world.incidents:
            seconds = min(i.outage.end, start + width) - max(i.outage.start, start)
            if seconds > width / 100:
                spans[i.kind] = max(seconds, spans.get(i.kind, 0.0))
        return len(spans), sum(spans.values())

    best = max(starts, key=score, default=0.0)
    return best, best + width


def _lanes(axes: Any, experiment: Experiment, span: tuple[float, float], unit: float) -> None:
    """One lane per provider: outages above, the policy's states below."""
    world = experiment.world
    colours = {kind: colour for colour, kinds in KINDS_BY_COLOUR.items() for kind in kinds}
    for number in range(len(world.specs)):
        base = len(world.specs) - 1 - number
        axes.axhspan(base + 0.04, base + 0.96, color="#F2F2F2", zorder=0)
        for incident in world.incidents:
            if incident.provider == number:
                outage = incident.outage
                width = (outage.end - outage.start) / unit
                axes.broken_barh(
                    [(outage.start / unit, width)], (base + 0.52, 0.38),
                    color=colours[incident.kind], linewidth=0.6,
                )  # fmt: skip
                _name(axes, incident.kind, outage.start, outage.end, base + 0.71, span, unit)
        for period in unavailable_periods(experiment.run.changes, number, world.seconds):
            axes.broken_barh(
                [(period.start / unit, (period.end - period.start) / unit)],
                (base + 0.1, 0.38), color=STATES[period.state], linewidth=0.6,
            )  # fmt: skip
    names = [spec.name for spec in reversed(world.specs)]
    axes.set_yticks([place + 0.5 for place in range(len(names))], names)
    axes.set_xlim(span[0] / unit, span[1] / unit)
    axes.set_ylim(0, len(names))


def _name(
    axes: Any,
    kind: str,
    start: float,
    end: float,
    height: float,
    span: tuple[float, float],
    unit: float,
) -> None:
    """Writes the kind of an outage into its bar where it fits."""
    start, end = max(start, span[0]), min(end, span[1])
    if (end - start) > len(kind) * 0.009 * (span[1] - span[0]):
        middle = (start + end) / 2 / unit
        axes.text(middle, height, kind, ha="center", va="center", fontsize=7.5, color="white")


def _legend(axes: Any) -> None:
    from matplotlib.patches import Patch

    kinds = [
        Patch(color=colour, label=", ".join(names)) for colour, names in KINDS_BY_COLOUR.items()
    ]
    states = [Patch(color=colour, label=state) for state, colour in STATES.items()]
    axes.legend(
        handles=[*kinds, *states], ncols=4, fontsize=8, frameon=False,
        loc="upper center", bbox_to_anchor=(0.5, -0.16),
    )  # fmt: skip


def _shares(axes: Any, experiment: Experiment, span: tuple[float, float]) -> None:
    run, world = experiment.run, experiment.world
    width = (span[1] - span[0]) / BINS
    counts = [[0] * BINS for _ in world.specs]
    for started, served in zip(run.started, run.served, strict=True):
        if span[0] <= started < span[1] and served != NO_PROVIDER:
            counts[served][min(BINS - 1, int((started - span[0]) / width))] += 1
    totals = [max(1, sum(column)) for column in zip(*counts, strict=True)]
    edges = [(span[0] + step * width) / 3600.0 for step in range(BINS)]
    below = [0.0] * BINS
    for number, spec in enumerate(world.specs):
        heights = [n / total for n, total in zip(counts[number], totals, strict=True)]
        axes.bar(
            edges, heights, width / 3600.0, below,
            align="edge", color=PROVIDERS[number], label=spec.name,
        )  # fmt: skip
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set(ylim=(0, 1), xlim=(span[0] / 3600.0, span[1] / 3600.0), ylabel="share of calls")
    axes.legend(ncols=4, fontsize=8, loc="lower center", framealpha=0.9)


def _latencies(axes: Any, group: Sequence[Experiment]) -> None:
    """The share of calls that took longer, on log-log axes: the tail is on the right."""
    for experiment, colour in zip(group, POLICIES, strict=False):
        ordered = sorted(experiment.run.elapsed)
        calls = len(ordered)
        picks = sorted({int(calls * (1 - 10 ** (-step / 40))) for step in range(300)})
        shares = [(calls - at) / calls for at in picks if at < calls]
        axes.plot(
            [ordered[at] for at in picks if at < calls], shares,
            color=colour, label=experiment.policy, linewidth=2,
            linestyle="--" if experiment.policy == ORACLE else "-", alpha=0.9,
        )  # fmt: skip
    for share, word in ((0.01, "p99"), (0.001, "p99.9")):
        axes.axhline(share, color="#999999", linewidth=0.8)
        axes.text(0.995, share * 1.06, word, ha="right", fontsize=8, color="#666666",
                  transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set(
        xscale="log", yscale="log", title="Calls that took longer than ...",
        xlabel="seconds", ylabel="share of calls", ylim=(3.0 / len(group[0].run.started), 1.0),
    )  # fmt: skip
    axes.set_xlim(left=0.3)
    _plain_seconds(axes.xaxis)
    axes.grid(color="#E5E5E5", linewidth=0.6)
    axes.legend(frameon=False, loc="lower left")


def _plain_seconds(axis: Any) -> None:
    """Labels 0.5, 1, 2, 5 and so on, without exponents."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _recovery_times(axes: Any, group: Sequence[Experiment]) -> None:
    """For each policy with circuits: the share of recovered providers in use, over time."""
    for experiment, colour in zip(group, POLICIES, strict=False):
        spans = sorted(
            away.after_recovery for away in absences(experiment.world, experiment.run.changes)
        )
        if spans:
            shares = [(at + 1) / len(spans) for at in range(len(spans))]
            axes.step([0.0, *spans], [0.0, *shares], where="post", color=colour,
                      label=f"{experiment.policy} ({len(spans)})", linewidth=2)  # fmt: skip
    axes.axvline(BACK_WITHIN, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_xscale("symlog", linthresh=10)
    axes.set(
        ylim=(0, 1.02), xlim=(0, None), title="Recovered providers that are available after ...",
        xlabel="seconds since the recovery (dashed: 30)", ylabel="share of recoveries",
    )  # fmt: skip
    axes.grid(color="#E5E5E5", linewidth=0.6)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(framealpha=0.9, loc="best")
