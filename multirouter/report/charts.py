"""Charts of the HTML page as inline SVG; the labels are HTML, so they do not stretch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from multirouter.report import number_format as fmt
from multirouter.report.markup import Markup, element, join
from multirouter.report.model import Interval, OpenPeriod, Report

HEIGHT = 100.0
"""Height of a chart in SVG units; an interval is one unit wide."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values along the timeline, with their name in the legend and their CSS class."""

    name: str
    style: str
    values: Sequence[float | None]


def calls_chart(report: Report) -> Markup:
    """Calls by outcome, stacked."""
    timeline = report.timeline
    series = [
        Series("answered by first choice", "good", [i.first_choice for i in timeline]),
        Series("recovered by failover", "recovered", [i.recovered for i in timeline]),
        Series("not answered", "bad", [i.failed for i in timeline]),
    ]
    top = axis_end(max((i.first_choice + i.recovered + i.failed for i in timeline), default=0))
    tooltips = [
        f"{i.first_choice} by first choice, {i.recovered} recovered, {i.failed} not answered"
        for i in timeline
    ]
    return _figure("Calls", report, series, _bars(report, series, top, tooltips), top, fmt.count)


def latency_chart(report: Report) -> Markup:
    """Latency percentiles."""
    timeline = report.timeline
    series = [
        Series("p50", "median", [_finite(interval.latency.p50) for interval in timeline]),
        Series("p99", "tail", [_finite(interval.latency.p99) for interval in timeline]),
    ]
    known = [value for each in series for value in each.values if value is not None]
    top = axis_end(max(known, default=0.0))
    shapes = join(*(_line(each, top) for each in series), _tooltips(report, _latency_text))
    return _figure("Latency", report, series, shapes, top, fmt.latency)


def cost_chart(report: Report) -> Markup:
    """Cost in US dollars."""
    costs = [interval.cost or 0.0 for interval in report.timeline]
    series = [Series("USD", "money", costs)]
    top = axis_end(max(costs, default=0.0))
    tooltips = [fmt.usd(cost) for cost in costs]
    return _figure("Cost", report, series, _bars(report, series, top, tooltips), top, fmt.usd)


def circuits_chart(report: Report) -> Markup:
    """One lane per provider whose circuit opened, red where it was not closed."""
    providers = sorted({period.provider for period in report.open_periods})
    lanes = [
        element(
            "div",
            element("span", provider, class_="name"),
            _lane(report, [p for p in report.open_periods if p.provider == provider]),
            class_="lane",
        )
        for provider in providers
    ]
    axis = element("div", element("span", "", class_="name"), _time_axis(report), class_="lane")
    caption = element("figcaption", element("strong", "Open circuits"))
    return element("figure", caption, *lanes, axis, class_="lanes")


def axis_end(maximum: float) -> float:
    """The end of an axis: the smallest of `_ENDS` times a power of ten that is >= `maximum`."""
    if maximum <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(maximum))
    return next(n * power for n in _ENDS if n * power >= maximum * (1 - 1e-9))


_ENDS = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)
"""Axis ends whose halves are round, too, and that leave at most a third of a chart empty."""


def _figure(
    title: str,
    report: Report,
    series: Sequence[Series],
    shapes: Markup,
    top: float,
    format_value: Callable[[float], str],
) -> Markup:
    legend = [
        element("span", element("i", class_=each.style), each.name, class_="key") for each in series
    ]
    caption = element("figcaption", element("strong", title), *(legend if len(legend) > 1 else ()))
    labels = [element("span", format_value(value)) for value in (top, top / 2)]
    plot = element("div", _svg(len(report.timeline), shapes), *labels, class_="plot")
    return element("figure", caption, plot, _time_axis(report))


def _svg(width: float, shapes: Markup) -> Markup:
    return element(
        "svg",
        _rule(HEIGHT / 2, width),
        _rule(HEIGHT, width),
        shapes,
        viewBox=f"0 0 {width:g} {HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
    )


def _rule(y: float, width: float) -> Markup:
    return element("line", class_="rule", x1=0, x2=width, y1=y, y2=y)


def _bars(report: Report, series: Sequence[Series], top: float, tooltips: Sequence[str]) -> Markup:
    """One stacked bar per interval."""
    bars: list[Markup] = []
    for number, interval in enumerate(report.timeline):
        title = f"{_time_text(interval, report)}: {tooltips[number]}"
        parts: list[Markup] = [element("title", title)]
        below = 0.0
        for each in series:
            height = (each.values[number] or 0.0) / top * HEIGHT
            if height:
                parts.append(
                    element(
                        "rect",
                        class_=each.style,
                        x=number + 0.1,
                        y=HEIGHT - below - height,
                        width=0.8,
                        height=height,
                    )
                )
            below += height
        bars.append(element("g", *parts))
    return join(*bars)


def _line(series: Series, top: float) -> Markup:
    """A line with gaps where values are unknown."""
    segments: list[list[str]] = [[]]
    for number, value in enumerate(series.values):
        if value is None:
            segments.append([])
        else:
            y = HEIGHT - value / top * HEIGHT
            segments[-1] += [f"{number + 0.1:.6g},{y:.6g}", f"{number + 0.9:.6g},{y:.6g}"]
    lines = [
        element("polyline", class_=series.style, points=" ".join(segment))
        for segment in segments
        if segment
    ]
    return join(*lines)


def _tooltips(report: Report, text: Callable[[Interval], str]) -> Markup:
    """Invisible bars that show a tooltip."""
    bars = [
        element(
            "g",
            element("title", f"{_time_text(interval, report)}: {text(interval)}"),
            element("rect", class_="hover", x=number, y=0, width=1, height=HEIGHT),
        )
        for number, interval in enumerate(report.timeline)
    ]
    return join(*bars)


def _latency_text(interval: Interval) -> str:
    return f"p50 {fmt.latency(interval.latency.p50)}, p99 {fmt.latency(interval.latency.p99)}"


def _lane(report: Report, periods: Iterable[OpenPeriod]) -> Markup:
    start, end = _ends(report)
    bars: list[Markup] = []
    for period in periods:
        until = end if period.ended is None else period.ended
        left = max(period.started, start)
        length = fmt.duration(None if period.ended is None else period.ended - period.started)
        text = f"{fmt.timestamp(period.started)}: {fmt.words(period.reason)}, {length}"
        bars.append(
            element(
                "g",
                element("title", text),
                element(
                    "rect",
                    class_="bad",
                    x=(left - start) / (end - start) * 1000,
                    y=0,
                    # A minimum width, so that a short outage stays visible.
                    width=max(2.0, (until - left) / (end - start) * 1000),
                    height=HEIGHT,
                ),
            )
        )
    return element("svg", *bars, viewBox="0 0 1000 100", preserveAspectRatio="none", role="img")


def _time_axis(report: Report) -> Markup:
    """Labels below a chart: start, middle and end."""
    start, end = _ends(report)
    step = report.interval_seconds
    moments = (start, (start + end) / 2, end)
    labels = [element("span", fmt.axis_timestamp(at, step)) for at in moments]
    return element("div", *labels, class_="times")


def _ends(report: Report) -> tuple[float, float]:
    timeline = report.timeline
    return timeline[0].start, timeline[-1].start + report.interval_seconds


def _time_text(interval: Interval, report: Report) -> str:
    return f"{fmt.timestamp(interval.start)} UTC, {fmt.duration(report.interval_seconds)}"


def _finite(value: float | None) -> float | None:
    return None if value == math.inf else value
