"""What is true now, read from the routers themselves when somebody scrapes."""

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

CIRCUIT_VALUES = {"closed": 0.0, "half_open": 1.0, "open": 2.0}
"""The gauge's value for each state; a higher one is worse."""


class View(Protocol):
    """What the gauges read of a router: cheap, without side effects, and from any thread."""

    def names(self) -> Iterable[str]:
        """The providers of now."""
        ...

    def in_flight(self, name: str) -> int:
        """How many attempts of this provider are being awaited."""
        ...

    def available(self, name: str) -> bool:
        """Whether this provider may be asked now."""
        ...

    def degraded(self, name: str) -> bool:
        """Whether this provider is asked after the others, on any route."""
        ...

    def circuit_state(self, name: str) -> str:
        """`closed`, `half_open` or `open`."""
        ...


Reading = Callable[[View, str], float]
Merge = Callable[[Iterable[float]], float]


def _in_flight(view: View, provider: str) -> float:
    return float(view.in_flight(provider))


def _available(view: View, provider: str) -> float:
    return float(view.available(provider))


def _degraded(view: View, provider: str) -> float:
    return float(view.degraded(provider))


def _circuit_state(view: View, provider: str) -> float:
    return CIRCUIT_VALUES[view.circuit_state(provider)]


class Gauges:
    """The gauges of one registry, over the views of all routers that tell their metrics there.

    Several routers of one name count as one, by the rules that hold for several processes.
    Views are held weakly: the series of a router that was dropped without `close()` read 0
    once more and are gone.
    """

    def __init__(
        self, in_flight: Gauge, available: Gauge, degraded: Gauge, circuit_state: Gauge
    ) -> None:
        self._meaning: tuple[tuple[Gauge, Reading, Merge], ...] = (
            (in_flight, _in_flight, sum),
            (available, _available, min),
            (degraded, _degraded, max),
            (circuit_state, _circuit_state, max),
        )
        self._views: dict[tuple[str, str], tuple[ref[View], ...]] = {}
        self._lock = RLock()

    def show(self, router: str, provider: str, view: View) -> None:
        """Shows a provider as `view` sees it."""
        key = (router, provider)
        with self._lock:
            others = [other for other in self._living(key) if other is not view]
            self._views[key] = tuple(map(ref, (*others, view)))
            self._bind(key)

    def hide(self, router: str, provider: str, view: View) -> None:
        """Takes a provider away, unless another router of this name has it too."""
        key = (router, provider)
        with self._lock:
            self._views[key] = tuple(ref(seen) for seen in self._living(key) if seen is not view)
            self._drop_if_unseen(key)
            self.refresh(router, provider)

    def refresh(self, router: str, provider: str) -> None:
        """Told when a provider's state may have changed; what a scrape reads needs no telling."""

    def _living(self, key: tuple[str, str]) -> list[View]:
        return [view for seen in self._views.get(key, ()) if (view := seen()) is not None]

    def _bind(self, key: tuple[str, str]) -> None:
        for gauge, reading, merge in self._meaning:
            gauge.labels(*key).set_function(partial(self._scraped, key, reading, merge))

    def _scraped(self, key: tuple[str, str], reading: Reading, merge: Merge) -> float:
        self._drop_if_unseen(key)
        return _merged(self._living(key), key[1], reading, merge)

    def _drop_if_unseen(self, key: tuple[str, str]) -> None:
        if self._living(key):
            return
        with self._lock:
            if not self._living(key) and self._views.pop(key, None) is not None:
                self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        for gauge, _, _ in self._meaning:
            gauge.remove(*key)


def _merged(views: Iterable[View], provider: str, reading: Reading, merge: Merge) -> float:
    """What all views say together; 0.0 for nobody."""
    try:
        said = [reading(view, provider) for view in views]
    except LookupError:  # it is being removed while this thread reads
        return 0.0
    return merge(said) if said else 0.0


class _Series:
    """One gauge of one provider; a value that it shows already is not written again."""

    __slots__ = ("_gauge", "_shown", "merge", "reading")

    def __init__(self, gauge: Gauge, reading: Reading, merge: Merge) -> None:
        self._gauge = gauge
        self._shown = math.nan
        self.reading = reading
        self.merge = merge

    def show(self, value: float) -> None:
        if value != self._shown:
            self._shown = value
            self._gauge.set(value)


class WrittenGauges(Gauges):
    """The same when several processes share files, and none can be asked at a scrape.

    Values are written as they change. Series cannot be removed there: they go to 0.
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
        views = self._living(key)
        for series in self._series_of(key):
            series.show(_merged(views, key[1], series.reading, series.merge))

    @override
    def _drop(self, key: tuple[str, str]) -> None:
        for series in self._series_of(key):
            series.show(0.0)

    def _series_of(self, key: tuple[str, str]) -> tuple[_Series, ...]:
        if self._process != os.getpid():  # forked: its own files show nothing yet
            self._process = os.getpid()
            self._series.clear()
        found = self._series.get(key)
        if found is None:
            found = tuple(
                _Series(gauge.labels(*key), reading, merge)
                for gauge, reading, merge in self._meaning
            )
            self._series[key] = found
        return found


def several_processes() -> bool:
    """Whether prometheus-client writes its values to files that several processes share.

    It decides so when it is imported, by the environment variable PROMETHEUS_MULTIPROC_DIR.
    Source: https://prometheus.github.io/client_python/multiprocess/
    """
    return values.ValueClass is not values.MutexValue


def gauges_of_this_process(
    in_flight: Gauge, available: Gauge, degraded: Gauge, circuit_state: Gauge
) -> Gauges:
    """The gauges that work here: read at a scrape, or written when several processes share."""
    kind = WrittenGauges if several_processes() else Gauges
    return kind(in_flight, available, degraded, circuit_state)
