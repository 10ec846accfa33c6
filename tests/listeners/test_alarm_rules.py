"""What each rule says of the numbers it hears, by made-up news and instants."""

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
from tests.listeners.doubles import Sight, attempt, call

RULES = (
    ProviderFailing(),
    FailoverShare(),
    FallbackShare(),
    CircuitOpen(),
    AllOpen(),
    CostPerHour(1.0),
    CostUnusual(),
)


def only(rule: AlarmRule, now: float = 11.0, sight: Sight | None = None) -> AlarmReading:
    """The one reading of a rule."""
    (reading,) = rule.judge(now, sight or Sight("openai"))
    return reading


def ended(rule: ProviderFailing, answers: int, failures: int, at: float = 10.0) -> None:
    """Tells a rule of so many attempts that ended at `at`."""
    for kind, times in ((FailureKind.SUCCESS, answers), (FailureKind.SERVER, failures)):
        for _ in range(times):
            rule.attempt_ended(attempt(kind=kind, started=at, seconds=0.0))


# ── shares ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answers", "failures", "standing"),
    [(94, 6, "over"), (95, 5, "between"), (97, 3, "between"), (98, 2, "under"), (0, 19, "between")],
)
def test_a_failing_provider_is_over_above_its_mark(answers, failures, standing) -> None:
    """It fires above 5 %, clears at half of that, and never fires on fewer than 20 attempts."""
    rule = ProviderFailing("openai")
    ended(rule, answers, failures)
    assert only(rule).standing == standing


def test_an_open_circuit_is_proof_enough() -> None:
    """Who is out is hardly asked: then few attempts are enough to fire."""
    rule, sight = ProviderFailing(), Sight("openai")
    ended(rule, 0, 3)
    assert only(rule, 11.0, sight).standing == "between"
    sight.states["openai"] = "open"
    assert only(rule, 11.0, sight).standing == "over"


def test_what_is_not_the_providers_fault_is_not_counted() -> None:
    """Faulty requests, callers who left, shadows and other providers are no failures of it."""
    rule = ProviderFailing("openai", least=1)
    for kind in (
        FailureKind.CANCELLED,
        FailureKind.REQUEST,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.CONTENT_FILTER,
    ):
        rule.attempt_ended(attempt(kind=kind))
    rule.attempt_ended(attempt(kind=FailureKind.SERVER, role="shadow"))
    rule.attempt_ended(attempt("local", kind=FailureKind.SERVER))
    assert list(rule.judge(11.0, Sight("openai", "local"))) == []


def test_hedges_and_rate_limits_count() -> None:
    """A 429 is a failure in the eyes of who watches the primary, and a hedge is an attempt."""
    rule = ProviderFailing(least=1)
    rule.attempt_ended(attempt(kind=FailureKind.RATE_LIMIT, role="hedge"))
    reading = only(rule)
    assert (reading.subject, reading.standing, reading.value) == ("openai", "over", 1.0)
    assert reading.text.startswith("provider openai: 100.0% of the attempts fail (1 of 1 in 300 s")


def test_the_span_is_looked_back_and_no_further() -> None:
    """After `within` seconds all is forgotten, and silence leaves the alarm as it is."""
    rule = ProviderFailing(within=60.0)
    ended(rule, 0, 30)
    assert only(rule, 10.0).standing == "over"
    assert only(rule, 70.0).standing == "between"
    ended(rule, 1, 0, at=71.0)
    assert only(rule, 71.0).standing == "under"


def test_who_left_is_not_watched() -> None:
    """A removed provider has no reading any more."""
    rule = ProviderFailing()
    ended(rule, 0, 30)
    rule.configured(Configured("default", removed=("openai", "unheard of")))
    assert list(rule.judge(11.0, Sight())) == []


def test_failovers_are_counted_by_route() -> None:
    """The share of a route's calls that moved on; refused and cancelled ones are none of them."""
    rule = FailoverShare(over=0.2, least=5)
    moved = (attempt("openai", FailureKind.SERVER), attempt("local"))
    for outcome in [call("success", attempt())] * 6 + [call("success", *moved)] * 2:
        rule.call_ended(outcome)
    for _ in range(9):
        rule.call_ended(call("cancelled", *moved))
        rule.call_ended(call("refused"))
    reading = only(rule)
    assert (reading.subject, reading.standing, reading.value) == ("default", "over", 0.25)
    assert reading.text.startswith("route default: 25.0% of the calls failed over")


def test_repeats_at_one_provider_are_no_failover() -> None:
    """A call that asked the same provider twice did not move on."""
    rule = FailoverShare(least=1)
    rule.call_ended(call("success", attempt("openai", FailureKind.SERVER), attempt("openai")))
    assert only(rule).value == 0.0


def test_substitutes_are_counted_by_route() -> None:
    """The share of a route's calls that `fallback=` answered."""
    rule = FallbackShare(over=0.1, least=5)
    for result in ["success"] * 8 + ["fallback"] * 2 + ["cancelled"] * 5:
        rule.call_ended(call(result, attempt()))
    reading = only(rule)
    assert (reading.standing, reading.value) == ("over", 0.2)
    assert "of the answers are substitutes" in reading.text


# ── circuits ────────────────────────────────────────────────────────────────────────────────────


def test_an_open_circuit_is_over_after_its_span_and_under_when_closed() -> None:
    """Half-open counts as out; only closed clears, and the next time begins anew."""
    rule, sight = CircuitOpen("openai", longer_than=60.0), Sight("openai", "local")
    sight.states["openai"] = sight.states["local"] = "open"
    said = []
    for at, state in [(0, "open"), (60, "half_open"), (61, "open"), (90, "closed"), (91, "open")]:
        sight.states["openai"] = state
        said.append((only(rule, at, sight).standing, only(rule, at, sight).value))
    assert said == [("between", 0), ("between", 60), ("over", 61), ("under", 0), ("between", 0)]


