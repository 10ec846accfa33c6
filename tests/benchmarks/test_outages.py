"""The outage benchmark: its schedule, its chance, its rivals, its figures, its report."""

from __future__ import annotations

import json
from array import array
from itertools import pairwise
from statistics import median

import pytest

import benchmarks.outages
from benchmarks.outages.availability import absences, false_openings, stretches
from benchmarks.outages.chance import Chance
from benchmarks.outages.contest import trials
from benchmarks.outages.contestants import ORACLE, OURS, contestants, variant
from benchmarks.outages.measures import figures, percentile
from benchmarks.outages.ours import Ours
from benchmarks.outages.policy import Asked, Turn
from benchmarks.outages.provider import REGULAR
from benchmarks.outages.rivals import Chain, Oracle, WeightedBreaker
from benchmarks.outages.schedule import KINDS, QUIET, Scenario, busy, month
from benchmarks.outages.summary import summarized
from benchmarks.outages.tail import tail
from benchmarks.outages.trial import NOBODY, Run, run
from benchmarks.outages.world import SPECS, Incident, World
from multirouter.errors import ConfigurationError, UsageError
from multirouter.testing import Fault, Outage

SHORT = Scenario("short", 7200.0, 0.2, len(KINDS), 60.0, 600.0)


def world_with(*incidents: Incident, seconds: float = 1000.0, rate: float = 2.0) -> World:
    return World(1, seconds, rate, incidents)


def outage(provider: int, start: float, end: float, kind: str = "errors") -> Incident:
    fault = Fault("hang") if kind == "hang" else Fault("error", after=0.1)
    return Incident(kind, provider, Outage(start, end, fault))


def a_run(*turns: Turn, background: tuple[Asked, ...] = ()) -> Run:
    made = Run(array("d"), array("d"), bytearray())
    made.turns, made.background = list(turns), list(background)
    return made


# -- the schedule ---------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", [month(), busy(2.0)], ids=lambda s: s.name)
@pytest.mark.parametrize("seed", range(5))
def test_somebody_is_healthy_at_each_moment(scenario: Scenario, seed: int) -> None:
    """However the outages fall, at every instant one provider at least has none."""
    incidents = scenario.world(seed).incidents
    for instant in (incident.outage.start for incident in incidents):
        ill = {i.provider for i in incidents if i.outage.start <= instant < i.outage.end}
        assert len(ill) < len(SPECS)


@pytest.mark.parametrize("seed", range(5))
def test_every_sort_of_outage_happens(seed: int) -> None:
    """In a month each sort befalls somebody many times, and about as often as the others."""
    counts = dict.fromkeys(KINDS, 0)
    for incident in month().world(seed).incidents:
        counts[incident.kind] += 1
    counts["two at once"] //= 2
    assert min(counts.values()) > 10
    assert max(counts.values()) - min(counts.values()) < 8


def test_a_provider_rests_between_its_outages() -> None:
    """Two outages of one provider are far enough apart for its return to be seen."""
    for course in month().world(3).courses():
        for before, after in pairwise(course.incidents):
            assert after.outage.start - before.outage.end >= QUIET


def test_two_at_once_begin_together() -> None:
    """A pair befalls two different providers over the same span."""
    pairs = [i for i in month().world(2).incidents if i.kind == "two at once"]
    for one, other in zip(pairs[::2], pairs[1::2], strict=True):
        assert one.provider != other.provider
        assert (one.outage.start, one.outage.end) == (other.outage.start, other.outage.end)


def test_the_same_seed_gives_the_same_world() -> None:
    """Schedule and arrivals follow from the seed alone, and differ between seeds."""
    assert month().world(7) == month().world(7)
    assert month().world(7).incidents != month().world(8).incidents
    world = busy(0.01).world(7)
    assert list(world.arrivals()) == list(world.arrivals())


