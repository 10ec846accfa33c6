"""Metrics count and time each event once, with closed sets of label values."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import (
    CircuitChanged,
    Configured,
    CooldownStarted,
    FailedOver,
    PanicStarted,
    RetryDenied,
    RouteDiverted,
)
from multirouter.errors import ConfigurationError
from multirouter.listeners.metrics import families as families_module
from multirouter.listeners.metrics.families import families_in
from multirouter.listeners.metrics.family_makers import BUCKETS
from multirouter.listeners.metrics.metrics import Metrics, make_metrics
from multirouter.model import FailureKind
from tests.listeners.helpers import (
    FakeView,
    attempt,
    call,
    dispatch,
    dispatch_call,
    handled_by,
    total,
    value,
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def view() -> FakeView:
    return FakeView("openai", "local")


@pytest.fixture
def metrics(view, registry) -> Metrics:
    return make_metrics("default", view, registry)


def test_case_81_every_call_and_attempt_is_counted_once(metrics, registry) -> None:
    """Each call and each attempt is counted under one outcome and timed once."""
    failed = attempt("openai", FailureKind.SERVER)
    for outcome in (
        call("success", attempt()),
        call("success", failed, attempt("local")),
        call("failure", failed, attempt("local", FailureKind.TIMEOUT)),
        call("cancelled", attempt("openai", FailureKind.CANCELLED)),
        call("fallback", failed),
        call("rejected"),
    ):
        dispatch_call(metrics, outcome)
    counted = {
        result: value(registry, "calls_total", route="default", outcome=result)
        for result in ("success", "failure", "cancelled", "fallback", "rejected")
    }
    assert counted == {"success": 2, "failure": 1, "cancelled": 1, "fallback": 1, "rejected": 1}
    assert total(registry, "calls_total") == 6
    assert total(registry, "call_duration_seconds_count") == 6
    assert total(registry, "attempts_total") == 7
    assert total(registry, "attempt_duration_seconds_count") == 7
    assert total(registry, "attempts_total", outcome="success") == 2


def test_case_82_a_failover_counts_each_provider_separately(metrics, registry) -> None:
    """One successful call, a failed and a successful attempt at two providers, one failover."""
    outcome = call("success", attempt("openai", FailureKind.SERVER), attempt("local"))
    dispatch(
        metrics,
        "failed_over",
        FailedOver("default", "default", "openai", "local", FailureKind.SERVER),
    )
    dispatch_call(metrics, outcome)
    assert value(registry, "calls_total", route="default", outcome="success") == 1
    assert value(registry, "calls_total", route="default", outcome="failure") == 0
    assert value(registry, "attempts_total", provider="openai", outcome="failure") == 1
    assert value(registry, "attempts_total", provider="openai", outcome="success") == 0
    assert value(registry, "attempts_total", provider="local", outcome="success") == 1
    assert value(registry, "failovers_total", provider="openai", reason="server") == 1


def test_operations_are_counted_under_their_names(metrics, registry) -> None:
    """A call of an operation and its attempts have the operation's label, and its series at 0."""
    tried = [attempt("openai", FailureKind.SERVER), attempt("local")]
    outcome = call("success", *tried)
    for event in (*tried, outcome):
        event.operation = "drawings"
    dispatch_call(metrics, outcome)
    of = {"operation": "drawings"}
    for result, calls in {"success": 1, "failure": 0}.items():
        labels = {"route": "default", "outcome": result, **of}
        assert value(registry, "calls_total", **labels) == calls
    counted = {
        (provider, result): value(
            registry, "attempts_total", provider=provider, outcome=result, **of
        )
        for provider in ("openai", "local")
        for result in ("success", "failure")
    }
    assert counted == {
        ("openai", "success"): 0,
        ("openai", "failure"): 1,
        ("local", "success"): 1,
        ("local", "failure"): 0,
    }
    assert total(registry, "attempts_total", operation="chat") == 0
    assert total(registry, "diverted_calls_total") == 1


def test_case_83_routers_share_a_registry(registry, view) -> None:
    """The label `router` separates two routers; a second router of the same name continues."""
    for name in ("first", "second", "first"):
        dispatch_call(make_metrics(name, view, registry), call("success", attempt()))
    assert total(registry, "calls_total", router="first") == 2
    assert total(registry, "calls_total", router="second") == 1


