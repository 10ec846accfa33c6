"""Gauges of the routers' current state, read from the routers at each scrape."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from threading import RLock
from typing import NamedTuple, Protocol
from weakref import ref

from prometheus_client import Gauge, values
from typing_extensions import override

from multirouter.errors import UsageError
from multirouter.listeners.metrics.bounded_labels import OTHER
from multirouter.listeners.metrics.plain_families import PlainGauge

GaugeFamily = Gauge | PlainGauge
"""Plain numbers of this process, or, where several processes share files, prometheus-client's."""

_KEY = ("router", "provider")
"""Labels of a provider's gauges; those of a model have one more."""

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

    def model_circuits(self, name: str) -> Mapping[str, str]:
        """States of the circuits of this provider's models that are not closed, by model."""
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


class StateGauges(NamedTuple):
    """The families of the gauges that show the state of providers and models.

    Attributes:
        in_flight: merged by sum.
        available: merged by minimum.
        degraded: merged by maximum.
        circuit_state: merged by maximum.
        model_circuit_state: merged by maximum; `OTHER` shows the worst state of the models
            without a series of their own.
    """

    in_flight: GaugeFamily
    available: GaugeFamily
    degraded: GaugeFamily
    circuit_state: GaugeFamily
    model_circuit_state: GaugeFamily


class Gauges:
    """Gauges of one registry, over the views of all routers that use it.

    Routers of the same name are merged by the same rules as several processes. Views are held
    weakly: the series of a router that was dropped without `close()` show 0 at the next scrape and
    are then removed.
    """

    def __init__(self, families: StateGauges) -> None:
        self._definitions: tuple[tuple[GaugeFamily, Reading, Merge], ...] = (
            (families.in_flight, _in_flight, sum),
            (families.available, _available, min),
            (families.degraded, _degraded, max),
            (families.circuit_state, _circuit_state, max),
        )
        self._model_state = families.model_circuit_state
        self._views: dict[tuple[str, str], tuple[ref[RouterView], ...]] = {}
        self._models: dict[tuple[str, str], tuple[str, ...]] = {}
        self._lock = RLock()

    def add(self, router: str, provider: str, view: RouterView) -> None:
        """Adds the series of a provider, read from `view`."""
        key = (router, provider)
        with self._lock:
            others = [other for other in self._live_views(key) if other is not view]
            self._views[key] = tuple(map(ref, (*others, view)))
            self._bind(key)

    def add_model(self, router: str, provider: str, model: str) -> None:
        """Adds the series of a model whose circuit has changed; `model` is its label value."""
        key = (router, provider)
        with self._lock:
            models = self._models.get(key, ())
            if model not in models and key in self._views:
                self._models[key] = (*models, model)
                self._bind_model(key, model)

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

    def _bind_model(self, key: tuple[str, str], model: str) -> None:
        scraped = partial(self._scraped_model, key, model)
        self._model_state.labels(*key, model).set_function(scraped)

    def _scraped_model(self, key: tuple[str, str], model: str) -> float:
        self._drop_if_unused(key)
        return self._worst(key, model)

    def _worst(self, key: tuple[str, str], model: str) -> float:
        """The worst state of the circuits behind one label value."""
        own = self._models.get(key, ())

        def reading(view: RouterView, provider: str) -> float:
            states = view.model_circuits(provider)
            if model != OTHER:
                return CIRCUIT_VALUES[states.get(model, "closed")]
            others = (CIRCUIT_VALUES[states[name]] for name in states if name not in own)
            return max(others, default=0.0)

        return _merged(self._live_views(key), key[1], reading, max)

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
        for model in self._models.pop(key, ()):
            self._model_state.remove(*key, model)


def _merged(views: Iterable[RouterView], provider: str, reading: Reading, merge: Merge) -> float:
    """Merged reading of all views; 0.0 without views."""
    try:
        readings = [reading(view, provider) for view in views]
    except (LookupError, UsageError):  # the provider is being removed while this thread reads
        return 0.0
    return merge(readings) if readings else 0.0


class _Series:
    """One series of a gauge; an unchanged value is not written again."""

    __slots__ = ("_set", "_written")

    def __init__(self, set_value: Callable[[float], None]) -> None:
        self._set = set_value
        self._written = math.nan

    def write(self, value: float) -> None:
        if value != self._written:
            self._written = value
            self._set(value)


class WrittenGauges(Gauges):
    """Gauges for several processes that share files, where a scrape cannot read the routers.

    Values are written when they change. Series cannot be removed there: they go to 0.
    """

    def __init__(self, families: StateGauges) -> None:
        super().__init__(families)
        self._process = os.getpid()
        self._series: dict[tuple[str, ...], tuple[_Series, ...]] = {}

    @override
    def refresh(self, router: str, provider: str) -> None:
        key = (router, provider)
        if key in self._views:
            self._bind(key)
            for model in self._models.get(key, ()):
                self._bind_model(key, model)

    @override
    def _bind(self, key: tuple[str, str]) -> None:
        views = self._live_views(key)
        of_provider = zip(self._definitions, self._series_of(key), strict=True)
        for (_, reading, merge), series in of_provider:
            series.write(_merged(views, key[1], reading, merge))

    @override
    def _bind_model(self, key: tuple[str, str], model: str) -> None:
        self._series_of((*key, model))[0].write(self._worst(key, model))

    @override
    def _drop(self, key: tuple[str, str]) -> None:
        of_models = ((*key, model) for model in self._models.pop(key, ()))
        for labels in (key, *of_models):
            for series in self._series_of(labels):
                series.write(0.0)

    def _series_of(self, labels: tuple[str, ...]) -> tuple[_Series, ...]:
        """The series of a provider, or the one of a model."""
        if self._process != os.getpid():  # forked: nothing is written to this process's files yet
            self._process = os.getpid()
            self._series.clear()
        found = self._series.get(labels)
        if found is None:
            of_provider = [gauge for gauge, _, _ in self._definitions]
            gauges = [self._model_state] if len(labels) > len(_KEY) else of_provider
            found = tuple(_Series(gauge.labels(*labels).set) for gauge in gauges)
            self._series[labels] = found
        return found


def is_multiprocess() -> bool:
    """Whether prometheus-client writes its values to files that several processes share.

    It decides when it is imported, by the environment variable PROMETHEUS_MULTIPROC_DIR.
    Source: https://prometheus.github.io/client_python/multiprocess/
    """
    return values.ValueClass is not values.MutexValue


def make_gauges(families: StateGauges) -> Gauges:
    """Creates `WrittenGauges` if several processes share files, else `Gauges`."""
    return WrittenGauges(families) if is_multiprocess() else Gauges(families)
