"""The outage benchmark: schedule, random numbers, policies, figures, report."""

from __future__ import annotations

from array import array
from itertools import pairwise
from statistics import median

import pytest

from benchmarks.outages.availability import absences, false_openings, unavailable_periods
from benchmarks.outages.baselines import Chain, Oracle, WeightedBreaker
from benchmarks.outages.contestants import ORACLE, OURS, contestants
from benchmarks.outages.experiments import run_experiments
from benchmarks.outages.measures import figures, percentile
from benchmarks.outages.policy import Attempt, StateChange
from benchmarks.outages.provider import REGULAR
from benchmarks.outages.randomness import Randomness
from benchmarks.outages.router_policy import RouterPolicy
from benchmarks.outages.schedule import KINDS, MIN_GAP, Scenario, busy, dense, month
from benchmarks.outages.simulation import NO_PROVIDER, Run, run
from benchmarks.outages.summary import summarize
from benchmarks.outages.tail import tail
from benchmarks.outages.world import SPECS, Incident, World
from multirouter.testing import Fault, Outage

SHORT = Scenario("short", 7200.0, 0.2, len(KINDS), 60.0, 600.0)


def world_with(*incidents: Incident, seconds: float = 1000.0, rate: float = 2.0) -> World:
    return World(1, seconds, rate, incidents)


def outage(provider: int, start: float, end: float, kind: str = "errors") -> Incident:
    fault = Fault("hang") if kind == "hang" else Fault("error", after=0.1)
    return Incident(kind, provider, Outage(start, end, fault))


def a_run(*changes: StateChange, background: tuple[Attempt, ...] = ()) -> Run:
    made = Run(array("d"), array("d"), bytearray())
    made.changes, made.background = list(changes), list(background)
    return made


# -- the schedule ---------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", [month(), dense(), busy(2.0)], ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(5))
def test_at_least_one_provider_is_healthy_at_any_time(scenario: Scenario, seed: int) -> None:
    """However the outages fall, at every instant at least one provider has none."""
    incidents = scenario.world(seed).incidents
    for instant in (incident.outage.start for incident in incidents):
        unhealthy = {i.provider for i in incidents if i.outage.start <= instant < i.outage.end}
        assert len(unhealthy) < len(SPECS)


def test_dense_outages_are_those_of_a_month_in_a_third_of_the_time() -> None:
    """As many outages of the same lengths, so three times as many a day."""
    short, long = dense(), month()
    assert (short.outages, short.rate, short.longest) == (long.outages, long.rate, long.longest)
    assert short.seconds * 3 == long.seconds
    hours = [
        sum(i.outage.end - i.outage.start for i in scenario.world(1).incidents)
        for scenario in (short, long)
    ]
    assert hours[0] > 0.8 * hours[1]


@pytest.mark.parametrize("seed", range(5))
def test_every_kind_of_outage_happens(seed: int) -> None:
    """In a month each kind happens many times, and about as often as the others."""
    counts = dict.fromkeys(KINDS, 0)
    for incident in month().world(seed).incidents:
        counts[incident.kind] += 1
    counts["two at once"] //= 2
    assert min(counts.values()) > 10
    assert max(counts.values()) - min(counts.values()) < 8


def test_outages_of_one_provider_have_a_gap() -> None:
    """Two outages of one provider are far enough apart for its recovery to be seen."""
    for timeline in month().world(3).timelines():
        for before, after in pairwise(timeline.incidents):
            assert after.outage.start - before.outage.end >= MIN_GAP


def test_two_at_once_begin_together() -> None:
    """A pair affects two different providers over the same period."""
    pairs = [i for i in month().world(2).incidents if i.kind == "two at once"]
    for one, other in zip(pairs[::2], pairs[1::2], strict=True):
        assert one.provider != other.provider
        assert (one.outage.start, one.outage.end) == (other.outage.start, other.outage.end)


def test_the_same_seed_gives_the_same_world() -> None:
    """Schedule and arrivals depend on the seed alone, and differ between seeds."""
    assert month().world(7) == month().world(7)
    assert month().world(7).incidents != month().world(8).incidents
    world = busy(0.01).world(7)
    assert list(world.arrivals()) == list(world.arrivals())


def test_arrivals_have_the_configured_rate() -> None:
    """A Poisson process: 10,000 calls a day, within four standard deviations."""
    calls = sum(1 for _ in month(3.0).world(1).arrivals())
    assert abs(calls - 30_000) < 4 * 30_000**0.5