def test_case_83_a_private_registry_is_separate(registry, view) -> None:
    """Counts in one registry do not appear in another."""
    dispatch_call(make_metrics("default", view, registry), call("success", attempt()))
    other = CollectorRegistry()
    make_metrics("default", view, other)
    assert total(other, "calls_total") == 0


def test_case_84_labels_stay_closed(metrics, registry) -> None:
    """10,000 different error messages create no series beyond those of the first."""
    dispatch_call(
        metrics, call("failure", attempt(kind=FailureKind.SERVER, error=RuntimeError("0")))
    )
    before = len(generate_latest(registry).splitlines())
    for number in range(1, 10_000):
        record = attempt(kind=FailureKind.SERVER, error=RuntimeError(f"message {number}"))
        metrics.attempt_ended(record)
        metrics.call_ended(call("failure", record, error=record.error))
    assert len(generate_latest(registry).splitlines()) == before
    assert total(registry, "attempts_total", outcome="failure") == 10_000


def test_case_85_a_cancelled_attempt_has_its_own_series(metrics, registry, view) -> None:
    """Cancelled attempts have their own outcome, and in flight returns to 0."""
    view.in_flight_counts["openai"] = 1
    assert value(registry, "attempts_in_flight", provider="openai") == 1
    dispatch(metrics, "attempt_ended", attempt(kind=FailureKind.CANCELLED, seconds=9.0))
    view.in_flight_counts["openai"] = 0
    duration = "attempt_duration_seconds_sum"
    assert value(registry, "attempts_total", provider="openai", outcome="cancelled") == 1
    assert value(registry, duration, provider="openai", outcome="cancelled") == 9.0
    assert value(registry, duration, provider="openai", outcome="success") is None
    assert value(registry, "attempts_in_flight", provider="openai") == 0


def test_hedges_and_trials_count_as_attempts(metrics, registry) -> None:
    """Hedges and trials are attempts; shadow copies are counted in other families."""
    for role in ("call", "hedge", "trial", "shadow"):
        dispatch(metrics, "attempt_ended", attempt(role=role, late=True))
    assert total(registry, "attempts_total") == 3
    assert total(registry, "attempt_duration_seconds_count") == 3
    assert value(registry, "late_attempts_total", provider="openai") == 3


def test_each_event_is_counted_in_its_family(metrics, registry) -> None:
    """Each event adds one to its family, under its reason."""
    changed = CircuitChanged("default", "openai", "closed", "open", "failures", 1, 60.0, 5.0)
    dispatch(metrics, "circuit_changed", changed)
    dispatch(
        metrics,
        "cooldown_started",
        CooldownStarted("default", "openai", 5.0, from_retry_after=True, at=0.0),
    )
    dispatch(metrics, "retry_denied", RetryDenied("default", "default", "budget"))
    dispatch(metrics, "panic_started", PanicStarted("default", "default"))
    labels = {"provider": "openai", "to": "open", "reason": "failures"}
    assert value(registry, "circuit_transitions_total", **labels) == 1
    assert value(registry, "cooldowns_total", provider="openai") == 1
    assert value(registry, "retries_denied_total", reason="budget") == 1
    assert value(registry, "retries_denied_total", reason="attempts") == 0
    assert value(registry, "panics_total", route="default") == 1


def test_series_start_at_zero(metrics, registry) -> None:
    """A provider's counters, and all outcomes of a route, exist before their first event."""
    for outcome in ("success", "failure", "cancelled"):
        assert value(registry, "attempts_total", provider="local", outcome=outcome) == 0
    assert value(registry, "cooldowns_total", provider="local") == 0
    assert value(registry, "late_attempts_total", provider="local") == 0
    dispatch(metrics, "call_ended", call("success", attempt()))
    assert value(registry, "calls_total", route="default", outcome="rejected") == 0


def test_case_86_gauges_are_read_at_the_scrape(metrics, registry, view) -> None:
    """State and availability are read at the scrape, so they do not depend on events."""
    del metrics
    states = {"closed": 0, "half_open": 1, "open": 2}
    for state, shown in states.items():
        view.states["openai"] = state
        assert value(registry, "circuit_state", provider="openai") == shown
    assert value(registry, "available", provider="openai") == 1
    view.unavailable.add("openai")
    assert value(registry, "available", provider="openai") == 0
    assert value(registry, "available", provider="local") == 1


