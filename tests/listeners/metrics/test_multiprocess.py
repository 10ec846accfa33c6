"""Metrics of several processes that share files: gauges are written, not read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge, values

from multirouter.core.events import CircuitChanged, Configured, CooldownStarted, HoldChanged
from multirouter.listeners.metrics.gauges import StateGauges, WrittenGauges
from multirouter.listeners.metrics.metrics import make_metrics
from tests.listeners.helpers import FakeView, attempt, dispatch, value

WORKER = """
import sys
from prometheus_client import CollectorRegistry
from multirouter.core.events import (
    CircuitChanged, Configured, CooldownStarted, HoldChanged, ModelCircuitChanged
)
from multirouter.model import FailureKind
from multirouter.listeners.metrics.metrics import MultiprocessMetrics, make_metrics
from tests.listeners.helpers import FakeView, attempt, call, handled_by, dispatch, dispatch_call

first = sys.argv[1] == "first"
view = FakeView("openai", "local", "removed")
metrics = make_metrics("default", view, CollectorRegistry(), exemplar=lambda: {"trace_id": "a"})
assert type(metrics) is MultiprocessMetrics
assert "attempt_started" in handled_by(metrics)
dispatch_call(metrics, call("success", attempt("openai", FailureKind.SERVER), attempt("local")))
view.in_flight_counts["openai"] = 2 if first else 3
dispatch(metrics, "attempt_started", "openai", "call")
if first:
    view.states["openai"] = "open"
    view.unavailable.add("openai")
    opened = CircuitChanged("default", "openai", "closed", "open", "failures", 1, 60.0, 5.0)
    dispatch(metrics, "circuit_changed", opened)
    view.model_states["local"]["m"] = "half_open"
    event = ModelCircuitChanged("default", "local", "m", "open", "half_open", "timer", 0.0, 5.0)
    dispatch(metrics, "model_circuit_changed", event)
    view.unavailable.add("local")
    cooldown = CooldownStarted("default", "local", 5.0, from_retry_after=True, at=0.0)
    dispatch(metrics, "cooldown_started", cooldown)
    view.unavailable.discard("local")  # the cooldown ends, which causes no event
    dispatch(metrics, "attempt_ended", attempt("openai", started=10.1))  # too soon to refresh all
    dispatch(metrics, "attempt_ended", attempt("openai", started=20.0))
else:
    view.unavailable.add("local")
    dispatch(metrics, "hold_changed", HoldChanged("default", "local", "open"))
dispatch(metrics, "configured", Configured("default", removed=("removed",)))
dispatch(metrics, "hold_changed", HoldChanged("default", "removed", None))  # already removed
print("ready", flush=True)
sys.stdin.readline()  # stay alive until the scrape is over
if first:
    metrics.close()
"""

SCRAPER = """
import json
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

