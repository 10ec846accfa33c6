"""Readings of each alarm rule for hand-made events and times."""

from __future__ import annotations

import pytest

from multirouter import (
    AlarmReading,
    AlarmRule,
    Alarms,
    AllOpen,
    CircuitOpen,
    ConfigurationError,
    CostPerHour,
    CostUnusual,
    FailoverShare,
    FailureKind,
    FallbackShare,
    ProviderFailing,
)
from multirouter.core.events import Configured
from tests.listeners.helpers import FakeView, attempt, call

RULES = (
    ProviderFailing(),
    FailoverShare(),
    FallbackShare(),
    CircuitOpen(),
    AllOpen(),
    CostPerHour(1.0),
    CostUnusual(),
)


def reading_of(rule: AlarmRule, now: float = 11.0, view: FakeView | None = None) -> AlarmReading:
    """The only reading of a rule."""
    (reading,) = rule.evaluate(now, view or FakeView("openai"))
    return reading


def end_attempts(rule: ProviderFailing, answers: int, failures: int, at: float = 10.0) -> None:
    """Delivers successful and failed attempts that ended at `at`."""
    for kind, times in ((FailureKind.SUCCESS, answers), (FailureKind.SERVER, failures)):
        for _ in range(times):
            rule.attempt_ended(attempt(kind=kind, started=at, seconds=0.0))


# ── shares ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answers", "failures", "state"),
    [
        (94, 6, "firing"),
        (95, 5, "unchanged"),
        (97, 3, "unchanged"),
        (98, 2, "cleared"),
        (0, 19, "unchanged"),
    ],
)
def test_provider_failing_fires_above_its_threshold(answers, failures, state) -> None:
    """It fires above 5 %, clears at half of that, and never fires on fewer than 20 attempts."""
    rule = ProviderFailing("openai")
    end_attempts(rule, answers, failures)
    assert reading_of(rule).state == state


def test_provider_failing_needs_fewer_attempts_while_the_circuit_is_open() -> None:
    """A provider with an open circuit gets few attempts, so few are enough to fire."""
    rule, view = ProviderFailing(), FakeView("openai")
    end_attempts(rule, 0, 3)
    assert reading_of(rule, 11.0, view).state == "unchanged"
    view.states["openai"] = "open"
    assert reading_of(rule, 11.0, view).state == "firing"


def test_failures_not_caused_by_the_provider_are_not_counted() -> None:
    """Invalid requests, cancellations, shadow copies and other providers do not count."""
    rule = ProviderFailing("openai", min_count=1)
    for kind in (
        FailureKind.CANCELLED,
        FailureKind.REQUEST,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.CONTENT_FILTER,
    ):
        rule.attempt_ended(attempt(kind=kind))
    rule.attempt_ended(attempt(kind=FailureKind.SERVER, role="shadow"))
    rule.attempt_ended(attempt("local", kind=FailureKind.SERVER))
    assert list(rule.evaluate(11.0, FakeView("openai", "local"))) == []


def test_a_stall_of_the_event_loop_is_no_failure() -> None:
    """What the stall may have caused does not count; an error that the provider answered does."""
    rule = ProviderFailing(min_count=1)
    for kind in (FailureKind.TIMEOUT, FailureKind.TRANSPORT, FailureKind.SERVER):
        record = attempt(kind=kind, started=10.0, seconds=0.0)
        record.stalled = True
        rule.attempt_ended(record)
    assert "1 of 1" in reading_of(rule).text


def test_a_process_without_resources_is_no_failure() -> None:
    """Nothing is wrong with a provider that this process could not reach."""
    rule = ProviderFailing(min_count=1)
    record = attempt(kind=FailureKind.TRANSPORT)
    record.verdict.local = True
    rule.attempt_ended(record)
    assert list(rule.evaluate(11.0, FakeView("openai"))) == []


def test_hedges_and_rate_limits_count() -> None:
    """A 429 counts as a failure, and a hedge counts as an attempt."""
    rule = ProviderFailing(min_count=1)
    rule.attempt_ended(attempt(kind=FailureKind.RATE_LIMIT, role="hedge"))
    reading = reading_of(rule)
    assert (reading.subject, reading.state, reading.value) == ("openai", "firing", 1.0)
    assert reading.text.startswith(
        "provider openai: 100.0% of the attempts failed (1 of 1 in 300 s"
    )


def test_attempts_outside_the_window_are_forgotten() -> None:
    """After `within` seconds attempts do not count; without attempts the alarm is unchanged."""
    rule = ProviderFailing(within=60.0)
    end_attempts(rule, 0, 30)
    assert reading_of(rule, 10.0).state == "firing"
    assert reading_of(rule, 70.0).state == "unchanged"
    end_attempts(rule, 1, 0, at=71.0)
    assert reading_of(rule, 71.0).state == "cleared"


