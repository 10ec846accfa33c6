"""Makes metric families: plain ones, or prometheus-client's where several processes share files."""

from __future__ import annotations

from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

from multirouter.listeners.metrics.gauges import GaugeFamily, is_multiprocess
from multirouter.listeners.metrics.plain_families import PlainCounter, PlainGauge, PlainHistogram

CounterFamily = Counter | PlainCounter
HistogramFamily = Histogram | PlainHistogram
"""Plain numbers of this process, or, where several processes share files, prometheus-client's."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 60, 120)
"""Upper bounds in seconds: cached and rejected calls are below 0.1, short answers at 0.25 to 3,
long answers up to the default timeouts of an attempt (30) and a call (120). Both timeouts are
bounds, so the share of attempts and calls that reached them can be queried."""

TOKEN_RATES = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000)
"""Upper bounds in tokens per second: people read 5 to 10, hosted models generate 30 to 300."""

MergedBy = Literal["livesum", "livemin", "livemax"]
"""How a gauge of several processes is merged."""


def counter(name: str, help_text: str, labels: tuple[str, ...]) -> CounterFamily:
    """A family of counters, `multirouter_NAME_total`."""
    if is_multiprocess():
        return Counter(f"multirouter_{name}_total", help_text, labels, registry=None)
    return PlainCounter(f"multirouter_{name}", help_text, labels)


def gauge(name: str, help_text: str, labels: tuple[str, ...], mode: MergedBy) -> GaugeFamily:
    """A family of gauges; `mode` says how those of several processes are merged."""
    name = f"multirouter_{name}"
    if is_multiprocess():
        return Gauge(name, help_text, labels, registry=None, multiprocess_mode=mode)
    return PlainGauge(name, help_text, labels)


def histogram(
    name: str, help_text: str, labels: tuple[str, ...], buckets: tuple[float, ...] = BUCKETS
) -> HistogramFamily:
    """A family of histograms with these upper bounds of buckets."""
    name = f"multirouter_{name}"
    if is_multiprocess():
        return Histogram(name, help_text, labels, registry=None, buckets=buckets)
    return PlainHistogram(name, help_text, labels, buckets)
