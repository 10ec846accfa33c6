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

WORKER = """
import sys
from prometheus_client import CollectorRegistry
from multirouter.core.events import CircuitChanged, Configured, Cooled, Held
from multirouter.core.model import Kind
from multirouter.listeners.metrics import MultiprocessMetrics, make_metrics
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
    tell(metrics, "cooled", Cooled("default", "local", 5.0, asked=True))
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