def test_gauges_follow_added_and_removed_providers(metrics, registry, view) -> None:
    """Gauges appear with a new provider and vanish with a removed one, whose counters stay."""
    dispatch_call(metrics, call("success", attempt("local")))
    view.in_flight_counts["fresh"] = 2
    view.states["fresh"] = "closed"
    del view.in_flight_counts["local"]
    assert (
        value(registry, "attempts_in_flight", provider="local") == 0
    )  # removed, but not yet reported as removed
    dispatch(metrics, "configured", Configured("default", added=("fresh",), removed=("local",)))
    assert value(registry, "attempts_in_flight", provider="fresh") == 2
    assert value(registry, "attempts_in_flight", provider="local") is None
    assert value(registry, "attempts_total", provider="local", outcome="success") == 1
    dispatch(metrics, "attempt_ended", attempt("local"))  # it was still in flight when removed
    assert value(registry, "attempts_total", provider="local", outcome="success") == 2


def test_close_removes_the_gauges(metrics, registry) -> None:
    """After one or two closes the router has no gauges left, but its counters stay."""
    dispatch_call(metrics, call("success", attempt()))
    metrics.close()
    metrics.close()
    assert b"in_flight{" not in generate_latest(registry)
    assert total(registry, "calls_total") == 1


def test_routers_of_the_same_name_are_merged(registry) -> None:
    """In flight is summed and the worst state is shown, until one of the two is closed."""
    first, second = FakeView("openai"), FakeView("openai")
    one, two = make_metrics("default", first, registry), make_metrics("default", second, registry)
    first.in_flight_counts["openai"], second.in_flight_counts["openai"] = 1, 2
    second.states["openai"] = "open"
    first.unavailable.add("openai")
    assert value(registry, "attempts_in_flight", provider="openai") == 3
    assert value(registry, "circuit_state", provider="openai") == 2
    assert value(registry, "available", provider="openai") == 0
    two.close()
    assert value(registry, "attempts_in_flight", provider="openai") == 1
    assert value(registry, "circuit_state", provider="openai") == 0
    one.close()
    assert value(registry, "attempts_in_flight", provider="openai") is None


def test_a_dropped_router_is_collected(registry) -> None:
    """Gauges and registry hold no reference to a router; its series vanish after a scrape."""
    view = FakeView("openai")
    metrics = make_metrics("default", view, registry)
    seen = weakref.ref(view)
    del view
    gc.collect()
    assert seen() is None
    assert value(registry, "attempts_in_flight", provider="openai") == 0
    assert value(registry, "attempts_in_flight", provider="openai") is None
    dispatch(metrics, "configured", Configured("default", added=("late",)))
    metrics.close()
    assert value(registry, "attempts_in_flight", provider="late") is None


def test_a_dropped_registry_is_collected(view) -> None:
    """The map from registries to families keeps no registry alive."""
    registry = CollectorRegistry()
    make_metrics("default", view, registry)
    seen = weakref.ref(registry)
    del registry
    gc.collect()
    assert seen() is None


def test_a_name_conflict_in_the_registry_raises(registry, view) -> None:
    """Another metric with the same name raises, and no family stays registered."""
    Counter("multirouter_cooldowns", "another metric", registry=registry)
    with pytest.raises(ConfigurationError, match=r"registry.*multirouter_cooldowns"):
        make_metrics("default", view, registry)
    assert b"multirouter_calls" not in generate_latest(registry)
    with pytest.raises(ConfigurationError, match="CollectorRegistry, got 'registry'"):
        make_metrics("default", view, "registry")  # pyright: ignore[reportArgumentType]


def test_exemplars_appear_at_their_bucket(registry, view) -> None:
    """The labels of `exemplar=` are attached to the bucket of the observation."""
    metrics = make_metrics("default", view, registry, exemplar=lambda: {"trace_id": "4bf92f"})
    dispatch_call(metrics, call("success", attempt(seconds=0.2), seconds=0.3))
    lines = openmetrics(registry).decode().splitlines()
    linked = [line for line in lines if 'trace_id="4bf92f"' in line]
    assert any("attempt_duration_seconds_bucket" in at and 'le="0.25"' in at for at in linked)
    assert any("call_duration_seconds_bucket" in at and 'le="0.5"' in at for at in linked)
    assert len(linked) == 2


def test_an_exemplar_that_raises_loses_no_observation(registry, view) -> None:
    """A hook that raises is reported by the dispatcher, and the observation is made."""

    def hook() -> dict[str, str]:
        raise RuntimeError("no span")

    errors = []
    metrics = make_metrics("default", view, registry, exemplar=hook)
    dispatcher = EventDispatcher([metrics], lambda _method, error: errors.append(error))
    dispatcher.post("attempt_ended", attempt())
    dispatcher.deliver()
    assert [str(error) for error in errors] == ["no span"]
    assert total(registry, "attempt_duration_seconds_count") == 1
    assert total(registry, "attempts_total") == 1


