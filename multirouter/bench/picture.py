"""A run of `multirouter bench` as a picture: latencies and errors over time."""

from __future__ import annotations

from collections.abc import Sequence

from multirouter.bench.load import Sample
from multirouter.bench.outages import PlannedOutage
from multirouter.bench.summary import percentiles

WIDTH, HEIGHT, MARGIN = 800, 320, 48

SLICES = 60
"""Parts of the run with a point of each line."""

LINES = {"p50": "#3778c2", "p99": "#d97b29"}
"""The lines of latency, with their colours."""


def svg(samples: Sequence[Sample], seconds: float, outages: Sequence[PlannedOutage] = ()) -> str:
    """The picture as an SVG document.

    Args:
        samples: all requests.
        seconds: duration of the run, above 0.
        outages: are shaded.
    """
    slices: list[list[Sample]] = [[] for _ in range(SLICES)]
    for sample in samples:
        slices[min(SLICES - 1, int(sample.at / seconds * SLICES))].append(sample)
    figures = [percentiles([s.elapsed for s in part if not s.sent.error]) for part in slices]
    top = max((figure["p99"] for figure in figures if figure), default=0.0) or 1.0
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for outage in outages:
        begin, end = (min(at, seconds) / seconds for at in (outage.begin, outage.end))
        parts.append(
            f'<rect class="outage" x="{_x(begin):.1f}" y="{MARGIN}" '
            f'width="{_x(end) - _x(begin):.1f}" height="{HEIGHT - 2 * MARGIN}" fill="#eee"/>'
        )
    for name, colour in LINES.items():
        points = " ".join(
            f"{_x((at + 0.5) / SLICES):.1f},{_y(figure[name] / top):.1f}"
            for at, figure in enumerate(figures)
            if figure
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    parts += [
        f'<circle class="error" cx="{_x(sample.at / seconds):.1f}" cy="{_y(0.0):.1f}" r="3" '
        'fill="#c23737"/>'
        for sample in samples
        if sample.sent.error
    ]
    parts += [
        (
            f'<path d="M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}" fill="none" '
            'stroke="#666"/>'
        ),
        f'<text x="{MARGIN}" y="{MARGIN - 8}">latency, up to {top:.3g} s: '
        + ", ".join(f'<tspan fill="{colour}">{name}</tspan>' for name, colour in LINES.items())
        + '; <tspan fill="#c23737">errors</tspan>; outages are shaded</text>',
        (
            f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - MARGIN + 20}" text-anchor="end">'
            f"{seconds:.0f} s</text>"
        ),
        "</svg>",
    ]
    return "\n".join([*parts, ""])


def _x(share: float) -> float:
    return MARGIN + share * (WIDTH - 2 * MARGIN)


def _y(share: float) -> float:
    return HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)
