"""Charts as inline SVG: shapes stretch with the page, words beside them stay readable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from multirouter.report import number_format as wording
from multirouter.report.markup import Markup, element, joined
from multirouter.report.model import Opening, Report, Slot

HEIGHT = 100.0
"""Units that a chart is high; a slot is one unit wide."""


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers of one kind along the time line: the legend's word, the style's class, the values."""

    name: str
    style: str
    values: Sequence[float | None]


def calls_chart(report: Report) -> Markup:
    """Calls by what became of them, stacked."""
    slots = report.slots
    series = [
        Series("answered at once", "good", [slot.at_once for slot in slots]),
        Series("rescued by failover", "saved", [slot.rescued for slot in slots]),
        Series("not answered", "bad", [slot.failed for slot in slots]),
    ]
    top = nice_top(max((s.at_once + s.rescued + s.failed for s in slots), default=0))
    told = [f"{s.at_once} at once, {s.rescued} rescued, {s.failed} not answered" for s in slots]
    return _figure("Calls", report, series, _bars(report, series, top, told), top, wording.number)


def latency_chart(report: Report) -> Markup:
    """The time to an answer along the time line."""
    slots = report.slots
    series = [
        Series("p50", "median", [_finite(slot.latency.p50) for slot in slots]),
        Series("p99", "tail", [_finite(slot.latency.p99) for slot in slots]),
    ]
    known = [value for each in series for value in each.values if value is not None]
    top = nice_top(max(known, default=0.0))
    drawn = joined(*(_line(each, top) for each in series), _hovers(report, _latency_words))
    return _figure("Time to an answer", report, series, drawn, top, wording.seconds)


def cost_chart(report: Report) -> Markup:
    """What was spent along the time line."""
    series = [Series("USD", "money", [slot.cost or 0.0 for slot in report.slots])]
    top = nice_top(max((value or 0.0 for value in series[0].values), default=0.0))
    told = [wording.usd(slot.cost or 0.0) for slot in report.slots]
    return _figure("Cost", report, series, _bars(report, series, top, told), top, wording.usd)


def circuits_chart(report: Report) -> Markup:
    """A lane for each provider whose circuit opened, red where it was not closed."""
    providers = sorted({opening.provider for opening in report.openings})
    lanes = [
        element(
            "div",
            element("span", provider, class_="who"),
            _lane(report, [o for o in report.openings if o.provider == provider]),
            class_="lane",
        )
        for provider in providers
    ]
    axis = element("div", element("span", "", class_="who"), _times(report), class_="lane")
    head = element("figcaption", element("strong", "Circuits not closed"))
    return element("figure", head, *lanes, axis, class_="lanes")


def nice_top(most: float) -> float:
    """The end of an axis: the first of `_ENDS` times a power of ten that covers."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(n * power for n in _ENDS if n * power >= most * (1 - 1e-9))


_ENDS = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)
"""Ends whose halves are read easily too, and that leave at most a third of a chart empty."""


def _figure(
    title: str,
    report: Report,
    series: Sequence[Series],
    drawn: Markup,
    top: float,
    tell: Callable[[float], str],
) -> Markup:
    legend = [
        element("span", element("i", class_=each.style), each.name, class_="key") for each in series
    ]
    head = element("figcaption", element("strong", title), *(legend if len(legend) > 1 else ()))
    labels = [element("span", tell(value)) for value in (top, top / 2)]
    plot = element("div", _canvas(len(report.slots), drawn), *labels, class_="plot")
    return element("figure", head, plot, _times(report))


def _canvas(width: float, *drawn: str) -> Markup:
    rules = [_rule(HEIGHT / 2, width), _rule(HEIGHT, width)]
    return element(
        "svg",
        *rules,
        *drawn,
        viewBox=f"0 0 {width:g} {HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
    )


def _rule(y: float, width: float) -> Markup:
    return element("line", class_="rule", x1=0, x2=width, y1=y, y2=y)


def _bars(report: Report, series: Sequence[Series], top: float, told: Sequence[str]) -> Markup:
    """A column for each slot, its parts on top of each other."""
    columns: list[Markup] = []
    for number, slot in enumerate(report.slots):
        parts: list[Markup] = [element("title", f"{_when(slot, report)}: {told[number]}")]
        below = 0.0
        for each in series:
            high = (each.values[number] or 0.0) / top * HEIGHT
            if high:
                y = HEIGHT - below - high
                parts.append(
                    element("rect", class_=each.style, x=number + 0.1, y=y, width=0.8, height=high)
                )
            below += high
        columns.append(element("g", *parts))
    return joined(*columns)


def _line(series: Series, top: float) -> Markup:
    """A line that is broken where nothing is known."""
    pieces: list[list[str]] = [[]]
    for number, value in enumerate(series.values):
        if value is None:
            pieces.append([])
        else:
            y = HEIGHT - value / top * HEIGHT
            pieces[-1] += [f"{number + 0.1:.6g},{y:.6g}", f"{number + 0.9:.6g},{y:.6g}"]
    drawn = [element("polyline", class_=series.style, points=" ".join(p)) for p in pieces if p]
    return joined(*drawn)


def _hovers(report: Report, tell: Callable[[Slot], str]) -> Markup:
    """Invisible columns that tell the figures to whoever points at them."""
    columns = [
        element(
            "g",
            element("title", f"{_when(slot, report)}: {tell(slot)}"),
            element("rect", class_="hover", x=number, y=0, width=1, height=HEIGHT),
        )
        for number, slot in enumerate(report.slots)
    ]
    return joined(*columns)


def _latency_words(slot: Slot) -> str:
    return f"p50 {wording.seconds(slot.latency.p50)}, p99 {wording.seconds(slot.latency.p99)}"


def _lane(report: Report, openings: Iterable[Opening]) -> Markup:
    begin, end = _ends(report)
    drawn: list[Markup] = []
    for opening in openings:
        until = end if opening.ended is None else opening.ended
        left = max(opening.began, begin)
        lasted = wording.span(None if opening.ended is None else opening.ended - opening.began)
        words = f"{wording.moment(opening.began)}: {wording.words(opening.reason)}, {lasted}"
        drawn.append(
            element(
                "g",
                element("title", words),
                element(
                    "rect",
                    class_="bad",
                    x=(left - begin) / (end - begin) * 1000,
                    y=0,
                    # Never thinner than a hair: a short outage must not vanish.
                    width=max(2.0, (until - left) / (end - begin) * 1000),
                    height=HEIGHT,
                ),
            )
        )
    return element("svg", *drawn, viewBox="0 0 1000 100", preserveAspectRatio="none", role="img")


def _times(report: Report) -> Markup:
    """What stands below a chart: its begin, its middle, its end."""
    begin, end = _ends(report)
    step = report.slot_seconds
    moments = (begin, (begin + end) / 2, end)
    words = [element("span", wording.short_moment(at, step)) for at in moments]
    return element("div", *words, class_="times")


def _ends(report: Report) -> tuple[float, float]:
    slots = report.slots
    return slots[0].at, slots[-1].at + report.slot_seconds


def _when(slot: Slot, report: Report) -> str:
    return f"{wording.moment(slot.at)} UTC, {wording.span(report.slot_seconds)}"


def _finite(value: float | None) -> float | None:
    return None if value == math.inf else value