def test_a_removed_provider_has_no_reading() -> None:
    """A provider that was removed is no longer watched."""
    rule = ProviderFailing()
    end_attempts(rule, 0, 30)
    rule.configured(Configured("default", removed=("openai", "unknown")))
    assert list(rule.evaluate(11.0, FakeView())) == []


def test_failovers_are_counted_by_route() -> None:
    """Calls that failed over, or began elsewhere; rejected and cancelled calls do not count."""
    rule = FailoverShare(over=0.2, min_count=5)
    failed_over = (attempt("openai", FailureKind.SERVER), attempt("local"))
    diverted = [call("success", *failed_over), call("success", attempt("local"))]
    for outcome in [call("success", attempt())] * 6 + diverted:
        rule.call_ended(outcome)
    for _ in range(9):
        rule.call_ended(call("cancelled", *failed_over))
        rule.call_ended(call("rejected"))
    reading = reading_of(rule)
    assert (reading.subject, reading.state, reading.value) == ("default", "firing", 0.25)
    assert "route default: 25.0% of the calls did not go to the first choice" in reading.text


def test_a_retry_at_the_same_provider_is_not_a_failover() -> None:
    """Two attempts at one provider are a retry."""
    rule = FailoverShare(min_count=1)
    rule.call_ended(call("success", attempt("openai", FailureKind.SERVER), attempt("openai")))
    assert reading_of(rule).value == 0.0


def test_fallback_answers_are_counted_by_route() -> None:
    """Share of a route's calls that `fallback=` answered."""
    rule = FallbackShare(over=0.1, min_count=5)
    for result in ["success"] * 8 + ["fallback"] * 2 + ["cancelled"] * 5:
        rule.call_ended(call(result, attempt()))
    reading = reading_of(rule)
    assert (reading.state, reading.value) == ("firing", 0.2)
    assert "of the calls got the fallback answer" in reading.text


# ── circuits ──────────────────────────────────────────────────────────────────────────────────────


def test_circuit_open_fires_after_its_duration_and_clears_when_closed() -> None:
    """Half-open counts as open; only closed clears, and the next opening is timed anew."""
    rule, view = CircuitOpen("openai", longer_than=60.0), FakeView("openai", "local")
    view.states["openai"] = view.states["local"] = "open"
    readings = []
    for at, state in [(0, "open"), (60, "half_open"), (61, "open"), (90, "closed"), (91, "open")]:
        view.states["openai"] = state
        readings.append((reading_of(rule, at, view).state, reading_of(rule, at, view).value))
    assert readings == [
        ("unchanged", 0),
        ("unchanged", 60),
        ("firing", 61),
        ("cleared", 0),
        ("unchanged", 0),
    ]


def test_circuit_open_watches_all_providers_by_default() -> None:
    """Without provider names there is a reading for each provider."""
    readings = CircuitOpen().evaluate(0.0, FakeView("openai", "local"))
    assert [reading.subject for reading in readings] == ["openai", "local"]


def test_circuit_open_watches_models() -> None:
    """The circuit of a single model is a subject of its own, until it closes or its provider goes.

    Names of providers and models that begin alike are kept apart.
    """
    rule, view = CircuitOpen("openai", "a"), FakeView("openai", "a", "local")
    view.model_states = {"openai": {"gpt": "open"}, "a": {"b": "half_open"}, "local": {"m": "open"}}
    found = {reading.subject: reading for reading in rule.evaluate(0.0, view)}
    assert list(found) == ["openai", "a", "openai/gpt", "a/b"]
    view.model_states["a"].clear()
    found = {reading.subject: reading for reading in rule.evaluate(61.0, view)}
    assert found["openai/gpt"].state == "firing"
    assert found["openai/gpt"].text == "provider openai: circuit of model gpt open for 61 s"
    assert found["a/b"][1:] == ("cleared", 0.0, "provider a: circuit of model b closed")
    assert found["openai"].state == found["a"].state == "cleared"
    del view.in_flight_counts["openai"]
    assert [reading.subject for reading in rule.evaluate(62.0, view)] == ["a"]


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["open", "open"], "firing"),
        (["open", "half_open"], "unchanged"),
        (["half_open", "closed"], "cleared"),
        (["closed", "closed"], "cleared"),
        ([], "cleared"),
    ],
)
def test_all_open_clears_only_when_a_circuit_has_closed(states, state) -> None:
    """A half-open circuit does not clear the alarm, or each failed trial would fire it again."""
    view = FakeView(*map(str, range(len(states))))
    view.states = dict(zip(view.in_flight_counts, states, strict=True))
    assert reading_of(AllOpen(), 0.0, view).state == state


