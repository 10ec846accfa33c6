"""Metrics count and time what happened, once, under closed sets of labels."""

from __future__ import annotations

import gc
import weakref

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
)
from multirouter.errors import ConfigurationError
from multirouter.listeners.metrics.families import BUCKETS
from multirouter.listeners.metrics.metrics import Metrics, make_metrics
from multirouter.model import FailureKind
from tests.listeners.doubles import Sight, attempt, call, heard_by, tell, tell_call, total, value


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def sight() -> Sight:
    return Sight("openai", "local")


@pytest.fixture
def metrics(sight, registry) -> Metrics:
    return make_metrics("default", sight, registry)


def test_case_81_every_call_and_attempt_is_counted_once(metrics, registry) -> None:
    """Calls are the sum of call outcomes, attempts of attempt outcomes, one timing for each."""
    failed = attempt("openai", FailureKind.SERVER)
    for outcome in (
        call("success", attempt()),
        call("success", failed, attempt("local")),
        call("failure", failed, attempt("local", FailureKind.TIMEOUT)),
        call("cancelled", attempt("openai", FailureKind.CANCELLED)),
        call("fallback", failed),
        call("refused"),
    ):
        tell_call(metrics, outcome)
    counted = {
        result: value(registry, "calls_total", route="default", outcome=result)
        for result in ("success", "failure", "cancelled", "fallback", "refused")
    }
    assert counted == {"success": 2, "failure": 1, "cancelled": 1, "fallback": 1, "refused": 1}
    assert total(registry, "calls_total") == 6
    assert total(registry, "call_duration_seconds_count") == 6
    assert total(registry, "attempts_total") == 7
    assert total(registry, "attempt_duration_seconds_count") == 7
    assert total(registry, "attempts_total", outcome="success") == 2


def test_case_82_a_failover_credits_each_with_its_own(metrics, registry) -> None:
    """A fails and B answers: one call succeeded, A failed once, B succeeded once, one failover."""
    outcome = call("success", attempt("openai", FailureKind.SERVER), attempt("local"))
    tell(
        metrics,
        "failed_over",
        FailedOver("default", "default", "openai", "local", FailureKind.SERVER),
    )
    tell_call(metrics, outcome)
    assert value(registry, "calls_total", route="default", outcome="success") == 1
    assert value(registry, "calls_total", route="default", outcome="failure") == 0
    assert value(registry, "attempts_total", provider="openai", outcome="failure") == 1
    assert value(registry, "attempts_total", provider="openai", outcome="success") == 0
    assert value(registry, "attempts_total", provider="local", outcome="success") == 1
    assert value(registry, "failovers_total", provider="openai", reason="server") == 1


def test_case_83_routers_share_a_registry(registry, sight) -> None:
    """Two routers on one registry are told apart by name; one made twice goes on counting."""
    for name in ("first", "second", "first"):
        tell_call(make_metrics(name, sight, registry), call("success", attempt()))
    assert total(registry, "calls_total", router="first") == 2
    assert total(registry, "calls_total", router="second") == 1


def test_case_83_a_private_registry_is_apart(registry, sight) -> None:
    """What one registry counts, another does not show."""
    tell_call(make_metrics("default", sight, registry), call("success", attempt()))
    other = CollectorRegistry()
    make_metrics("default", sight, other)
    assert total(other, "calls_total") == 0


def test_case_84_labels_stay_closed(metrics, registry) -> None:
    """10,000 distinct messages, and not one series more than the first made."""
    tell_call(metrics, call("failure", attempt(kind=FailureKind.SERVER, error=RuntimeError("0"))))
    before = len(generate_latest(registry).splitlines())
    for number in range(1, 10_000):
        record = attempt(kind=FailureKind.SERVER, error=RuntimeError(f"message {number}"))
        metrics.attempt_ended(record)
        metrics.call_ended(call("failure", record, error=record.error))
    assert len(generate_latest(registry).splitlines()) == before
    assert total(registry, "attempts_total", outcome="failure") == 10_000


