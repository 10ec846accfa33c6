"""Where several processes share files, metrics are whole too: gauges are written, not read."""

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
from multirouter.listeners.metrics.gauges import WrittenGauges
from multirouter.listeners.metrics.metrics import make_metrics
from tests.listeners.doubles import Sight, attempt, tell, value

WORKER = """
import sys
from prometheus_client import CollectorRegistry
from multirouter.core.events import CircuitChanged, Configured, Cooled, Held
from multirouter.model import Kind
from multirouter.listeners.metrics.metrics import MultiprocessMetrics, make_metrics
from tests.listeners.doubles import Sight, attempt, call, heard_by, tell, tell_call

first = sys.argv[1] == "first"
sight = Sight("openai", "local", "gone")
metrics = make_metrics("default", sight, CollectorRegistry(), exemplar=lambda: {"trace_id": "a"})
assert type(metrics) is MultiprocessMetrics
assert "attempt_started" in heard_by(metrics)
tell_call(metrics, call("success", attempt("openai", Kind.SERVER), attempt("local")))
sight.running["openai"] = 2 if first else 3
tell(metrics, "attempt_started", "openai", "call")
if first:
    sight.states["openai"] = "open"
    sight.out.add("openai")
    opened = CircuitChanged("default", "openai", "closed", "open", "failures", 1, 60.0, 5.0)
    tell(metrics, "circuit_changed", opened)
    sight.out.add("local")
    tell(metrics, "cooled", Cooled("default", "local", 5.0, asked=True, at=0.0))
    sight.out.discard("local")  # the rest ends, which is no news
    tell(metrics, "attempt_ended", attempt("openai", started=10.1))  # too soon to look at all
    tell(metrics, "attempt_ended", attempt("openai", started=20.0))
else:
    sight.out.add("local")
    tell(metrics, "held", Held("default", "local", "open"))
tell(metrics, "configured", Configured("default", removed=("gone",)))
tell(metrics, "held", Held("default", "gone", None))  # news of one that is gone
print("told", flush=True)
sys.stdin.readline()  # a live process: it stays until the scrape is over
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
    root = str(Path(__file__).parents[2])
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
    """Workers that have told their news and live; they end when the block is left."""
    workers = [start(environment, WORKER, name) for name in names]
    said = [worker.stdout.readline() for worker in workers if worker.stdout]
    try:
        yield
    finally:
        ends = [worker.communicate("\n") for worker in workers]
    assert said == ["told\n" for _ in names], ends
    assert ends == [("", "") for _ in names]


def scrape(environment: dict[str, str]) -> dict[tuple[str, ...], float]:
    said, complaints = start(environment, SCRAPER).communicate()
    assert complaints == ""
    return {
        (name.removeprefix("multirouter_"), *(v for key, v in labels if key != "router")): value
        for name, labels, value in json.loads(said)
    }


def test_two_workers_are_told_as_one(environment) -> None:
    """Counts and in flight add up over two processes, and the worse opinion of both is shown."""
    with working(environment, "first", "second"):
        seen = scrape(environment)
    assert seen["calls_total", "success", "default"] == 2
    assert seen["attempts_total", "failure", "openai"] == 2
    assert seen["attempt_duration_seconds_count", "success", "local"] == 2
    assert seen["attempts_in_flight", "openai"] == 5
    assert seen["circuit_state", "openai"] == 2
    assert seen["available", "openai"] == 0
    assert seen["available", "local"] == 0  # held in the second worker alone
    assert seen["available", "gone"] == 0  # series cannot be removed; a removed one is not there
    after = scrape(environment)
    assert after["attempts_in_flight", "openai"] == 3  # the first closed, the second just ended
    assert after["circuit_state", "openai"] == 0


def test_the_end_of_a_rest_is_seen_within_a_second_of_traffic(environment) -> None:
    """What is no news is written when another provider's attempts show that time went on."""
    with working(environment, "first"):
        seen = scrape(environment)
    assert seen["available", "local"] == 1


@pytest.fixture
def shared(monkeypatch) -> CollectorRegistry:
    """A registry of a process whose values are not its own, without any file."""

    class SharedValue(values.MutexValue):
        """Enough for prometheus-client to be asked which kind of value it makes."""

    monkeypatch.setattr(values, "ValueClass", SharedValue)
    return CollectorRegistry()


def test_all_gauges_are_looked_at_again_once_a_second(shared) -> None:
    """Between two looks an attempt writes its own provider alone; a clock set back looks again."""
    sight = Sight("openai", "local")
    metrics = make_metrics("default", sight, shared)
    seen = []
    for started in (10.0, 10.5, 11.1, 2.0):
        sight.running["local"] += 1
        sight.running["openai"] += 1
        tell(metrics, "attempt_ended", attempt("openai", seconds=0.1, started=started))
        assert value(shared, "attempts_in_flight", provider="openai") == sight.running["openai"]
        seen.append(value(shared, "attempts_in_flight", provider="local"))
    assert seen == [1, 1, 3, 4]


def test_news_of_a_provider_writes_its_gauges(shared) -> None:
    """A start, a change, a rest and a hold each write at once; of a removed one nothing is."""
    sight = Sight("openai")
    metrics = make_metrics("default", sight, shared)
    opened = CircuitChanged("default", "openai", "closed", "open", "failures", 1, 60.0, 5.0)
    for kind, *news in (
        ("attempt_started", "openai", "call"),
        ("circuit_changed", opened),
        ("cooldown_started", CooldownStarted("default", "openai", 5.0, asked=False, at=0.0)),
        ("hold_changed", HoldChanged("default", "openai", "disabled")),
    ):
        sight.running["openai"] += 1
        tell(metrics, kind, *news)
        assert value(shared, "attempts_in_flight", provider="openai") == sight.running["openai"]
    tell(metrics, "configured", Configured("default", removed=("openai",)))
    assert value(shared, "attempts_in_flight", provider="openai") == 0
    tell(metrics, "hold_changed", HoldChanged("default", "openai", None))
    assert value(shared, "available", provider="openai") == 0


def test_a_second_router_of_the_name_keeps_a_removed_provider(shared) -> None:
    """What one router gives up, another of its name still shows, as it sees it now."""
    one, two = Sight("openai"), Sight("openai")
    first, second = make_metrics("default", one, shared), make_metrics("default", two, shared)
    one.running["openai"], two.running["openai"] = 1, 2
    tell(second, "attempt_started", "openai", "call")
    assert value(shared, "attempts_in_flight", provider="openai") == 3
    first.close()
    assert value(shared, "attempts_in_flight", provider="openai") == 2


class Written(Gauge):
    """A gauge that keeps what was written to it."""

    told: list[float]

    def set(self, value: float) -> None:
        self.told.append(value)
        super().set(value)


def test_a_gauge_is_written_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt writes what it changed, not all gauges again; a forked process begins anew."""
    Written.told = []
    registry = CollectorRegistry()
    names = ("in_flight", "available", "degraded", "circuit_state")
    made = [Written(name, name, ["router", "provider"], registry=registry) for name in names]
    gauges, sight = WrittenGauges(*made), Sight("openai")
    gauges.show("default", "openai", sight)
    assert Written.told == [0.0, 1.0, 0.0, 0.0]
    gauges.refresh("default", "openai")
    sight.running["openai"] = 1
    gauges.refresh("default", "openai")
    assert Written.told[4:] == [1.0]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    gauges.refresh("default", "openai")
    assert Written.told[5:] == [1.0, 1.0, 0.0, 0.0]