# -- random numbers -------------------------------------------------------------------------


def test_random_numbers_depend_on_the_attempt_only() -> None:
    """The order of attempts changes nothing: they depend on call, provider and attempt number."""
    attempts = [
        (call, provider, nth) for call in range(5) for provider in range(4) for nth in (0, 1)
    ]
    one, other = Randomness(1), Randomness(1)
    forwards = {key: one.attempt(*key) for key in attempts}
    backwards = {key: other.attempt(*key) for key in reversed(attempts)}
    assert forwards == backwards
    assert len(set(forwards.values())) == len(attempts)


def test_random_numbers_have_their_distributions() -> None:
    """20,000 samples: quartiles of the normal within 0.03, means of the uniforms within 0.01."""
    draws = [Randomness(2).attempt(call, call % 4, 0) for call in range(20_000)]
    normals = sorted(draw[0] for draw in draws)
    assert abs(median(normals)) < 0.03
    assert abs(normals[15_000] - 0.6745) < 0.03
    for position in (1, 2):
        values = [draw[position] for draw in draws]
        assert 0.0 <= min(values) < max(values) < 1.0
        assert abs(sum(values) / len(values) - 0.5) < 0.01


def test_length_share_couples_the_attempts_of_one_call() -> None:
    """With all the variance in the request, every provider's sample for it is the same."""
    randomness = Randomness(3, length_share=1.0)
    assert randomness.attempt(9, 0, 0)[0] == randomness.attempt(9, 3, 2)[0]
    assert randomness.attempt(9, 0, 0)[0] != randomness.attempt(10, 0, 0)[0]


# -- the policies ---------------------------------------------------------------------------


def test_the_oracle_attempts_no_unhealthy_provider() -> None:
    """It never meets an outage, except for the mild start of a slow decline."""
    found = run(SHORT.world(1), Oracle)
    assert not found.errors
    assert set(found.faults) <= {REGULAR, "decline"}
    assert found.faults[REGULAR] > 0


def test_the_router_answers_every_call() -> None:
    """While one provider is healthy, every call through the router is answered."""
    found = run(SHORT.world(1), RouterPolicy())
    assert not found.errors
    assert NO_PROVIDER not in found.served
    assert len(found.elapsed) == len(found.started) > 1200
    assert min(found.elapsed) > 0.0


def test_a_run_is_repeatable() -> None:
    """The same world and policy give the same run, to the last attempt."""
    one, other = run(SHORT.world(5), RouterPolicy()), run(SHORT.world(5), RouterPolicy())
    assert one.elapsed == other.elapsed
    assert one.changes == other.changes
    assert one.attempts == other.attempts


def test_policies_meet_the_same_latencies() -> None:
    """Without outages, calls that two policies send to the same provider take as long."""
    world = world_with()
    oracle, ours = run(world, Oracle), run(world, RouterPolicy())
    assert oracle.started == ours.started
    same = [
        (a, b)
        for number, (a, b) in enumerate(zip(oracle.elapsed, ours.elapsed, strict=True))
        if oracle.served[number] == ours.served[number]
        and number not in oracle.trails
        and number not in ours.trails
    ]
    assert len(same) > 300
    assert all(abs(a - b) < 1e-6 for a, b in same)


def test_the_hand_written_breaker_opens_for_a_minute() -> None:
    """Three consecutive failures open it; sixty seconds later it admits calls."""
    found = run(world_with(outage(0, 100.0, 400.0)), WeightedBreaker)
    opened = next(change for change in found.changes if change.state == "open")
    half = next(change for change in found.changes if change.state == "half_open")
    assert opened.provider == half.provider == 0
    assert opened.at >= 100.0
    assert 60.0 <= half.at - opened.at < 70.0


def test_the_chain_waits_for_a_hanging_first_provider() -> None:
    """Three attempts of 30 s and two backoffs before the second provider: 93 s."""
    found = run(world_with(outage(0, 0.0, 900.0, "hang"), rate=0.05), Chain)
    assert min(found.elapsed[:10]) > 93.0
    assert found.served[0] == 1


def test_invalid_answers_fail_over() -> None:
    """An invalid answer is rejected and another provider is attempted."""
    rubbish = Incident("lies", 0, Outage(0.0, 1000.0, Fault("rubbish", value="rubbish")))
    found = run(world_with(rubbish), RouterPolicy())
    assert found.faults["lies"] > 0
    assert 0 not in found.served