def test_case_85_a_cancelled_attempt_has_its_own_series(metrics, registry, sight) -> None:
    """Cancelled attempts are counted and timed apart, and in flight goes back to 0."""
    sight.running["openai"] = 1
    assert value(registry, "attempts_in_flight", provider="openai") == 1
    tell(metrics, "attempt_ended", attempt(kind=FailureKind.CANCELLED, seconds=9.0))
    sight.running["openai"] = 0
    spent = "attempt_duration_seconds_sum"
    assert value(registry, "attempts_total", provider="openai", outcome="cancelled") == 1
    assert value(registry, spent, provider="openai", outcome="cancelled") == 9.0
    assert value(registry, spent, provider="openai", outcome="success") is None
    assert value(registry, "attempts_in_flight", provider="openai") == 0


def test_roles(metrics, registry) -> None:
    """Probes and hedges are attempts; a shadow copy is nobody's answer and is not counted."""
    for role in ("call", "hedge", "trial", "shadow"):
        tell(metrics, "attempt_ended", attempt(role=role, late=True))
    assert total(registry, "attempts_total") == 3
    assert total(registry, "attempt_duration_seconds_count") == 3
    assert value(registry, "late_attempts_total", provider="openai") == 3


def test_rare_news(metrics, registry) -> None:
    """Each kind of rare news counts one, in its own family and under its own reason."""
    changed = CircuitChanged("default", "openai", "closed", "open", "failures", 1, 60.0, 5.0)
    tell(metrics, "circuit_changed", changed)
    tell(metrics, "cooldown_started", CooldownStarted("default", "openai", 5.0, asked=True, at=0.0))
    tell(metrics, "retry_denied", RetryDenied("default", "default", "budget"))
    tell(metrics, "panic_started", PanicStarted("default", "default"))
    labels = {"provider": "openai", "to": "open", "reason": "failures"}
    assert value(registry, "circuit_transitions_total", **labels) == 1
    assert value(registry, "cooldowns_total", provider="openai") == 1
    assert value(registry, "retries_denied_total", reason="budget") == 1
    assert value(registry, "retries_denied_total", reason="attempts") == 0
    assert value(registry, "panics_total", route="default") == 1


def test_series_begin_at_zero(metrics, registry) -> None:
    """A provider's counters, and all outcomes of a route, exist before their first event."""
    for outcome in ("success", "failure", "cancelled"):
        assert value(registry, "attempts_total", provider="local", outcome=outcome) == 0
    assert value(registry, "cooldowns_total", provider="local") == 0
    assert value(registry, "late_attempts_total", provider="local") == 0
    tell(metrics, "call_ended", call("success", attempt()))
    assert value(registry, "calls_total", route="default", outcome="refused") == 0


def test_case_86_gauges_tell_the_truth_at_a_scrape(metrics, registry, sight) -> None:
    """State and availability are read when asked, so they hold before any listener is told."""
    del metrics
    states = {"closed": 0, "half_open": 1, "open": 2}
    for state, shown in states.items():
        sight.states["openai"] = state
        assert value(registry, "circuit_state", provider="openai") == shown
    assert value(registry, "available", provider="openai") == 1
    sight.out.add("openai")
    assert value(registry, "available", provider="openai") == 0
    assert value(registry, "available", provider="local") == 1


def test_providers_come_and_go(metrics, registry, sight) -> None:
    """A new provider's gauges appear, a removed one's are gone, and its counters stay."""
    tell_call(metrics, call("success", attempt("local")))
    sight.running["fresh"] = 2
    sight.states["fresh"] = "closed"
    del sight.running["local"]
    assert value(registry, "attempts_in_flight", provider="local") == 0  # between the two
    tell(metrics, "configured", Configured("default", added=("fresh",), removed=("local",)))
    assert value(registry, "attempts_in_flight", provider="fresh") == 2
    assert value(registry, "attempts_in_flight", provider="local") is None
    assert value(registry, "attempts_total", provider="local", outcome="success") == 1
    tell(metrics, "attempt_ended", attempt("local"))  # it was still in flight when removed
    assert value(registry, "attempts_total", provider="local", outcome="success") == 2


def test_close_takes_the_gauges_away(metrics, registry) -> None:
    """After close, twice or once, no gauge of the router is left; what it counted is."""
    tell_call(metrics, call("success", attempt()))
    metrics.close()
    metrics.close()
    assert b"in_flight{" not in generate_latest(registry)
    assert total(registry, "calls_total") == 1


