"""Candidates by themselves: their rules, their targets' copies, and chance among equals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from multirouter.core.cost.price import Price
from multirouter.core.routes.route import Route
from multirouter.core.selection.attempt_rules import AttemptRules
from multirouter.core.selection.strategies import Balanced
from multirouter.core.selection.weighted import ramp
from multirouter.core.settings.failure_rules import RULES, CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.core.settings.provider import Provider
from multirouter.model import FailureKind, Verdict
from tests.core.kit import World, answer, calm, provider, unpriced
from tests.core.strategy_bench import one_tier, record_latencies, served


def naming(request: Any) -> Any:
    return {**request, "model": "m"}


async def echo(request: Any) -> Any:
    return request


async def echo_stream(request: Any) -> Any:
    yield request


async def test_a_target_names_its_model_in_calls_and_streams() -> None:
    """Its own timeout is an upper limit; it shares what belongs to the provider."""
    world = World([Provider("a", echo, stream=echo_stream, attempt_timeout=30.0)])
    member = world.member("a")
    member.track_latency()
    twin = member.for_target("a (m)", unpriced("a"), (naming,), 20.0)
    assert await twin.call({"q": 1}) == {"q": 1, "model": "m"}
    assert [chunk async for chunk in twin.stream({"q": 1})] == [{"q": 1, "model": "m"}]
    assert (twin.name, twin.key, twin.timeout) == ("a", "a (m)", 20.0)
    assert (member.key, member.timeout) == ("a", 30.0)
    assert twin.gate is member.gate
    assert twin.health is member.health
    assert twin.latency_average is None
    assert member.for_target("k", unpriced("a"), (), 90.0).timeout == 30.0


def test_timeouts_are_latencies_unless_the_loop_stalled() -> None:
    """Each counts at the time at which it ended."""
    world = one_tier("fastest", provider("a"), provider("b"))
    member = world.member("a", "work")
    average = member.latency_average
    assert average is not None
    timeout = (FailureKind.TIMEOUT, CircuitEffect.FAILURE)
    member.record_failure(*timeout, 9.0, world.now, stalled=True)
    assert average.latency == 0.0
    for _ in range(20):
        member.record_failure(*timeout, 9.0, world.now)
    member.record_failure(*timeout, 30.0, world.now + 10.0)
    assert average.latency == pytest.approx(9.0 + 21.0 / (20.0 * 0.3679 + 1.0), rel=1e-4)


def test_the_rules_of_attempts() -> None:
    """Without settings nothing is retried, judged, limited or final."""
    usual = AttemptRules()
    assert (usual.accept, usual.on, usual.retries_per_provider) == (None, None, 0)
    assert (usual.limits, usual.unsupported, usual.by_kind) == ((), "pass_over", RULES)
    assert not usual.refusals_fail
    assert not usual.is_final(Verdict(FailureKind.SERVER))
    own = AttemptRules(
        accept=answer,
        on=frozenset({FailureKind.SERVER, 418}),
        retries_per_provider=2,
        unsupported="drop",
    )
    assert (own.accept, own.retries_per_provider, own.unsupported) == (answer, 2, "drop")
    assert own.limits == ()
    assert not own.is_final(Verdict(FailureKind.SERVER))
    assert not own.is_final(Verdict(FailureKind.UNKNOWN, status=418))
    assert own.is_final(Verdict(FailureKind.UNKNOWN, status=500))


# ── choice ────────────────────────────────────────────────────────────────────────────────────────


def test_idle_providers_share_by_weight_in_any_order() -> None:
    """The first of the tier has no advantage."""
    counts = served(one_tier("least_in_flight", provider("b"), provider("a", weight=9)), 300)
    assert counts["a"] > 240
    assert counts["b"] > 10


@pytest.mark.parametrize(("slower", "first"), [(2.4, "healthy"), (2.48, "failing")])
def test_one_failure_in_five_counts_as_two_and_a_half_times_as_slow(
    slower: float, first: str
) -> None:
    """By the powers that `Balanced` has unless others are set."""
    world = one_tier(Balanced(), provider("failing"), provider("healthy"))
    record_latencies(world, failing=1.0, healthy=slower)
    health = world.member("failing", "work").health
    for number in range(5):
        health.record_failure(world.now) if number == 0 else health.record_success(world.now)
    names = [world.next_attempt(world.plan("work")).member.name]
    assert names == [first]


def test_an_unknown_success_rate_is_a_perfect_one() -> None:
    """It is no reason to prefer a provider to one that has never failed."""
    world = one_tier("balanced", provider("known"), provider("unknown"))
    record_latencies(world, known=1.0, unknown=1.2)
    world.member("known", "work").health.record_success(world.now)
    assert world.next_attempt(world.plan("work")).member.name == "known"


def test_an_unknown_price_counts_as_the_highest() -> None:
    """It is no advantage, and no disadvantage beside the provider with the highest price."""
    dear = provider("dear", price=Price(9.0, 9.0))
    for slower, first in ((1.5, "unknown"), (0.5, "dear")):
        world = one_tier("balanced", dear, provider("unknown"))
        record_latencies(world, dear=slower, unknown=1.0)
        assert world.next_attempt(world.plan("work")).member.name == first
    members = one_tier("balanced", dear, provider("x"), provider("y")).route("work").members
    remark = "without price=, counted as the most expensive: x, y"
    assert Balanced().remark(members) == remark


def test_a_provider_without_a_ramp_has_its_whole_weight() -> None:
    """At once, beside one that has recovered to the end of its ramp."""
    world = World(
        [provider("a", circuit=CircuitPolicy(ramp=0.0)), provider("b")],
        circuit=CircuitPolicy(ramp=20.0),
    )
    a, b = world.member("a"), world.member("b")
    assert ramp(a, world.now) == ramp(b, world.now) == 1.0
    table = world.route().tiers[0].table(world.now)
    assert [table.share(a), table.share(b)] == [0.5, 0.5]


def test_a_strategy_that_fails_leaves_the_choice_to_the_ramped_weights() -> None:
    """The report has the strategy's function and its error."""
    reported: list[tuple[Any, Exception]] = []

    class Other:
        def prepare(self, members: Any) -> Any:
            return choose

    def choose(candidates: Any, context: Any) -> Any:
        return "p0"

    circuit = CircuitPolicy(failures=1, growth=1, open_duration=5.0, ramp=1000.0)
    world = World(
        [provider("a"), provider("b")],
        [Route("work", [["a", "b"]], strategy=Other())],
        circuit=circuit,
    )
    world.states.on_hook_error = lambda hook, error: reported.append((hook, error))
    world.half_open("a")
    world.run_call("a", "success")
    world.configure(world.providers, world.routes)
    counts = served(world, 200)
    assert 0 < counts["a"] < 50
    hook, error = reported[0]
    assert (hook, type(error), str(error)) == (choose, LookupError, "'p0' is not a candidate")


def test_a_world_of_equals_is_chosen_evenly() -> None:
    """Also when two of them are left, or one."""
    world = calm("a", "b", "c")
    for excluded, left in (((), "abc"), (("a",), "bc"), (("a", "b"), "c")):
        choice = world.route().tiers[0].table(world.now).healthy
        found = [choice.pick(world.rng, excluded, world.now) for _ in range(300)]
        names = [member.name for member in found if member is not None]
        assert {names.count(name) > 200 / len(left) * 0.7 for name in left} == {True}
        assert len(names) == 300


def test_the_signs_of_a_refusal() -> None:
    """All of them fail, or those that the route lists; no sign is no refusal."""
    refusal = RULES[FailureKind.REFUSAL]
    listed = {**RULES, FailureKind.REFUSAL: replace(refusal, signs=frozenset({"refusal"}))}
    every = {**RULES, FailureKind.REFUSAL: replace(refusal, signs=None)}
    assert AttemptRules(listed).fails("refusal")
    assert not AttemptRules(listed).fails("length")
    assert not AttemptRules(listed).fails("")
    assert AttemptRules(every).fails("length")
    assert not AttemptRules(every).fails("")
