"""The run as a figure: what callers waited, which providers answered, outages and circuits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.outages.availability import absences, unavailable_periods
from benchmarks.outages.contestants import HEALTH_CHECKED, HEDGED, ORACLE, OURS
from benchmarks.outages.experiments import Experiment
from benchmarks.outages.measures import BACK_WITHIN, PERCENTILES, percentile
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
POLICIES: Mapping[str, str] = {
    ORACLE: "#000000",
    OURS: "#6A3D9A",
    HEDGED: "#B15DC0",
    HEALTH_CHECKED: "#E377C2",
    "breaker": "#D62728",
    "chain": "#8C564B",
}
"""Colours of policies. None is also the colour of a provider."""

OTHER_POLICIES = ("#7F7F7F", "#17BECF", "#BCBD22")
"""Colours of variants of the router."""

LABELS: Mapping[str, str] = {
    ORACLE: "perfect foresight",
    OURS: "multirouter",
    HEDGED: "multirouter, hedged",
    HEALTH_CHECKED: "multirouter, health_check=",
    "breaker": "hand-written breakers",
    "chain": "fixed order with retries",
}
"""Names of the policies in figures."""

SHARES: Mapping[float, str] = {
    1.0: "all",
    0.1: "1 in 10",
    0.01: "1 in 100",
    0.001: "1 in 1,000",
    1e-4: "1 in 10,000",
    1e-5: "1 in 100,000",
}
"""Shares of calls, as they are written at an axis."""

ZOOM = 12 * 3600.0
"""Seconds of the interval that is shown enlarged, at most; also at most a third of the whole."""

BINS = 72
"""Number of intervals in which shares are shown."""


def draw(experiments: Sequence[Experiment], file: Path, *, small: bool = False) -> list[Path]:
    """Draws the first seed of each scenario; a second scenario's file is named after it.

    Args:
        experiments: the runs of the policies to compare.
        file: the file to write, .png or .svg.
        small: whether to draw only the two main plots, in the size of a README.

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
        canvas = figure(figsize=(10, 3.8) if small else (15, 11.5), layout="constrained")
        _fill(canvas, group, small=small)
        canvas.savefig(target, dpi=110)
        written.append(target)
    return written


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("--picture requires matplotlib: pip install matplotlib") from None
    return Figure


def _fill(figure: Any, group: Sequence[Experiment], *, small: bool) -> None:
    """Two large plots, how long callers waited and which providers answered; details below."""
    shown = next((t for t in group if t.policy == OURS), group[-1])
    world = shown.world
    span = _zoom(world)
    grid = figure.add_gridspec(
        1 if small else 3, 2, height_ratios=(1,) if small else (1.5, 0.8, 0.8)
    )
    compared = [t for t in group if t.policy not in {HEDGED, HEALTH_CHECKED}] if small else group
    _latencies(figure.add_subplot(grid[0, 0]), compared)
    shares = figure.add_subplot(grid[0, 1])
    _shares(shares, shown, span)
    shares.set_xlabel("hours")
    shares.set_title(f"Providers that answer, with {label_of(shown)}", pad=20)
    if small:
        return
    close = figure.add_subplot(grid[1, 0], sharex=shares)
    _lanes(close, shown, span, 3600.0)
    close.set(title="The same hours: outages (above) and circuits (below)", xlabel="hours")
    _recovery_times(figure.add_subplot(grid[1, 1]), group)
    whole = figure.add_subplot(grid[2, :])
    unit, word = (86_400.0, "days") if world.seconds > 2 * 86_400 else (3600.0, "hours")
    _lanes(whole, shown, (0.0, world.seconds), unit)
    whole.set(
        title=f"The whole run: outages (above) and circuits of {label_of(shown)} (below)",
        xlabel=word,
    )
    _legend(whole)


def label_of(experiment: Experiment) -> str:
    """The name of a policy in figures."""
    return LABELS.get(experiment.policy, experiment.policy)