def test_routers_of_one_name_count_as_one(registry) -> None:
    """In flight adds up and the worst opinion is shown, until one of the two is closed."""
    first, second = Sight("openai"), Sight("openai")
    one, two = make_metrics("default", first, registry), make_metrics("default", second, registry)
    first.running["openai"], second.running["openai"] = 1, 2
    second.states["openai"] = "open"
    first.out.add("openai")
    assert value(registry, "attempts_in_flight", provider="openai") == 3
    assert value(registry, "circuit_state", provider="openai") == 2
    assert value(registry, "available", provider="openai") == 0
    two.close()
    assert value(registry, "attempts_in_flight", provider="openai") == 1
    assert value(registry, "circuit_state", provider="openai") == 0
    one.close()
    assert value(registry, "attempts_in_flight", provider="openai") is None


def test_a_dropped_router_is_let_go(registry) -> None:
    """Neither gauges nor registry keep a router alive; its series are gone after a scrape."""
    sight = Sight("openai")
    metrics = make_metrics("default", sight, registry)
    seen = weakref.ref(sight)
    del sight
    gc.collect()
    assert seen() is None
    assert value(registry, "attempts_in_flight", provider="openai") == 0
    assert value(registry, "attempts_in_flight", provider="openai") is None
    tell(metrics, "configured", Configured("default", added=("late",)))
    metrics.close()
    assert value(registry, "attempts_in_flight", provider="late") is None


def test_a_dropped_registry_is_let_go(sight) -> None:
    """The map from registry to families holds no registry."""
    registry = CollectorRegistry()
    make_metrics("default", sight, registry)
    seen = weakref.ref(registry)
    del registry
    gc.collect()
    assert seen() is None


def test_foreign_metrics_are_not_taken_over(registry, sight) -> None:
    """Somebody else's metric of our name is refused in words, and nothing is left half made."""
    Counter("multirouter_cooldowns", "not ours", registry=registry)
    with pytest.raises(ConfigurationError, match=r"registry.*multirouter_cooldowns"):
        make_metrics("default", sight, registry)
    assert b"multirouter_calls" not in generate_latest(registry)
    with pytest.raises(ConfigurationError, match="CollectorRegistry, not 'registry'"):
        make_metrics("default", sight, "registry")  # pyright: ignore[reportArgumentType]


def test_exemplars(registry, sight) -> None:
    """The hook's labels stand at the bucket that its observation fell into."""
    metrics = make_metrics("default", sight, registry, exemplar=lambda: {"trace_id": "4bf92f"})
    tell_call(metrics, call("success", attempt(seconds=0.2), seconds=0.3))
    lines = openmetrics(registry).decode().splitlines()
    tied = [line for line in lines if 'trace_id="4bf92f"' in line]
    assert any("attempt_duration_seconds_bucket" in at and 'le="0.25"' in at for at in tied)
    assert any("call_duration_seconds_bucket" in at and 'le="0.5"' in at for at in tied)
    assert len(tied) == 2


def test_a_broken_exemplar_costs_no_observation(registry, sight) -> None:
    """A hook that raises is reported over the wire, and the observation is made."""

    def hook() -> dict[str, str]:
        raise RuntimeError("no span")

    broken = []
    metrics = make_metrics("default", sight, registry, exemplar=hook)
    dispatcher = EventDispatcher([metrics], lambda _hear, error: broken.append(error))
    dispatcher.post("attempt_ended", attempt())
    dispatcher.deliver()
    assert [str(error) for error in broken] == ["no span"]
    assert total(registry, "attempt_duration_seconds_count") == 1
    assert total(registry, "attempts_total") == 1


def test_only_what_is_needed_is_heard(metrics) -> None:
    """The start of an attempt and a hold cost nothing: a scrape reads them off the router."""
    assert {"attempt_started", "hold_changed"}.isdisjoint(heard_by(metrics))


def test_buckets_reach_from_5_ms_to_the_longest_call() -> None:
    """Buckets suit AI calls, and the default limits of attempt and call are bounds of theirs."""
    assert (BUCKETS[0], BUCKETS[-1]) == (0.005, 120)
    assert {30, 120} <= set(BUCKETS)
    assert list(BUCKETS) == sorted(set(BUCKETS))
