"""Gauges of the routers' current state, read from the routers at each scrape."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from functools import partial
from threading import RLock
from typing import Protocol
from weakref import ref

from prometheus_client import Gauge, values
from typing_extensions import override

from multirouter.errors import UsageError

CIRCUIT_VALUES = {"closed": 0.0, "half_open": 1.0, "open": 2.0}
"""Gauge value of each circuit state; a higher value is worse."""


class RouterView(Protocol):
    """A router's state as the gauges read it: cheap, without side effects, from any thread."""

    def names(self) -> Iterable[str]:
        """Names of the current providers."""
        ...

    def in_flight(self, name: str) -> int:
        """Number of this provider's attempts in flight."""
        ...

    def available(self, name: str) -> bool:
        """Whether this provider may be chosen now."""
        ...

    def degraded(self, name: str) -> bool:
        """Whether this provider is degraded on any route."""
        ...

    def circuit_state(self, name: str) -> str:
        """`closed`, `half_open` or `open`."""
        ...


Reading = Callable[[RouterView, str], float]
Merge = Callable[[Iterable[float]], float]


def _in_flight(view: RouterView, provider: str) -> float:
    return float(view.in_flight(provider))


def _available(view: RouterView, provider: str) -> float:
    return float(view.available(provider))


def _degraded(view: RouterView, provider: str) -> float:
    return float(view.degraded(provider))


def _circuit_state(view: RouterView, provider: str) -> float:
    return CIRCUIT_VALUES[view.circuit_state(provider)]


class Gauges:
    """Gauges of one registry, over the views of all routers that use it.

    Routers of the same name are merged by the same rules as several processes. Views are held
    weakly: the series of a router that was dropped without `close()` show 0 at the next scrape and
    are then removed.

    Args:
        in_flight: merged by sum.
        available: merged by minimum.
        degraded: merged by maximum.
        circuit_state: merged by maximum.
    """

    def __init__(
        self, in_flight: Gauge, available: Gauge, degraded: Gauge, circuit_state: Gauge
    ) -> None:
        self._definitions: tuple[tuple[Gauge, Reading, Merge], ...] = (
            (in_flight, _in_flight, sum),
            (available, _available, min),
            (degraded, _degraded, max),
            (circuit_state, _circuit_state, max),
        )
        self._views: dict[tuple[str, str], tuple[ref[RouterView], ...]] = {}
        self._lock = RLock()

    def add(self, router: str, provider: str, view: RouterView) -> None:
        """Adds the series of a provider, read from `view`."""
        key = (router, provider)
        with self._lock:
            others = [other for other in self._live_views(key) if other is not view]
            self._views[key] = tuple(map(ref, (*others, view)))
            self._bind(key)

    def remove(self, router: str, provider: str, view: RouterView) -> None:
        """Removes a provider's series, unless another router of this name has the provider."""
        key = (router, provider)
        with self._lock:
            self._views[key] = tuple(ref(v) for v in self._live_views(key) if v is not view)
            self._drop_if_unused(key)
            self.refresh(router, provider)

    def refresh(self, router: str, provider: str) -> None:
        """Writes a provider's gauges, if they are written; gauges read at a scrape need nothing."""

    def _live_views(self, key: tuple[str, str]) -> list[RouterView]:
        return [view for held in self._views.get(key, ()) if (view := held()) is not None]

    def _bind(self, key: tuple[str, str]) -> None:
        for gauge, reading, merge in self._definitions:
            gauge.labels(*key).set_function(partial(self._scraped, key, reading, merge))

    def _scraped(self, key: tuple[str, str], reading: Reading, merge: Merge) -> float:
        self._drop_if_unused(key)
        return _merged(self._live_views(key), key[1], reading, merge)

    def _drop_if_unused(self, key: tuple[str, str]) -> None:
        if self._live_views(key):
            return
        with self._lock:
            if not self._live_views(key) and self._views.pop(key, None) is not None:
                self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        for gauge, _, _ in self._definitions:
            gauge.remove(*key)


def _merged(views: Iterable[RouterView], provider: str, reading: Reading, merge: Merge) -> float:
    """Merged reading of all views; 0.0 without views."""
    try:
        readings = [reading(view, provider) for view in views]
    except (LookupError, UsageError):  # the provider is being removed while this thread reads
        return 0.0
    return merge(readings) if readings else 0.0


class _Series:
    """One gauge of one provider; an unchanged value is not written again."""

    __slots__ = ("_gauge", "_written", "merge", "reading")

    def __init__(self, gauge: Gauge, reading: Reading, merge: Merge) -> None:
        self._gauge = gauge
        self._written = math.nan
        self.reading = reading
        self.merge = merge

    def write(self, value: float) -> None:
        if value != self._written:
            self._written = value
            self._gauge.set(value)


class WrittenGauges(Gauges):
    """Gauges for several processes that share files, where a scrape cannot read the routers.

    Values are written when they change. Series cannot be removed there: they go to 0.
    """

    def __init__(
        self, in_flight: Gauge, available: Gauge, degraded: Gauge, circuit_state: Gauge
    ) -> None:
        super().__init__(in_flight, available, degraded, circuit_state)
        self._process = os.getpid()
        self._series: dict[tuple[str, str], tuple[_Series, ...]] = {}

    @override
    def refresh(self, router: str, provider: str) -> None:
        key = (router, provider)
        if key in self._views:
            self._bind(key)

    @override
    def _bind(self, key: tuple[str, str]) -> None:
        views = self._live_views(key)
        for series in self._series_of(key):
            series.write(_merged(views, key[1], series.reading, series.merge))

    @override
    def _drop(self, key: tuple[str, str]) -> None:
        for series in self._series_of(key):
            series.write(0.0)

    def _series_of(self, key: tuple[str, str]) -> tuple[_Series, ...]:
        if self._process != os.getpid():  # forked: nothing is written to this process's files yet
            self._process = os.getpid()
            self._series.clear()
        found = self._series.get(key)
        if found is None:
            found = tuple(
                _Series(gauge.labels(*key), reading, merge)
                for gauge, reading, merge in self._definitions
            )
            self._series[key] = found
        return found


def is_multiprocess() -> bool:
    """Whether prometheus-client writes its values to files that several processes share.

    It decides when it is imported, by the environment variable PROMETHEUS_MULTIPROC_DIR.
    Source: https://prometheus.github.io/client_python/multiprocess/
    """
    return values.ValueClass is not values.MutexValue


def make_gauges(
    in_flight: Gauge, available: Gauge, degraded: Gauge, circuit_state: Gauge
) -> Gauges:
    """Creates `WrittenGauges` if several processes share files, else `Gauges`."""
    gauges_class = WrittenGauges if is_multiprocess() else Gauges
    return gauges_class(in_flight, available, degraded, circuit_state)