def test_arrivals_come_at_the_rate() -> None:
    """A Poisson process: 10,000 calls a day, within four standard deviations."""
    calls = sum(1 for _ in month(3.0).world(1).arrivals())
    assert abs(calls - 30_000) < 4 * 30_000**0.5


# -- chance ---------------------------------------------------------------------------------


def test_draws_belong_to_the_attempt() -> None:
    """Who asks first changes nothing: a draw depends on call, provider and try alone."""
    asked = [(call, provider, nth) for call in range(5) for provider in range(4) for nth in (0, 1)]
    one, other = Chance(1), Chance(1)
    forwards = {key: one.attempt(*key) for key in asked}
    backwards = {key: other.attempt(*key) for key in reversed(asked)}
    assert forwards == backwards
    assert len(set(forwards.values())) == len(asked)


def test_draws_are_standard_normal_and_even() -> None:
    """20,000 draws: quartiles of the normal within 0.03, means of the uniforms within 0.01."""
    draws = [Chance(2).attempt(call, call % 4, 0) for call in range(20_000)]
    normals = sorted(draw[0] for draw in draws)
    assert abs(median(normals)) < 0.03
    assert abs(normals[15_000] - 0.6745) < 0.03
    for position in (1, 2):
        values = [draw[position] for draw in draws]
        assert 0.0 <= min(values) < max(values) < 1.0
        assert abs(sum(values) / len(values) - 0.5) < 0.01


def test_a_shared_length_makes_attempts_of_one_call_alike() -> None:
    """With all the variance in the request, every provider's draw for it is the same."""
    chance = Chance(3, length_share=1.0)
    assert chance.attempt(9, 0, 0)[0] == chance.attempt(9, 3, 2)[0]
    assert chance.attempt(9, 0, 0)[0] != chance.attempt(10, 0, 0)[0]


# -- the policies ---------------------------------------------------------------------------


def test_the_oracle_asks_nobody_who_is_ill() -> None:
    """Outages never strike it, but for the mild begin of a slow decline."""
    found = run(SHORT.world(1), Oracle)
    assert not found.errors
    assert set(found.struck) <= {REGULAR, "decline"}
    assert found.struck[REGULAR] > 0


def test_no_caller_sees_an_error_of_ours() -> None:
    """While one provider is healthy, every call through the router is answered."""
    found = run(SHORT.world(1), Ours())
    assert not found.errors
    assert NOBODY not in found.served
    assert len(found.elapsed) == len(found.started) > 1200
    assert min(found.elapsed) > 0.0


def test_a_run_is_repeatable() -> None:
    """The same world and policy give the same run, to the last attempt."""
    one, other = run(SHORT.world(5), Ours()), run(SHORT.world(5), Ours())
    assert one.elapsed == other.elapsed
    assert one.turns == other.turns
    assert one.attempts == other.attempts


def test_policies_meet_the_same_latencies() -> None:
    """Without outages, calls that two policies send to the same provider take as long."""
    world = world_with()
    oracle, ours = run(world, Oracle), run(world, Ours())
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


def test_the_breaker_by_hand_opens_for_a_minute() -> None:
    """Three failures in a row open it; sixty seconds later it lets calls through."""
    found = run(world_with(outage(0, 100.0, 400.0)), WeightedBreaker)
    opened = next(turn for turn in found.turns if turn.state == "open")
    half = next(turn for turn in found.turns if turn.state == "half_open")
    assert opened.provider == half.provider == 0
    assert opened.at >= 100.0
    assert 60.0 <= half.at - opened.at < 70.0


def test_the_chain_waits_out_a_hanging_head() -> None:
    """Three attempts of 30 s and two rests before the second provider is asked: 93 s."""
    found = run(world_with(outage(0, 0.0, 900.0, "hang"), rate=0.05), Chain)
    assert min(found.elapsed[:10]) > 93.0
    assert found.served[0] == 1