def _colours(group: Sequence[Experiment]) -> list[str]:
    """A colour for each policy of a group."""
    others = iter(OTHER_POLICIES * len(group))
    return [POLICIES.get(experiment.policy) or next(others) for experiment in group]


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
    for (start, end), names in _unavailable(world, span).items():
        axes.plot([start / 3600.0, end / 3600.0], [1.01, 1.01], color="#D55E00", linewidth=4,
                  clip_on=False, solid_capstyle="butt")  # fmt: skip
        if end - start > (span[1] - span[0]) / 12:
            axes.text((start + end) / 7200.0, 1.025, f"{' and '.join(names)} down", ha="center",
                      fontsize=9, color="#D55E00")  # fmt: skip
    axes.set(ylim=(0, 1), xlim=(span[0] / 3600.0, span[1] / 3600.0), ylabel="share of calls")
    axes.legend(ncols=4, fontsize=8, loc="lower center", framealpha=0.9)


def _unavailable(world: World, span: tuple[float, float]) -> dict[tuple[float, float], list[str]]:
    """The providers with an outage, by its part of the interval; very short ones are left out."""
    found: dict[tuple[float, float], list[str]] = {}
    for incident in world.incidents:
        start, end = max(incident.outage.start, span[0]), min(incident.outage.end, span[1])
        if end - start > (span[1] - span[0]) / 50:
            found.setdefault((start, end), []).append(world.specs[incident.provider].name)
    return found


def _latencies(axes: Any, group: Sequence[Experiment]) -> None:
    """The share of calls that took longer, on log-log axes: the tail is on the right."""
    for experiment, colour in zip(group, _colours(group), strict=True):
        ordered = sorted(experiment.run.elapsed)
        calls = len(ordered)
        picks = sorted({int(calls * (1 - 10 ** (-step / 40))) for step in range(300)})
        shares = [(calls - at) / calls for at in picks if at < calls]
        axes.plot(
            [ordered[at] for at in picks if at < calls], shares,
            color=colour, label=label_of(experiment), linewidth=2.5,
            linestyle="--" if experiment.policy == ORACLE else "-", alpha=0.9,
        )  # fmt: skip
        if experiment.policy != ORACLE:
            slow = percentile(ordered, PERCENTILES["p99.9"])
            axes.plot([slow], [0.001], "o", color=colour, markersize=6)
            # Below and to the left of the curve of the fastest, else above and to the right.
            place = (-24, -14) if experiment.policy == HEDGED else (6, 5)
            axes.annotate(
                f"{slow:.0f} s", (slow, 0.001), xytext=place, textcoords="offset points",
                color=colour, fontsize=10, fontweight="bold",
            )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", title="How many calls waited longer than ...",
        xlabel="seconds", ylim=(3.0 / len(group[0].run.started), 1.0),
    )  # fmt: skip
    axes.set_xlim(left=0.5, right=200.0)
    bottom = axes.get_ylim()[0]
    ticks = {share: word for share, word in SHARES.items() if share >= bottom}
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    _plain_seconds(axes.xaxis)
    axes.grid(color="#E5E5E5", linewidth=0.6)
    axes.axhline(0.001, color="#999999", linewidth=0.8)
    axes.legend(frameon=False, loc="lower left", fontsize=9)


def _plain_seconds(axis: Any) -> None:
    """Labels 0.5, 1, 2, 5 and so on, without exponents."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _recovery_times(axes: Any, group: Sequence[Experiment]) -> None:
    """For each policy with circuits: the share of recovered providers in use, over time."""
    for experiment, colour in zip(group, _colours(group), strict=True):
        spans = sorted(
            away.after_recovery for away in absences(experiment.world, experiment.run.changes)
        )
        if spans:
            shares = [(at + 1) / len(spans) for at in range(len(spans))]
            axes.step([0.0, *spans], [0.0, *shares], where="post", color=colour,
                      label=f"{label_of(experiment)} ({len(spans)})", linewidth=2)  # fmt: skip
    axes.axvline(BACK_WITHIN, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_xscale("symlog", linthresh=10)
    axes.set(
        ylim=(0, 1.02), xlim=(0, None), title="Recovered providers that are in use again after ...",
        xlabel="seconds since the recovery (dashed: 30)", ylabel="share of recoveries",
    )  # fmt: skip
    axes.grid(color="#E5E5E5", linewidth=0.6)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(framealpha=0.9, loc="best")