def test_retry_after_is_at_most_the_rest_of_the_outage() -> None:
    """Near its end, an outage of 429s sends what is left of it, so no cooldown outlasts it."""
    fault = Fault("rate_limit", after=0.1, headers={"Retry-After": "20"})
    found = run(
        world_with(Incident("429 retry-after", 0, Outage(100.0, 130.0, fault))), RouterPolicy()
    )
    cooldowns = [change for change in found.changes if change.state == "cooling down"]
    assert cooldowns
    assert all(change.at + change.seconds <= 130.01 for change in cooldowns)


# -- the figures ----------------------------------------------------------------------------


def test_percentiles_are_measured_values() -> None:
    """Nearest rank: p99.9 of 1,000 values is the 999th, the maximum is the last."""
    values = [float(n) for n in range(1, 1001)]
    assert percentile(values, 0.999) == 999.0
    assert percentile(values, 0.5) == 500.0
    assert percentile(values, 1.0) == 1000.0


def test_absences_end_when_the_provider_is_available_again() -> None:
    """They last from the recovery to the closing, failed trials in between included."""
    world = world_with(outage(1, 100.0, 200.0), outage(2, 300.0, 400.0))
    changes = (
        StateChange(110.0, 1, "open", "closed", "failures"),
        StateChange(190.0, 1, "half_open", "open", "timer"),
        StateChange(195.0, 1, "open", "half_open", "trial_failed"),
        StateChange(215.0, 1, "half_open", "open", "timer"),
        StateChange(217.0, 1, "closed", "half_open", "recovered"),
        StateChange(310.0, 2, "cooling down", "", "429", 120.0),
    )
    away = absences(world, changes)
    assert [(a.incident.provider, a.after_recovery) for a in away] == [(1, 17.0), (2, 30.0)]
    assert [s.state for s in unavailable_periods(changes, 1, 1000.0)] == [
        "open",
        "half_open",
        "open",
        "half_open",
    ]


def test_an_opening_without_an_outage_is_false() -> None:
    """Openings in an outage or shortly after it are right; others, and trials begun later, not."""
    world = world_with(outage(0, 100.0, 200.0))
    right = StateChange(110.0, 0, "open", "closed", "failures")
    aftermath = StateChange(220.0, 0, "open", "closed", "failures")
    wrong = StateChange(500.0, 0, "open", "closed", "failures")
    begun_unhealthy = StateChange(205.0, 0, "open", "half_open", "trial_failed")
    begun_healthy = StateChange(260.0, 0, "open", "half_open", "trial_failed")
    trials = (
        Attempt(0, "trial", "timeout", 195.0, 10.0),
        Attempt(0, "trial", "server", 258.0, 2.0),
    )
    found = a_run(right, aftermath, wrong, begun_unhealthy, begun_healthy, background=trials)
    mistakes = false_openings(world, found)
    assert [(m.change, m.trial) for m in mistakes] == [
        (wrong, None),
        (begun_healthy, trials[1]),
    ]


def test_figures_add_up() -> None:
    """Attempts, errors and shares of a run agree with what was recorded."""
    world = SHORT.world(2)
    found = run(world, RouterPolicy())
    result = figures(world, found)
    calls = result["calls"]
    by_trails = sum(len(trail) for trail in found.trails.values()) + calls - len(found.trails)
    assert round(result["attempts_per_call"] * calls) == by_trails + result["background"]
    assert result["p50"] < result["p99"] <= result["max"]
    assert abs(sum(result["shares"].values()) - 1.0) < 1e-9


def test_the_tail_names_the_outage() -> None:
    """A call that hung is attributed to the hanging provider's outage, with its trail."""
    world = world_with(outage(0, 0.0, 900.0, "hang"), rate=0.05)
    result = tail(world, run(world, Chain), 60.0)
    (row,) = result["slow_calls"]
    assert row["kind"] == "hang"
    assert "swift TimeoutError in 30.00 [hang]" in row["examples"][0]


def test_several_seeds_give_medians_and_ranges() -> None:
    """Each figure has its median between minimum and maximum; aims are compared."""
    found = run_experiments(
        [SHORT], contestants([OURS], []), [1, 2, 3], length_share=0.0, workers=1
    )
    result = summarize(found)
    assert result["seeds"] == [1, 2, 3]
    p99 = result["policies"][OURS]["over_seeds"]["p99"]
    assert p99["min"] <= p99["median"] <= p99["max"]
    assert {aim["policy"] for aim in result["aims"]} == {OURS}
    assert result["policies"][ORACLE]["over_seeds"]["p99_of_oracle"]["max"] == 1.0