def test_diverted_calls_are_counted(metrics, registry) -> None:
    """Answered calls that the first choice did not answer, by route and provider."""
    for outcome in (
        call("success", attempt()),
        call("success", attempt("local")),
        call("success", attempt("openai", FailureKind.SERVER), attempt("local")),
        call("failure", attempt("local", FailureKind.SERVER)),
    ):
        dispatch_call(metrics, outcome)
    labels = {"route": "default", "provider": "local"}
    assert value(registry, "diverted_calls_total", **labels) == 2
    assert total(registry, "diverted_calls_total") == 2


def test_the_gauge_of_a_diverted_route(registry, view) -> None:
    """1 from the beginning of a diversion to its end, or to the end of the router."""
    one, other = (make_metrics("default", view, registry) for _ in range(2))
    dispatch_call(one, call("success", attempt()))
    assert value(registry, "diverted", route="default") == 0
    began = RouteDiverted("default", "default", True, "local", ("openai",), "", 0.0, 10.0)
    for metrics in (one, other):
        dispatch(metrics, "route_diverted", began)
    dispatch(one, "route_diverted", began._replace(diverted=False))
    assert value(registry, "diverted", route="default") == 1
    other.close()
    assert value(registry, "diverted", route="default") == 0


def test_events_without_effect_are_not_delivered(metrics) -> None:
    """Started attempts and holds are not delivered: a scrape reads them from the router."""
    assert {"attempt_started", "hold_changed"}.isdisjoint(handled_by(metrics))


def test_buckets_range_from_5_ms_to_the_call_timeout() -> None:
    """The default timeouts of attempt and call are bucket bounds."""
    assert (BUCKETS[0], BUCKETS[-1]) == (0.005, 120)
    assert {30, 120} <= set(BUCKETS)
    assert list(BUCKETS) == sorted(set(BUCKETS))


def test_a_registry_whose_collectors_were_all_unregistered(registry, view) -> None:
    """As some programs do between their tests: the next router registers the families again."""
    make_metrics("default", view, registry)
    for collector in [*registry._collector_to_names]:
        registry.unregister(collector)
    metrics = make_metrics("default", view, registry)
    dispatch_call(metrics, call("success", attempt()))
    assert total(registry, "calls_total") == 1


def test_a_single_unregistered_family_stays_unregistered(registry, view) -> None:
    """The program does not want it."""
    families = families_in(registry).families
    registry.unregister(families.attempt_seconds)
    metrics = make_metrics("default", view, registry)
    dispatch_call(metrics, call("success", attempt()))
    assert registry.get_sample_value("multirouter_attempt_duration_seconds_count") is None
    assert total(registry, "attempts_total") == 1


IMPORTED_AGAIN = """
import asyncio, sys
from prometheus_client import REGISTRY

def route_once():
    import multirouter

    async def call(request):
        return request

    router = multirouter.MultiProviderRouter([multirouter.Provider("a", call)])
    asyncio.run(router.call("q"))
    return router

first = route_once()
modules = [name for name in sys.modules if name.split(".")[0] == "multirouter"]
for name in modules:
    del sys.modules[name]
second = route_once()
labels = {"router": "default", "route": "default", "outcome": "success", "operation": "chat"}
assert REGISTRY.get_sample_value("multirouter_calls_total", labels) == 2
labels = {"router": "default", "provider": "a"}
assert REGISTRY.get_sample_value("multirouter_available", labels) == 1
"""


def test_a_program_that_imports_the_package_again() -> None:
    """A reloader does: the new routers count in the families that are registered already."""
    subprocess.run(
        [sys.executable, "-c", IMPORTED_AGAIN],
        cwd=Path(__file__).parents[3],
        check=True,
        timeout=50,
    )


def test_families_of_another_version_are_other_metrics(registry) -> None:
    """A package that was imported again after a change of its families does not mix them."""
    registered = families_in(registry)
    old = type("RegisteredFamilies", (), {})()
    old.families = SimpleNamespace(calls=registered.families.calls)
    families_module._registered()[registry] = old
    with pytest.raises(ConfigurationError, match="must not have other metrics with the same names"):
        families_in(registry)