def test_everybodys_circuit_is_watched_unless_some_are_named() -> None:
    """Without names there is a reading for each provider."""
    readings = CircuitOpen().judge(0.0, Sight("openai", "local"))
    assert [reading.subject for reading in readings] == ["openai", "local"]


@pytest.mark.parametrize(
    ("states", "standing"),
    [
        (["open", "open"], "over"),
        (["open", "half_open"], "between"),
        (["half_open", "closed"], "under"),
        (["closed", "closed"], "under"),
        ([], "under"),
    ],
)
def test_all_open_clears_only_when_somebody_has_closed(states, standing) -> None:
    """A trial does not clear the alarm: else each failed trial would fire it again."""
    sight = Sight(*map(str, range(len(states))))
    sight.states = dict(zip(sight.running, states, strict=True))
    assert only(AllOpen(), 0.0, sight).standing == standing


# ── money ───────────────────────────────────────────────────────────────────────────────────────


class Spent:
    """A rule, and calls that cost something, at instants."""

    def __init__(self, kind, *args, **settings) -> None:
        self.costs: list[float | None] = []
        self.rule = kind(*args, cost=lambda _: self.costs[-1], **settings)

    def at(self, now: float, cost: float | None) -> None:
        self.costs.append(cost)
        self.rule.call_ended(call("success", seconds=now - 10.0))


def test_the_last_hours_cost_fires_above_its_sum() -> None:
    """It sums up what calls cost, forgets each minute after an hour, and clears at 80 %."""
    spent = Spent(CostPerHour, 10.0)
    for minute in range(11):
        spent.at(60.0 * minute, 1.0)
    assert only(spent.rule, 660.0).standing == "over"
    assert only(spent.rule, 660.0).value == pytest.approx(11.0)
    assert only(spent.rule, 3600.0 + 60.0).standing == "between"
    assert only(spent.rule, 3600.0 + 120.0).standing == "under"
    assert only(spent.rule, 9 * 3600.0).value == 0.0


def test_what_is_unknown_costs_nothing() -> None:
    """Calls without a known cost, or that were free, are not booked."""
    spent = Spent(CostPerHour, 10.0)
    spent.at(0.0, None)
    spent.at(0.0, 0.0)
    assert only(spent.rule, 1.0).value == 0.0


def test_an_hour_far_above_its_usual_fires() -> None:
    """Above three times the median of the past hours; below a dollar nothing is worth it."""
    spent = Spent(CostUnusual, factor=3.0, at_least=1.0, known=6)
    for hour in range(6):
        spent.at(3600.0 * hour, 2.0 if hour else 50.0)  # one wild hour is no measure
        assert only(spent.rule, 3600.0 * hour).standing == "between"
    assert only(spent.rule, 6 * 3600.0 + 60).standing == "under"
    spent.at(6 * 3600.0 + 61, 6.5)
    reading = only(spent.rule, 6 * 3600.0 + 62)
    assert (reading.standing, reading.value) == ("over", pytest.approx(6.5))
    assert reading.text == "the last hour cost 6.50 USD, usual are 2.00 (alarm above 6.00)"


def test_small_sums_are_never_unusual() -> None:
    """A hundred times a cent is a dollar, and that is the least worth an alarm."""
    spent = Spent(CostUnusual, known=1)
    spent.at(0.0, 0.01)
    spent.at(3700.0, 1.0)
    assert only(spent.rule, 3701.0).standing == "between"


# ── all of them ─────────────────────────────────────────────────────────────────────────────────


def test_rules_move_to_another_clock() -> None:
    """After `shift` each says the same of the same instant, told by the other clock."""
    by = 1e6
    failing, out, spent = ProviderFailing(), CircuitOpen(), Spent(CostPerHour, 1.0)
    sight = Sight("openai")
    sight.states["openai"] = "open"
    ended(failing, 0, 30)
    only(out, 0.0, sight)
    spent.at(0.0, 2.0)
    for rule in (failing, out, spent.rule, AllOpen(), CostPerHour(1.0)):
        before = list(rule.judge(100.0, sight))
        rule.shift(by)
        assert list(rule.judge(100.0 + by, sight)) == before


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_is_an_alarm_rule(rule) -> None:
    """The built-in rules keep the protocol that users implement, under a name of their own."""
    assert isinstance(rule, AlarmRule)
    assert len({other.name for other in RULES}) == len(RULES)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ProviderFailing(over=1.5),
        lambda: ProviderFailing(over=0.1, clear=0.2),
        lambda: ProviderFailing("a", least=0),
        lambda: ProviderFailing(""),
        lambda: FailoverShare(within=0),
        lambda: CircuitOpen(longer_than=-1),
        lambda: AllOpen(name=""),
        lambda: CostPerHour(0),
        lambda: CostPerHour(1, cost="free"),
        lambda: CostUnusual(factor=1),
        lambda: CostUnusual(known=5, remember=4),
        lambda: Alarms([AllOpen(), AllOpen()]),
        lambda: Alarms(["all open"]),
        lambda: Alarms([], to=["https://example.com"]),
        lambda: Alarms([], every=0),
    ],
)
def test_wrong_settings_are_refused(wrong) -> None:
    """A setting that makes no sense is refused where it is made."""
    with pytest.raises(ConfigurationError):
        wrong()