def test_a_validator_catches_rubbish() -> None:
    """A provider that lies fools nobody: its answer is refused and another one is asked."""
    rubbish = Incident("lies", 0, Outage(0.0, 1000.0, Fault("rubbish", value="rubbish")))
    found = run(world_with(rubbish), Ours())
    assert found.struck["lies"] > 0
    assert 0 not in found.served


def test_a_429_names_no_longer_time_than_it_needs() -> None:
    """Near its end, an outage of 429s asks for what is left of it, so nobody rests in vain."""
    fault = Fault("rate_limit", after=0.1, headers={"Retry-After": "20"})
    found = run(world_with(Incident("429 retry-after", 0, Outage(100.0, 130.0, fault))), Ours())
    rests = [turn for turn in found.turns if turn.state == "cooling down"]
    assert rests
    assert all(turn.at + turn.seconds <= 130.01 for turn in rests)


# -- the figures ----------------------------------------------------------------------------


def test_percentiles_are_values_that_were_seen() -> None:
    """Nearest rank: p99.9 of 1,000 values is the 999th, the maximum is the last."""
    values = [float(n) for n in range(1, 1001)]
    assert percentile(values, 0.999) == 999.0
    assert percentile(values, 0.5) == 500.0
    assert percentile(values, 1.0) == 1000.0


def test_absences_end_when_the_provider_takes_part_again() -> None:
    """The way back counts from the recovery to the closing, trials that fail between included."""
    world = world_with(outage(1, 100.0, 200.0), outage(2, 300.0, 400.0))
    turns = (
        Turn(110.0, 1, "open", "closed", "failures"),
        Turn(190.0, 1, "half_open", "open", "reset"),
        Turn(195.0, 1, "open", "half_open", "trial_failed"),
        Turn(215.0, 1, "half_open", "open", "reset"),
        Turn(217.0, 1, "closed", "half_open", "recovered"),
        Turn(310.0, 2, "cooling down", "", "429", 120.0),
    )
    away = absences(world, turns)
    assert [(a.incident.provider, a.after_recovery) for a in away] == [(1, 17.0), (2, 30.0)]
    assert [s.state for s in stretches(turns, 1, 1000.0)] == [
        "open",
        "half_open",
        "open",
        "half_open",
    ]


def test_an_opening_without_an_outage_is_a_mistake() -> None:
    """Openings in an outage or shortly after it are right; others, and trials begun later, not."""
    world = world_with(outage(0, 100.0, 200.0))
    right = Turn(110.0, 0, "open", "closed", "failures")
    aftermath = Turn(220.0, 0, "open", "closed", "failures")
    wrong = Turn(500.0, 0, "open", "closed", "failures")
    begun_ill = Turn(205.0, 0, "open", "half_open", "trial_failed")
    begun_well = Turn(260.0, 0, "open", "half_open", "trial_failed")
    half_open_max_calls = (
        Asked(0, "trial", "timeout", 195.0, 10.0),
        Asked(0, "trial", "server", 258.0, 2.0),
    )
    found = a_run(right, aftermath, wrong, begun_ill, begun_well, background=half_open_max_calls)
    mistakes = false_openings(world, found)
    assert [(m.turn, m.trial) for m in mistakes] == [
        (wrong, None),
        (begun_well, half_open_max_calls[1]),
    ]


def test_figures_add_up() -> None:
    """Attempts, errors and shares of a run agree with what was recorded of it."""
    world = SHORT.world(2)
    found = run(world, Ours())
    told = figures(world, found)
    calls = told["calls"]
    by_trails = sum(len(trail) for trail in found.trails.values()) + calls - len(found.trails)
    assert round(told["attempts_per_call"] * calls) == by_trails + told["background"]
    assert told["p50"] < told["p99"] <= told["max"]
    assert abs(sum(told["shares"].values()) - 1.0) < 1e-9


