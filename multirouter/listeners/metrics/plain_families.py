"""Metric families whose values are plain numbers of this process, read by a scrape.

They have the methods of prometheus-client's metrics that the listeners use. prometheus-client takes
a lock and calls several functions at each change of a value; here a change is one addition. The
global interpreter lock makes an addition whole: it has no call and no backward jump in it, and
CPython changes threads only there. So several threads may count in the same series.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, Generic, NamedTuple, TypeVar

from prometheus_client import metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString
from typing_extensions import override

__all__ = ["PlainCounter", "PlainFamily", "PlainGauge", "PlainHistogram"]

MAX_EXEMPLAR_LENGTH = 128
"""Characters of all names and values of an exemplar's labels.

Source: https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars
"""


class _Sample(NamedTuple):
    """One sample of a series: what it adds to the family's name and labels, and its value."""

    suffix: str
    value: float
    le: str | None = None
    exemplar: Exemplar | None = None


class _CounterSeries:
    """A sum; `created` is a Unix time."""

    __slots__ = ("_timed", "created", "value")

    def __init__(self) -> None:
        self.value: float = 0.0
        self.created: float = time.time()
        self._timed: _HistogramSeries | None = None

    def inc(self, amount: float = 1) -> None:
        self.value += amount

    def count_observations(self, timed: _HistogramSeries) -> None:
        """Counts the observations of a histogram as well, without a further addition for each."""
        self._timed = timed

    def samples(self) -> Iterator[_Sample]:
        observed = 0 if self._timed is None else sum(self._timed.buckets)
        yield _Sample("_total", self.value + observed)
        if _shows_created():
            yield _Sample("_created", self.created)


class _GaugeSeries:
    """A value that is changed, or read from a function by each scrape."""

    __slots__ = ("_read", "value")

    def __init__(self) -> None:
        self.value: float = 0.0
        self._read: Callable[[], float] | None = None

    def inc(self, amount: float = 1) -> None:
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        self.value -= amount

    def set(self, value: float) -> None:
        self.value = value

    def set_function(self, read: Callable[[], float]) -> None:
        self._read = read

    def samples(self) -> Iterator[_Sample]:
        yield _Sample("", self.value if self._read is None else self._read())


class _HistogramSeries:
    """Observations by bucket, not cumulated, the last one without a bound; and their sum."""

    __slots__ = ("_bounds", "_exemplars", "_names", "buckets", "created", "sum")

    def __init__(self, bounds: Sequence[float], names: Sequence[str]) -> None:
        self._bounds = bounds
        self._names = names
        self.buckets: list[int] = [0] * len(names)
        self.sum: float = 0.0
        self.created: float = time.time()
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        bucket = bisect_left(self._bounds, amount)
        self.buckets[bucket] += 1
        self.sum += amount
        if exemplar:
            _check_exemplar(exemplar)
            self._exemplars[bucket] = Exemplar(exemplar, amount, time.time())

    def samples(self) -> Iterator[_Sample]:
        total = 0
        for number, count in enumerate(self.buckets.copy()):
            total += count
            yield _Sample("_bucket", total, self._names[number], self._exemplars.get(number))
        yield _Sample("_count", total)
        yield _Sample("_sum", self.sum)
        if _shows_created():
            yield _Sample("_created", self.created)


SeriesT = TypeVar("SeriesT", bound=_CounterSeries | _GaugeSeries | _HistogramSeries)


class PlainFamily(Collector, Generic[SeriesT]):
    """All series of one metric: a collector that prometheus-client can register.

    Args:
        name: the metric's name; that of a counter without `_total`.
        documentation: its help text.
        label_names: names of its labels.
        new_series: makes the value of one series.
    """

    kind: ClassVar[str]
    """The type of the metric, in Prometheus' words."""

    def __init__(
        self,
        name: str,
        documentation: str,
        label_names: Sequence[str],
        new_series: Callable[[], SeriesT],
    ) -> None:
        self.name: str = name
        self.documentation: str = documentation
        self.label_names: tuple[str, ...] = tuple(label_names)
        self._new_series = new_series
        self._series: dict[tuple[object, ...], SeriesT] = {}

    def labels(self, *values: object) -> SeriesT:
        """The series with these label values, made at its first use."""
        series = self._series.get(values)
        if series is None:
            series = self._series.setdefault(tuple(map(str, values)), self._new_series())
        return series

    def remove(self, *values: object) -> None:
        """Removes the series with these label values, if there is one."""
        self._series.pop(values, None)

    def describe(self) -> Iterable[Metric]:
        """The metric without its series, for its registration."""
        return (Metric(self.name, self.documentation, self.kind),)

    @override
    def collect(self) -> Iterable[Metric]:
        """The metric with all series, as they are now; any thread may call it."""
        metric = Metric(self.name, self.documentation, self.kind)
        for values, series in self._series.copy().items():
            labels = dict(zip(self.label_names, map(str, values), strict=True))
            for suffix, value, le, exemplar in series.samples():
                own = labels if le is None else {**labels, "le": le}
                metric.add_sample(self.name + suffix, own, value, exemplar=exemplar)
        return (metric,)


class PlainCounter(PlainFamily[_CounterSeries]):
    """Counters."""

    kind: ClassVar[str] = "counter"

    def __init__(self, name: str, documentation: str, label_names: Sequence[str]) -> None:
        super().__init__(name, documentation, label_names, _CounterSeries)


class PlainGauge(PlainFamily[_GaugeSeries]):
    """Gauges."""

    kind: ClassVar[str] = "gauge"

    def __init__(self, name: str, documentation: str, label_names: Sequence[str]) -> None:
        super().__init__(name, documentation, label_names, _GaugeSeries)


class PlainHistogram(PlainFamily[_HistogramSeries]):
    """Histograms.

    Args:
        name: as of `PlainFamily`.
        documentation: as of `PlainFamily`.
        label_names: as of `PlainFamily`.
        buckets: upper bounds, ascending, without infinity.
    """

    kind: ClassVar[str] = "histogram"

    def __init__(
        self, name: str, documentation: str, label_names: Sequence[str], buckets: Sequence[float]
    ) -> None:
        bounds = tuple(map(float, buckets))
        names = (*map(floatToGoString, bounds), "+Inf")
        super().__init__(name, documentation, label_names, lambda: _HistogramSeries(bounds, names))


def _shows_created() -> bool:
    """Whether prometheus-client shows when its own series began; a program may switch it off."""
    return bool(getattr(metrics, "_use_created", True))


def _check_exemplar(labels: dict[str, str]) -> None:
    length = sum(len(name) + len(value) for name, value in labels.items())
    if length > MAX_EXEMPLAR_LENGTH:
        raise ValueError(
            f"the labels of an exemplar have at most {MAX_EXEMPLAR_LENGTH} characters, got {length}"
        )