registry = CollectorRegistry()
MultiProcessCollector(registry)
print(json.dumps([
    [sample.name, sorted(sample.labels.items()), sample.value]
    for family in registry.collect() for sample in family.samples
]))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A process environment in which prometheus-client shares files."""
    root = str(Path(__file__).parents[3])
    shared = tmp_path / "shared"
    shared.mkdir()
    return {**os.environ, "PYTHONPATH": root, "PROMETHEUS_MULTIPROC_DIR": str(shared)}


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    # prometheus-client leaves it to the end of the process to close its files.
    warnings = ("-W", "error", "-W", "ignore::ResourceWarning")
    return subprocess.Popen(
        [sys.executable, *warnings, "-c", *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def working(environment: dict[str, str], *names: str) -> Iterator[None]:
    """Running workers that have delivered their events; they exit at the end of the block."""
    workers = [start(environment, WORKER, name) for name in names]
    lines = [worker.stdout.readline() for worker in workers if worker.stdout]
    try:
        yield
    finally:
        ends = [worker.communicate("\n") for worker in workers]
    assert lines == ["ready\n" for _ in names], ends
    assert ends == [("", "") for _ in names]


def scrape(environment: dict[str, str]) -> dict[tuple[str, ...], float]:
    output, errors = start(environment, SCRAPER).communicate()
    assert errors == ""
    return {
        (name.removeprefix("multirouter_"), *(v for key, v in labels if key != "router")): value
        for name, labels, value in json.loads(output)
    }


def test_two_workers_are_merged(environment) -> None:
    """Counts and in flight are summed over two processes, and the worse state is shown."""
    with working(environment, "first", "second"):
        seen = scrape(environment)
    assert seen["calls_total", "chat", "success", "default"] == 2
    assert seen["attempts_total", "chat", "failure", "openai"] == 2
    assert seen["attempt_duration_seconds_count", "chat", "success", "local"] == 2
    assert seen["attempts_in_flight", "openai"] == 5
    assert seen["circuit_state", "openai"] == 2
    assert seen["model_circuit_state", "m", "local"] == 1
    assert seen["model_circuit_transitions_total", "m", "local", "timer", "half_open"] == 1
    assert seen["available", "openai"] == 0
    assert seen["available", "local"] == 0  # held in the second worker alone
    assert seen["available", "removed"] == 0  # series cannot be removed; they go to 0
    after = scrape(environment)
    assert after["attempts_in_flight", "openai"] == 3  # the first closed, the second just ended
    assert after["circuit_state", "openai"] == 0
    assert after["model_circuit_state", "m", "local"] == 0


def test_the_end_of_a_cooldown_is_visible_within_a_second_of_traffic(environment) -> None:
    """Attempts at another provider refresh all gauges, so changes without an event show."""
    with working(environment, "first"):
        seen = scrape(environment)
    assert seen["available", "local"] == 1


@pytest.fixture
def shared(monkeypatch) -> CollectorRegistry:
    """A registry in multiprocess mode, without files."""

    class SharedValue(values.MutexValue):
        """Makes `is_multiprocess` return True."""

    monkeypatch.setattr(values, "ValueClass", SharedValue)
    return CollectorRegistry()


def test_all_gauges_are_refreshed_once_a_second(shared) -> None:
    """In between, an attempt writes only its own provider; a clock set back refreshes all."""
    view = FakeView("openai", "local")
    metrics = make_metrics("default", view, shared)
    seen = []
    for started in (10.0, 10.5, 11.1, 2.0):
        view.in_flight_counts["local"] += 1
        view.in_flight_counts["openai"] += 1
        dispatch(metrics, "attempt_ended", attempt("openai", seconds=0.1, started=started))
        assert (
            value(shared, "attempts_in_flight", provider="openai")
            == view.in_flight_counts["openai"]
        )
        seen.append(value(shared, "attempts_in_flight", provider="local"))
    assert seen == [1, 1, 3, 4]


def test_events_of_a_provider_write_its_gauges(shared) -> None:
    """Start, circuit change, cooldown and hold write at once; a removed provider stays 0."""
    view = FakeView("openai")
    metrics = make_metrics("default", view, shared)
    opened = CircuitChanged("default", "openai", "closed", "open", "failures", 1, 60.0, 5.0)
    for name, *event in (
        ("attempt_started", "openai", "call"),
        ("circuit_changed", opened),
        (
            "cooldown_started",
            CooldownStarted("default", "openai", 5.0, from_retry_after=False, at=0.0),
        ),
        ("hold_changed", HoldChanged("default", "openai", "disabled")),
    ):
        view.in_flight_counts["openai"] += 1
        dispatch(metrics, name, *event)
        assert (
            value(shared, "attempts_in_flight", provider="openai")
            == view.in_flight_counts["openai"]
        )
    dispatch(metrics, "configured", Configured("default", removed=("openai",)))
    assert value(shared, "attempts_in_flight", provider="openai") == 0
    dispatch(metrics, "hold_changed", HoldChanged("default", "openai", None))
    assert value(shared, "available", provider="openai") == 0


def test_a_second_router_of_the_name_keeps_a_removed_provider(shared) -> None:
    """A provider removed by one router is still shown by another router of the same name."""
    one, two = FakeView("openai"), FakeView("openai")
    first, second = make_metrics("default", one, shared), make_metrics("default", two, shared)
    one.in_flight_counts["openai"], two.in_flight_counts["openai"] = 1, 2
    dispatch(second, "attempt_started", "openai", "call")
    assert value(shared, "attempts_in_flight", provider="openai") == 3
    first.close()
    assert value(shared, "attempts_in_flight", provider="openai") == 2


class RecordingGauge(Gauge):
    """A gauge that records the values written."""

    written: list[float]

    def set(self, value: float) -> None:
        self.written.append(value)
        super().set(value)


def test_a_gauge_is_written_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only changed values are written; a forked process writes all of them again."""
    RecordingGauge.written = []
    registry = CollectorRegistry()

    def made(name: str) -> RecordingGauge:
        labels = ["router", "provider", *(["model"] if name.startswith("model") else [])]
        return RecordingGauge(name, name, labels, registry=registry)

    gauges = WrittenGauges(StateGauges(*map(made, StateGauges._fields)))
    view = FakeView("openai")
    gauges.add("default", "openai", view)
    assert RecordingGauge.written == [0.0, 1.0, 0.0, 0.0]
    gauges.refresh("default", "openai")
    view.in_flight_counts["openai"] = 1
    gauges.refresh("default", "openai")
    assert RecordingGauge.written[4:] == [1.0]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    gauges.refresh("default", "openai")
    assert RecordingGauge.written[5:] == [1.0, 1.0, 0.0, 0.0]
    view.model_states["openai"]["gpt-5"] = "open"
    gauges.add_model("default", "openai", "gpt-5")
    gauges.refresh("default", "openai")
    assert RecordingGauge.written[9:] == [2.0]
    gauges.remove("default", "openai", view)
    assert RecordingGauge.written[10:] == [0.0, 0.0, 0.0]  # in flight, available, the model