def test_the_tail_names_who_is_to_blame() -> None:
    """A call that hung is put down to the hanging provider's outage, with its trail in words."""
    world = world_with(outage(0, 0.0, 900.0, "hang"), rate=0.05)
    told = tail(world, run(world, Chain), 60.0)
    (row,) = told["slow_calls"]
    assert row["sort"] == "hang"
    assert "swift TimeoutError in 30.00 [hang]" in row["examples"][0]


def test_several_seeds_give_medians_and_ranges() -> None:
    """Each figure has its median between its least and most; aims are held against them."""
    found = trials([SHORT], contestants([OURS], []), [1, 2, 3], length_share=0.0, workers=1)
    told = summarized(found)
    assert told["seeds"] == [1, 2, 3]
    p99 = told["policies"][OURS]["over_seeds"]["p99"]
    assert p99["least"] <= p99["median"] <= p99["most"]
    assert {aim["policy"] for aim in told["aims"]} == {OURS}
    assert told["policies"][ORACLE]["over_seeds"]["p99_of_oracle"]["most"] == 1.0


# -- the command ----------------------------------------------------------------------------

BRIEF = ["--scenario", "month", "--days", "0.1", "--workers", "1"]


def test_json_has_figures_aims_and_tails(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one object with each policy's figures, the aims and the tails asked for."""
    options = [*BRIEF, "--json", "--only", OURS, "--tail", OURS]
    assert benchmarks.outages.main(options) == 0
    told = json.loads(capsys.readouterr().out)
    month_of_it = told["scenarios"]["month"]
    assert set(month_of_it["policies"]) == {ORACLE, OURS}
    assert month_of_it["aims"]
    assert told["tails"][0]["policy"] == OURS


def test_the_table_names_every_policy(capsys: pytest.CaptureFixture[str]) -> None:
    """The text has a column for each policy and variant, and the aims below."""
    options = [
        *BRIEF,
        "--only",
        OURS,
        "--variant",
        "quick: pace.floor=1 circuit.max_open_duration=10",
    ]
    assert benchmarks.outages.main([*options, "--tail", "quick"]) == 0
    printed = capsys.readouterr().out
    for words in (ORACLE, OURS, "quick", "p99.9 over the oracle's", "attempts beyond the first"):
        assert words in printed


def test_variants_are_settings_of_the_router() -> None:
    """A variant names topics and settings; `inf` and None are understood."""
    name, maker = variant(
        "calm: circuit.open_duration=3 pace.slow_factor=inf hedge.after=2 timeout=60"
    )
    assert name == "calm"
    assert maker.settings["circuit"].open_duration == 3
    assert maker.settings["latency"].slow_factor == float("inf")
    assert maker.settings["hedge"].after == 2
    assert maker.settings["timeout"] == 60


@pytest.mark.parametrize(
    "text", ["nothing", "x: wine.colour=3", "x: pace.colour=3", "x: pace.floor=a b", ":"]
)
def test_a_variant_that_is_none_is_refused(text: str) -> None:
    """What cannot be read as settings says so, and names the option."""
    with pytest.raises(ConfigurationError, match="--variant"):
        variant(text)


def test_an_unknown_policy_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` with a name that is none ends with status 2 and the names there are."""
    with pytest.raises(SystemExit) as ended:
        benchmarks.outages.main([*BRIEF, "--only", "luck"])
    assert ended.value.code == 2
    assert "oracle, ours" in capsys.readouterr().err


def test_the_picture_is_drawn(tmp_path) -> None:
    """Each scenario gets a file with something in it; other formats are refused."""
    pytest.importorskip("matplotlib")
    from benchmarks.outages.picture import draw

    found = trials([SHORT], contestants([OURS], []), [1], length_share=0.0, workers=1)
    (written,) = draw(found, tmp_path / "month.svg")
    assert written.stat().st_size > 10_000
    with pytest.raises(UsageError, match="png"):
        draw(found, tmp_path / "month.gif")
