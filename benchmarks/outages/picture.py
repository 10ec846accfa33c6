"""The run as a picture: outages and circuits over time, shares, latencies and ways back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.outages.availability import absences, stretches
from benchmarks.outages.contest import Trial
from benchmarks.outages.contestants import ORACLE, OURS
from benchmarks.outages.measures import BACK_WITHIN
from benchmarks.outages.trial import NOBODY
from benchmarks.outages.world import World
from multirouter.errors import UsageError

# Colours that stay apart for colour-blind readers. Source: Okabe and Ito, Color Universal Design.
PROVIDERS = ("#0072B2", "#56B4E9", "#009E73", "#F0E442")
SORTS: Mapping[str, tuple[str, ...]] = {
    "#D55E00": ("errors", "hang", "reset", "two at once"),
    "#E69F00": ("429", "429 retry-after"),
    "#CC79A7": ("slow", "decline"),
    "#8C6D46": ("partial", "flapping", "lies"),
}
STATES = {"open": "#333333", "half_open": "#B8B8B8", "cooling down": "#7FA8C9"}
POLICIES = ("#000000", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9")

ZOOM = 12 * 3600.0
"""Seconds of the stretch that is shown close, at most, and at most a third of the whole."""

BINS = 72
"""Steps in which shares are shown."""


def draw(trials: Sequence[Trial], file: Path) -> list[Path]:
    """Draws the first seed of each scenario; a second scenario's file is named after it.

    Returns:
        The files written.

    Raises:
        UsageError: matplotlib is not installed, or the file is neither .png nor .svg.
    """
    if file.suffix not in {".png", ".svg"}:
        raise UsageError(f"--picture writes a .png or .svg, not {file.name}")
    figure = _figure_class()
    written: list[Path] = []
    for scenario in dict.fromkeys(trial.scenario for trial in trials):
        seed = trials[0].seed
        group = [t for t in trials if (t.scenario, t.seed) == (scenario, seed)]
        target = file.with_stem(f"{file.stem}-{scenario}") if written else file
        drawn = figure(figsize=(17, 10.5), layout="constrained")
        _fill(drawn, group)
        drawn.savefig(target, dpi=110)
        written.append(target)
    return written


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("--picture needs matplotlib: pip install matplotlib") from None
    return Figure


def _fill(figure: Any, group: Sequence[Trial]) -> None:
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
    shares.set_title(f"Who answers the calls of {shown.policy}, {hours}")
    _lanes(close, shown, span, 3600.0)
    close.set(title="The same stretch close: outages (above), circuits (below)", xlabel="hours")
    _legend(close)
    _latencies(figure.add_subplot(grid[0:2, 1]), group)
    _ways_back(figure.add_subplot(grid[2, 1]), group)


def _zoom(world: World) -> tuple[float, float]:
    """The stretch with most sorts of outages, and among such the one with the longest."""
    width = min(ZOOM, world.seconds / 3)
    starts = [min(max(0.0, i.outage.start - width / 12), world.seconds - width)
              for i in world.incidents]  # fmt: skip

    def hold_changed(start: float) -> tuple[int, float]:
        spans: dict[str, float] = {}
        for i in world.incidents:
            seconds = min(i.outage.end, start + width) - max(i.outage.start, start)
            if seconds > width / 100:
                spans[i.kind] = max(seconds, spans.get(i.kind, 0.0))
        return len(spans), sum(spans.values())

    best = max(starts, key=hold_changed, default=0.0)
    return best, best + width


def _lanes(axes: Any, trial: Trial, span: tuple[float, float], unit: float) -> None:
    """One lane a provider: the truth above, what the policy made of it below."""
    world = trial.world
    colours = {sort: colour for colour, sorts in SORTS.items() for sort in sorts}
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
        for stretch in stretches(trial.run.turns, number, world.seconds):
            axes.broken_barh(
                [(stretch.start / unit, (stretch.end - stretch.start) / unit)],
                (base + 0.1, 0.38), color=STATES[stretch.state], linewidth=0.6,
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
    """Writes the sort of an outage into its bar where there is room."""
    start, end = max(start, span[0]), min(end, span[1])
    if (end - start) > len(kind) * 0.009 * (span[1] - span[0]):
        middle = (start + end) / 2 / unit
        axes.text(middle, height, kind, ha="center", va="center", fontsize=7.5, color="white")


def _legend(axes: Any) -> None:
    from matplotlib.patches import Patch

    sorts = [Patch(color=colour, label=", ".join(names)) for colour, names in SORTS.items()]
    states = [Patch(color=colour, label=state) for state, colour in STATES.items()]
    axes.legend(
        handles=[*sorts, *states], ncols=4, fontsize=8, frameon=False,
        loc="upper center", bbox_to_anchor=(0.5, -0.16),
    )  # fmt: skip


def _shares(axes: Any, trial: Trial, span: tuple[float, float]) -> None:
    run, world = trial.run, trial.world
    width = (span[1] - span[0]) / BINS
    counts = [[0] * BINS for _ in world.specs]
    for started, served in zip(run.started, run.served, strict=True):
        if span[0] <= started < span[1] and served != NOBODY:
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


def _latencies(axes: Any, group: Sequence[Trial]) -> None:
    """The share of calls that took longer, both ways by powers of ten: the tail is on the right."""
    for trial, colour in zip(group, POLICIES, strict=False):
        ordered = sorted(trial.run.elapsed)
        calls = len(ordered)
        picks = sorted({int(calls * (1 - 10 ** (-step / 40))) for step in range(300)})
        shares = [(calls - at) / calls for at in picks if at < calls]
        axes.plot(
            [ordered[at] for at in picks if at < calls], shares,
            color=colour, label=trial.policy, linewidth=2,
            linestyle="--" if trial.policy == ORACLE else "-", alpha=0.9,
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
    """Marks 0.5, 1, 2, 5 and so on, written out."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _ways_back(axes: Any, group: Sequence[Trial]) -> None:
    """For each policy with circuits: after how long which share of recovered ones was back."""
    for trial, colour in zip(group, POLICIES, strict=False):
        spans = sorted(away.after_recovery for away in absences(trial.world, trial.run.turns))
        if spans:
            shares = [(at + 1) / len(spans) for at in range(len(spans))]
            axes.step([0.0, *spans], [0.0, *shares], where="post", color=colour,
                      label=f"{trial.policy} ({len(spans)})", linewidth=2)  # fmt: skip
    axes.axvline(BACK_WITHIN, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_xscale("symlog", linthresh=10)
    axes.set(
        ylim=(0, 1.02), xlim=(0, None), title="Recovered providers that are back after ...",
        xlabel="seconds since the recovery (dashed: 30)", ylabel="share of recoveries",
    )  # fmt: skip
    axes.grid(color="#E5E5E5", linewidth=0.6)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(framealpha=0.9, loc="best")
