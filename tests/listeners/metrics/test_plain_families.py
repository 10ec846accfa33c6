"""Plain families are scraped as prometheus-client's own metrics are."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import generate_latest as plain_text
from prometheus_client.metrics import disable_created_metrics, enable_created_metrics
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from multirouter.errors import ConfigurationError
from multirouter.listeners.metrics.families import families_in
from multirouter.listeners.metrics.metrics import make_metrics
from multirouter.listeners.metrics.plain_families import (
    MAX_EXEMPLAR_LENGTH,
    PlainCounter,
    PlainGauge,
    PlainHistogram,
)
from tests.listeners.helpers import FakeView, attempt, call, dispatch_call, total

BOUNDS = (0.5, 1, 2.5)
LABELS = ("router", "odd")
VALUES = (("a", 'quo"te'), ("a", "line\nbreak"), ("ä", "back\\slash"))


def registries() -> tuple[CollectorRegistry, CollectorRegistry]:
    """Two registries: the same changes of plain metrics, and of prometheus-client's."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    plain = (
        PlainCounter("count", "A count", LABELS),
        PlainGauge("gauge", "A gauge", LABELS),
        PlainHistogram("seconds", "Some seconds", LABELS, BOUNDS),
    )
    for family in plain:
        ours.register(family)
    for counter, gauge, histogram in (
        plain,
        (
            Counter("count_total", "A count", LABELS, registry=theirs),
            Gauge("gauge", "A gauge", LABELS, registry=theirs),
            Histogram("seconds", "Some seconds", LABELS, buckets=BOUNDS, registry=theirs),
        ),
    ):
        rng = Random(7)
        for number in range(60):
            labels = VALUES[number % 3]
            counter.labels(*labels).inc()
            counter.labels(*labels).inc(0.25)
            gauge.labels(*labels).inc()
            gauge.labels(*labels).dec(2)
            exemplar = {"trace_id": f"t{number}"} if number % 7 == 0 else None
            histogram.labels(*labels).observe(rng.choice([0, 0.5, 0.7, 1, 2.5, 2.6, 99]), exemplar)
        gauge.labels("read", "x").set_function(lambda: 3)
        gauge.labels("set", "x").set(0.5)
        gauge.remove(*VALUES[0])
        histogram.labels("without", "observations")
    return ours, theirs


def without_times(text: bytes) -> str:
    """A scrape without the values of `_created` and the times of exemplars."""
    shown = re.sub(r"(?m)^(\w+_created\{.*\}) \S+$", r"\1", text.decode())
    return re.sub(r"(?m)(# \{trace_id=.*\} \S+) \S+$", r"\1", shown)


@pytest.mark.parametrize("exposition", [plain_text, openmetrics])
def test_a_scrape_is_that_of_prometheus_client(
    exposition: Callable[[CollectorRegistry], bytes],
) -> None:
    """Both formats are equal to the byte: names, order, escapes, buckets, sums and exemplars."""
    ours, theirs = (without_times(exposition(registry)) for registry in registries())
    assert ours == theirs
    assert ours.count("seconds_bucket") == 16


def test_series_without_the_time_of_their_creation() -> None:
    """A program switches `_created` off for prometheus-client: it is off here as well."""
    ours, theirs = registries()
    assert "count_created" in openmetrics(ours).decode()
    disable_created_metrics()
    try:
        assert "_created" not in openmetrics(ours).decode()
        assert without_times(openmetrics(ours)) == without_times(openmetrics(theirs))
    finally:
        enable_created_metrics()


@contextmanager
def threads_that_change_all_the_time() -> Iterator[ThreadPoolExecutor]:
    """Four threads, which the interpreter changes as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            yield threads
    finally:
        sys.setswitchinterval(interval)


def test_threads_may_change_the_same_series() -> None:
    """No change of a counter, gauge or histogram is lost, even if threads change all the time."""
    counter = PlainCounter("count", "A count", LABELS).labels("a", "b")
    gauge = PlainGauge("gauge", "A gauge", LABELS).labels("a", "b")
    histogram = PlainHistogram("seconds", "Some seconds", LABELS, BOUNDS).labels("a", "b")

    def change() -> None:
        for _ in range(50_000):
            counter.inc()
            gauge.dec()
            histogram.observe(1)

    with threads_that_change_all_the_time() as threads:
        for done in [threads.submit(change) for _ in range(4)]:
            done.result()
    assert (counter.value, gauge.value) == (200_000, -200_000)
    assert (histogram.buckets, histogram.sum) == ([0, 200_000, 0, 0], 200_000)


def test_routers_of_one_name_count_in_the_same_series() -> None:
    """Routers of one name in several threads lose no count."""
    registry = CollectorRegistry()
    view = FakeView("openai")
    metrics = [make_metrics("default", view, registry) for _ in range(4)]
    with threads_that_change_all_the_time() as threads:
        for done in [threads.submit(_count_calls, one, 200) for one in metrics]:
            done.result()
    assert total(registry, "attempts_total", outcome="success") == 800
    assert total(registry, "attempt_duration_seconds_count") == 800
    assert total(registry, "calls_total", outcome="success") == 800
    assert total(registry, "call_duration_seconds_sum") == 800


def _count_calls(metrics, number: int) -> None:
    for _ in range(number):
        dispatch_call(metrics, call("success", attempt(seconds=0.5), seconds=1.0))


def test_an_exemplar_that_is_too_long_loses_no_observation() -> None:
    """OpenMetrics bounds the labels of an exemplar; a longer one raises after the observation."""
    family = PlainHistogram("seconds", "Some seconds", LABELS, BOUNDS)
    series = family.labels("a", "b")
    series.observe(1, {"id": "x" * (MAX_EXEMPLAR_LENGTH - 2)})
    with pytest.raises(ValueError, match=r"at most 128 characters, got 129"):
        series.observe(1, {"id": "x" * (MAX_EXEMPLAR_LENGTH - 1)})
    assert series.buckets == [0, 2, 0, 0]


def test_families_of_prometheus_client_in_a_registry_are_other_metrics() -> None:
    """A package of an earlier version registered them: plain families would count elsewhere."""
    registry = CollectorRegistry()
    registered = families_in(registry)
    old = {name: SimpleCounter() for name in vars(registered.families)}
    for name, family in old.items():
        setattr(registered.families, name, family)
    from multirouter.listeners.metrics import families as module

    other = type("RegisteredFamilies", (), {})()
    other.families = registered.families
    module._registered()[registry] = other
    with pytest.raises(ConfigurationError, match="must not have other metrics"):
        families_in(registry)


class SimpleCounter:
    """A family of another class."""