# ── cost ──────────────────────────────────────────────────────────────────────────────────────────


class Calls:
    """A cost rule, and calls with a given cost at given times."""

    def __init__(self, kind, *args, **settings) -> None:
        self.costs: list[float | None] = []
        self.rule = kind(*args, cost=lambda _: self.costs[-1], **settings)

    def at(self, now: float, cost: float | None) -> None:
        self.costs.append(cost)
        self.rule.call_ended(call("success", seconds=now - 10.0))


def test_cost_per_hour_fires_above_its_limit() -> None:
    """It sums the cost of calls by minute for an hour, and clears at 80 %."""
    calls = Calls(CostPerHour, 10.0)
    for minute in range(11):
        calls.at(60.0 * minute, 1.0)
    assert reading_of(calls.rule, 660.0).state == "firing"
    assert reading_of(calls.rule, 660.0).value == pytest.approx(11.0)
    assert reading_of(calls.rule, 3600.0 + 60.0).state == "unchanged"
    assert reading_of(calls.rule, 3600.0 + 120.0).state == "cleared"
    assert reading_of(calls.rule, 9 * 3600.0).value == 0.0


def test_an_unknown_cost_is_not_counted() -> None:
    """Calls with an unknown or zero cost are not counted."""
    calls = Calls(CostPerHour, 10.0)
    calls.at(0.0, None)
    calls.at(0.0, 0.0)
    assert reading_of(calls.rule, 1.0).value == 0.0


def test_cost_unusual_fires_above_a_multiple_of_the_median() -> None:
    """It fires above three times the median of the past hours, and never below `min_cost`."""
    calls = Calls(CostUnusual, factor=3.0, min_cost=1.0, min_hours=6)
    for hour in range(6):
        calls.at(3600.0 * hour, 2.0 if hour else 50.0)  # one expensive hour: no new median
        assert reading_of(calls.rule, 3600.0 * hour).state == "unchanged"
    assert reading_of(calls.rule, 6 * 3600.0 + 60).state == "cleared"
    calls.at(6 * 3600.0 + 61, 6.5)
    reading = reading_of(calls.rule, 6 * 3600.0 + 62)
    assert (reading.state, reading.value) == ("firing", pytest.approx(6.5))
    assert reading.text == (
        "the last hour cost 6.50 USD, the usual cost is 2.00 USD (alarm above 6.00 USD)"
    )


def test_cost_unusual_never_fires_below_its_minimum_cost() -> None:
    """A hundred times the usual cent is a dollar, which is not above `min_cost`."""
    calls = Calls(CostUnusual, min_hours=1)
    calls.at(0.0, 0.01)
    calls.at(3700.0, 1.0)
    assert reading_of(calls.rule, 3701.0).state == "unchanged"


# ── all rules ─────────────────────────────────────────────────────────────────────────────────────


def test_rules_move_to_another_clock() -> None:
    """After `shift` a rule gives the same readings at the same instant of the other clock."""
    by = 1e6
    failing, circuit, calls = ProviderFailing(), CircuitOpen(), Calls(CostPerHour, 1.0)
    view = FakeView("openai")
    view.states["openai"] = "open"
    end_attempts(failing, 0, 30)
    reading_of(circuit, 0.0, view)
    calls.at(0.0, 2.0)
    for rule in (failing, circuit, calls.rule, AllOpen(), CostPerHour(1.0)):
        before = list(rule.evaluate(100.0, view))
        rule.shift(by)
        assert list(rule.evaluate(100.0 + by, view)) == before


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_is_an_alarm_rule(rule) -> None:
    """The built-in rules implement the protocol of user rules, each under its own name."""
    assert isinstance(rule, AlarmRule)
    assert len({other.name for other in RULES}) == len(RULES)


@pytest.mark.parametrize(
    "create",
    [
        lambda: ProviderFailing(over=1.5),
        lambda: ProviderFailing(over=0.1, clear=0.2),
        lambda: ProviderFailing("a", min_count=0),
        lambda: ProviderFailing(""),
        lambda: FailoverShare(within=0),
        lambda: CircuitOpen(longer_than=-1),
        lambda: AllOpen(name=""),
        lambda: CostPerHour(0),
        lambda: CostPerHour(1, cost="free"),
        lambda: CostUnusual(factor=1),
        lambda: CostUnusual(min_hours=5, max_hours=4),
        lambda: Alarms([AllOpen(), AllOpen()]),
        lambda: Alarms(["all open"]),
        lambda: Alarms([], to=["https://example.com"]),
        lambda: Alarms([], interval=0),
    ],
)
def test_invalid_settings_raise(create) -> None:
    """An invalid setting raises ConfigurationError when the rule is created."""
    with pytest.raises(ConfigurationError):
        create()
