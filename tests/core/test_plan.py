"""One call's plan: failover at once, rests between rounds, what ends it, and that it always ends."""

from __future__ import annotations

import gc
import math
import sys
import traceback
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.model import CallOutcome, Kind, Verdict
from multirouter.core.policies import (
    CircuitPolicy,
    HedgePolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.core.routes import Route
from multirouter.core.rules import RULES, Effect, Other, Rule, Same
from multirouter.core.steps import Try, Wait
from multirouter.errors import AllProvidersFailed, CallTimeout, NoProviderAvailable
from tests.core.kit import NEVER_TRIPS, Broke, World, failing, provider

FIXED = CircuitPolicy(failures=3, growth=1, open_for=5.0)


def calm(*names: str, **settings: Any) -> World:
    """Providers whose circuits never trip."""
    return World([provider(name) for name in names], circuit=NEVER_TRIPS, **settings)


def chain(*names: str, retries: int = 0, **settings: Any) -> World:
    """Providers in a fixed order, as the route `chain`, whose circuits never trip."""
    route = Route("chain", list(names), retries_per_provider=retries)
    return calm(*names, routes=[route], **settings)


# ── failover ────────────────────────────────────────────────────────────────────────────────────


def test_a_chain_in_order() -> None:
    """Case 73: A open is not asked, B fails and is asked once, C answers, and the trail says so."""
    world = World([provider(n) for n in "abc"], [Route("chain", ["a", "b", "c"])], circuit=FIXED)
    world.trip("a")
    plan = world.plan("chain")
    assert world.asked(plan, "server", "ok") == ["b", "c"]
    outcome = world.ended(plan)
    assert (outcome.provider, outcome.value, outcome.failovers) == ("c", "answer", 1)
    assert [(r.provider, str(r.verdict.kind), r.why) for r in outcome.attempts] == [
        ("b", "server", "only one"),
        ("c", "success", "failover from b (server); only one"),
    ]
    assert "a: open" in str(world.ended(world.plan(["a"])).error)
    (news,) = world.heard.of("failed_over")
    assert (news.route, news.provider, news.to, news.kind) == ("chain", "b", "c", Kind.SERVER)


@pytest.mark.parametrize("kind", [k for k in Kind if RULES[k].other is Other.AT_ONCE])
def test_failover_is_instant(kind: Kind) -> None:
    """Whatever another provider may mend is asked of it at the same instant."""
    world = chain("a", "b")
    plan = world.plan("chain")
    world.fails(plan, world.trying(plan), failing(kind, retry_after=60.0))
    step = world.trying(plan)
    assert (step.member.name, step.started) == ("b", world.now)


def test_all_that_follow_count() -> None:
    """Case 76: failures of later links move their own circuits like those of the first."""
    world = World([provider("a"), provider("b")], [Route("chain", ["a", "b"])], circuit=FIXED)
    for _ in range(3):
        plan = world.plan("chain")
        while not isinstance(step := world.step(plan), CallOutcome):
            if isinstance(step, Wait):
                break
            world.fails(plan, step)
    states = {name: str(gate.circuit.state(world.now)) for name, gate in world.memory.gates.items()}
    assert states == {"a": "open", "b": "open"}


def test_the_failure_that_opens() -> None:
    """Case 2: the N-th failure opens once, and its caller gets the provider's own error."""
    world = World([provider("a")], circuit=FIXED, retry=RetryPolicy(attempts=1))
    errors = []
    for _ in range(3):
        plan = world.plan()
        errors.append(world.fails(plan, world.trying(plan)))
        outcome = world.ended(plan)
    assert isinstance(outcome.error, AllProvidersFailed)
    assert outcome.error.__cause__ is errors[-1]
    assert outcome.error.attempts[-1].error is errors[-1]
    assert world.heard.transitions("a") == ["closed > open"]


def test_all_fail() -> None:
    """Case 75: one error holds each link's own in order, and the last of them is its cause."""
    world = chain("a", "b", "c", retry=RetryPolicy(attempts=1))
    plan = world.plan("chain")
    errors = [world.fails(plan, world.trying(plan)) for _ in range(3)]
    outcome = world.ended(plan)
    assert isinstance(outcome.error, AllProvidersFailed)
    assert [record.error for record in outcome.error.attempts] == errors
    assert outcome.error.__cause__ is errors[-1]
    assert [record.provider for record in outcome.attempts] == ["a", "b", "c"]
    with pytest.raises(AllProvidersFailed):
        _ = outcome.value


def test_a_cancelled_call_asks_nobody_else() -> None:
    """Case 75: when the caller leaves during a link, the call is over and its permit is back."""
    world = chain("a", "b")
    plan = world.plan("chain")
    step = world.trying(plan)
    world.cancelled(plan, step)
    left = KeyboardInterrupt()
    outcome = plan.broken_off(left, world.now)
    plan.finish(outcome)
    assert (outcome.result, outcome.error) == ("cancelled", left)
    assert world.in_flight() == {"a": 0, "b": 0}
    assert [record.outcome for record in outcome.attempts] == ["cancelled"]
    assert plan.broken_off(ValueError(), world.now).result == "failure"


# ── who is asked again ──────────────────────────────────────────────────────────────────────────


def test_a_second_round_waits() -> None:
    """Only when everybody failed once the call rests, by full jitter, and asks again."""
    world = chain("a", "b")
    plan = world.plan("chain")
    assert world.asked(plan, "server", "server") == ["a", "b"]
    assert 0.0 < world.rest(plan) <= 0.5
    assert world.asked(plan, "server", "server") == ["a", "b"]
    assert world.rest(plan) <= 1.0
    assert world.asked(plan, "ok") == ["a"]


def test_a_timer_that_rings_early() -> None:
    """Woken before the rest is over, as coarse timers do, the plan goes on resting."""
    for verdict in (failing("server"), failing("rate_limit", 2.0)):
        for retries in (0, 1):
            world = chain("a", retries=retries)
            plan = world.plan("chain")
            world.fails(plan, world.trying(plan), verdict)
            until = world.waiting(plan).until
            world.now = math.nextafter(until, 0.0)
            assert world.waiting(plan).until == until
            world.now = until
            assert world.trying(plan).why == f"again after {verdict.kind}"


def test_a_short_cooling_is_waited_for() -> None:
    """When all are out and one only cools for 2 s, the call rests exactly so long and asks it."""
    world = World([provider(n) for n in "abc"], circuit=FIXED)
    world.trip("a", "b")
    plan = world.plan()
    world.fails(plan, world.trying(plan), failing("rate_limit", 2.0))
    assert world.rest(plan) == pytest.approx(2.0)
    assert world.asked(plan, "ok") == ["c"]


def test_a_long_cooling_is_not_waited_for() -> None:
    """A Retry-After over `max_retry_after` ends the call at once, with the provider's error."""
    world = calm("a", retry=RetryPolicy(max_retry_after=30.0))
    plan = world.plan()
    error = world.fails(plan, world.trying(plan), failing("rate_limit", 30.5))
    outcome = world.ended(plan)
    assert outcome.error is not None
    assert outcome.error.__cause__ is error
    assert outcome.error.retry_after == pytest.approx(30.5)
    patient = calm("a", retry=RetryPolicy(max_retry_after=31.0))
    plan = patient.plan()
    patient.fails(plan, patient.trying(plan), failing("rate_limit", 30.5))
    assert patient.rest(plan) == pytest.approx(30.5)


def test_the_deadline_bounds_rests() -> None:
    """Case 63: a rest that would pass the deadline is not taken; the last real error comes now."""
    world = calm("a", timeout=2.0)
    plan = world.plan()
    error = world.fails(plan, world.trying(plan), failing("rate_limit", 2.0))
    outcome = world.ended(plan)
    assert isinstance(outcome.error, AllProvidersFailed)
    assert outcome.error.__cause__ is error
    assert outcome.elapsed == 0.0
    assert len(outcome.error.attempts) == 1
    assert world.refusals() == ["deadline"]
    assert "would have passed the call's timeout" in str(outcome.error)


def test_the_call_ends_by_its_timeout() -> None:
    """Case 72: at the deadline the plan ends, whatever it was about to do; the trail is there."""
    world = chain("a", "b", timeout=10.0)
    plan = world.plan("chain")
    error = world.fails(plan, world.trying(plan), "server", after=10.0)
    outcome = world.ended(plan)
    assert isinstance(outcome.error, CallTimeout)
    assert isinstance(outcome.error, TimeoutError)
    assert outcome.error.__cause__ is error
    assert "within timeout=10 s (a server after 10.00 s)" in str(outcome.error)
    assert plan.beside(world.now) is None
    late = world.plan("chain")
    world.answers(late, world.trying(late), after=11.0)
    assert world.ended(late).ok  # an answer that is there is never thrown away


def test_retries_per_provider() -> None:
    """A route's preferred primary is asked again first, after a rest each time, then the next."""
    world = chain("a", "b", retries=2)
    plan = world.plan("chain")
    world.fails(plan, world.trying(plan))
    names = []
    for _ in range(2):
        assert 0.0 < world.rest(plan) <= 1.0
        names += world.asked(plan, "server")
    assert names == ["a", "a"]
    assert world.trying(plan).member.name == "b"


def test_retries_per_provider_follow_retry_after() -> None:
    """A short Retry-After is rested out before the primary is asked again; a long one is not."""
    world = chain("a", "b", retries=1)
    plan = world.plan("chain")
    world.fails(plan, world.trying(plan), failing("rate_limit", 3.0))
    assert world.rest(plan) == pytest.approx(3.0)
    assert world.asked(plan, failing("rate_limit", 31.0)) == ["a"]
    assert world.asked(plan, "ok") == ["b"]
    world.now += 40.0
    other = world.plan("chain")
    world.fails(other, world.trying(other), failing("rate_limit", 31.0))
    assert world.trying(other).member.name == "b"


@pytest.mark.parametrize(
    ("verdict", "settings"),
    [
        (failing("timeout"), {}),
        (failing("not_found"), {}),
        (failing("exhausted"), {}),
        (failing("credentials"), {}),
        (failing("server", retried=True), {}),
        (failing("server"), {"timeout": 1e-3}),
        (failing("server"), {"retry": RetryPolicy(attempts=1)}),
        (failing("server"), {"retry": RetryPolicy(budget=0.0, budget_floor=0)}),
    ],
    ids=str,
)
def test_no_rest_for_what_is_not_asked_again(verdict: Verdict, settings: dict[str, Any]) -> None:
    """Cases 62 and 68: who may not, or cannot, be asked again costs no rest: the next is asked."""
    world = chain("a", "b", retries=3, **settings)
    plan = world.plan("chain")
    world.fails(plan, world.trying(plan), verdict)
    assert world.trying(plan).member.name == "b"


def test_already_retried() -> None:
    """Case 68: a request that an SDK retried already is not asked again of the same provider."""
    world = calm("a")
    plan = world.plan()
    world.fails(plan, world.trying(plan), failing("server", retried=True))
    assert len(world.ended(plan).attempts) == 1


def test_transport_gets_one_quick_try() -> None:
    """A connection that broke is tried once more on that provider, and no third time."""
    world = calm("a", retry=RetryPolicy(attempts=9))
    plan = world.plan()
    assert world.asked(plan, "transport", "transport") == ["a", "a"]
    assert world.ended(plan).result == "failure"


def test_a_circuit_that_opens_midway() -> None:
    """Case 64: once its circuit is open a provider is left alone; refusals use up no attempts."""
    trips = CircuitPolicy(failures=2, growth=1)
    route = Route("chain", ["a", "b", "c"], retries_per_provider=5)
    world = World(
        [provider("a"), provider("b"), provider("c")],
        [route],
        circuit=trips,
        retry=RetryPolicy(attempts=3),
    )
    world.trip("b")
    plan = world.plan("chain")
    assert world.asked(plan, "server", "server", "server", "ok") == ["a", "a", "c", "c"]
    assert world.ended(plan).ok


# ── what nobody else mends ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["request", "content_filter"])
def test_the_requests_own_fault(kind: str) -> None:
    """Case 62: the caller's own exception comes back untouched, with a note of who refused it."""
    world = chain("a", "b", retries=2)
    plan = world.plan("chain")
    error = world.fails(plan, world.trying(plan), kind)
    assert plan.decided
    outcome = world.ended(plan)
    assert outcome.error is error
    assert isinstance(error, Broke)
    assert error.__notes__ == [
        f"multirouter: attempt 1 at 'a' on route 'chain'; {kind} is the request's own fault, "
        "no other provider would mend it"
    ]
    assert world.refusals() == []
    assert world.memory.gates["a"].circuit.window.failures == 0


def test_a_route_may_say_otherwise() -> None:
    """Case 62: whether an error that no retry mends goes elsewhere is a setting of its own."""
    elsewhere = Rule(
        same=Same.NEVER, other=Other.AT_ONCE, circuit=Effect.NEUTRAL, may_have_acted=False
    )
    only_here = Rule(
        same=Same.BACKOFF, other=Other.NEVER, circuit=Effect.NEUTRAL, may_have_acted=False
    )
    rules = {"content_filter": elsewhere, "not_found": only_here}
    world = calm("a", "b", routes=[Route("lax", ["a", "b"], rules=rules)])
    assert world.asked(world.plan("lax"), "content_filter", "ok") == ["a", "b"]
    assert world.asked(world.plan("lax"), "not_found", "not_found", "ok") == ["a"] * 3


def test_only_a_larger_window() -> None:
    """A request that was too long goes to larger windows only, and fails with its own error."""
    windows = {"a": 8, "b": 4, "c": 8, "d": 32, "e": None}
    world = World(
        [provider(n, context_window=w) for n, w in windows.items()],
        [
            Route("chain", list(windows)),
            Route("unknown", ["e", "b"]),
        ],
    )
    plan = world.plan("chain")
    step = world.trying(plan)
    world.fails(plan, step, "context_length")
    step = world.trying(plan)
    assert step.member.name == "d"
    error = world.fails(plan, step, "context_length")
    outcome = world.ended(plan)
    assert outcome.error is error
    assert len(outcome.attempts) == 2
    assert world.asked(world.plan("unknown"), "context_length", "ok") == ["e", "b"]


def test_a_mixed_trail_is_no_fault_of_the_request() -> None:
    """Where others failed for reasons of their own, the whole trail is the error."""
    world = chain("a", "b", retry=RetryPolicy(attempts=1))
    plan = world.plan("chain")
    world.asked(plan, "server", "context_length")
    assert isinstance(world.ended(plan).error, AllProvidersFailed)


def test_a_user_verdict_of_cancelled_ends_the_call() -> None:
    """An error that `classify=` calls cancelled is neutral and raised; nobody is asked for ever."""
    world = chain("a", "b")
    plan = world.plan("chain")
    error = world.fails(plan, world.trying(plan), "cancelled")
    assert world.ended(plan).error is error
    assert world.memory.gates["a"].circuit.window.calls == 0


# ── not idempotent ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("kind", [k for k in Kind if RULES[k].other is Other.AT_ONCE])
def test_idempotent_false(kind: Kind, retries: int) -> None:
    """After an attempt that may have acted nothing is asked again, and nothing rested for."""
    world = chain("a", "b", retries=retries)
    plan = world.plan("chain", idempotent=False)
    error = world.fails(plan, world.trying(plan), failing(kind, retry_after=1.0))
    if RULES[kind].may_have_acted:
        outcome = world.ended(plan)
        assert outcome.error is not None
        assert outcome.error.__cause__ is error
        assert world.refusals() == ["not_idempotent"]
    else:
        assert isinstance(world.step(plan), Try if not retries else Try | Wait)
        assert world.asked(plan, "ok") is not None


def test_unsent_is_safe_to_repeat() -> None:
    """A request that surely never left may be repeated even when it is not idempotent."""
    world = chain("a", "b")
    plan = world.plan("chain", idempotent=False)
    assert world.asked(plan, failing("transport", unsent=True), "ok") == ["a", "b"]


# ── the price ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n", [1, 2, 5])
def test_attempts_bound_a_provider(n: int) -> None:
    """Case 59: `attempts=n` is n attempts in all, the first included."""
    world = calm("a", retry=RetryPolicy(attempts=n, base=0.0))
    plan = world.plan()
    assert world.asked(plan, *["server"] * n) == ["a"] * n
    outcome = world.ended(plan)
    assert "RetryPolicy.attempts is used up" in str(outcome.error)
    assert world.refusals() == ["attempts"]


def test_first_tries_of_the_healthy_are_free() -> None:
    """No call fails while a healthy provider is left: its first try costs no attempt, no budget."""
    names = [f"p{i}" for i in range(8)]
    world = chain(*names, retry=RetryPolicy(attempts=1, budget=0.0, budget_floor=0))
    plan = world.plan("chain")
    assert world.asked(plan, *["server"] * 7, "ok") == names


def test_failover_to_the_ill_is_paid_for() -> None:
    """Who failed more than half of its recent attempts is passed over when nothing can be paid."""
    world = chain("a", "b", "c", retry=RetryPolicy(attempts=1))
    world.hit("b")
    plan = world.plan("chain")
    assert world.asked(plan, "server", "ok") == ["a", "c"]
    world.hit("b", "success")  # half are successes
    plan = world.plan("chain")
    assert world.asked(plan, "server", "ok") == ["a", "b"]


def test_an_old_failure_is_forgotten() -> None:
    """What a provider did before the window has no price today."""
    world = chain("a", "b", retry=RetryPolicy(attempts=1))
    world.hit("b")
    world.now += 3600.0
    assert world.asked(world.plan("chain"), "server", "ok") == ["a", "b"]


def test_a_refused_retry() -> None:
    """Case 67: without budget the caller gets the provider's error, and the reason is counted."""
    world = calm("a", retry=RetryPolicy(budget=0.0, budget_floor=1))
    plan = world.plan()
    assert world.asked(plan, "server", "server") == ["a", "a"]
    last = plan.attempts[-1].error
    outcome = world.ended(plan)
    assert outcome.error is not None
    assert outcome.error.__cause__ is last
    assert "the retry budget is used up" in str(outcome.error)
    assert world.refusals() == ["budget"]


def test_a_budget_that_recovers() -> None:
    """A refusal of a while ago does not end a later round: the budget is asked each time."""
    retry = RetryPolicy(attempts=9, budget=0.0, budget_floor=1, budget_window=10.0)
    world = chain("a", "b", "c", retry=retry)
    world.hit("b")
    other = world.plan(["a"])
    assert world.asked(other, "server", "server") == ["a", "a"]  # the budget is used up
    plan = world.plan("chain")
    first = world.trying(plan)
    assert first.member.name == "a"
    world.fails(plan, first)
    second = world.trying(plan)
    assert second.member.name == "c"  # b is ill and was refused
    world.fails(plan, second, after=30.0)
    assert world.asked(plan, "server") == ["b"]  # its failure is long ago by now
    assert 0.0 < world.rest(plan) <= 0.5
    assert world.asked(plan, "ok") == ["a"]


def test_the_budget_bounds_a_storm() -> None:
    """Case 65: with everybody failing, R calls make at most R * 1.2 + m attempts (m=10, 10 s)."""
    world = calm("a", "b", "c", retry=RetryPolicy(base=0.0))
    calls = 500
    for _ in range(calls):
        world.now += 9.0 / calls
        plan = world.plan()
        while not isinstance(step := world.step(plan), CallOutcome):
            if isinstance(step, Try):
                world.fails(plan, step)
    attempts = len(world.heard.attempts)
    assert calls * 1.1 < attempts <= calls * 1.2 + 10


def test_the_budget_against_its_model() -> None:
    """Case 66: the balance follows its model, a floor and a share of the calls begun.

    An attempt that was cancelled neither pays nor gives anything back.
    """
    retry = RetryPolicy(attempts=2, base=0.0, budget=0.5, budget_floor=2, budget_window=10.0)
    world = calm("a", retry=retry)
    calls, paid = 0, 0
    for number in range(40):
        calls += 1
        plan = world.plan()
        step = world.trying(plan)
        if number % 3 == 0:
            world.cancelled(plan, step)
            continue
        world.fails(plan, step)
        if isinstance(world.step(plan), Wait):
            paid += 1
            assert paid <= max(2, calls // 2)
            world.answers(plan, world.trying(plan))
        else:
            assert paid == max(2, calls // 2)
    assert paid == 39 // 2  # the fortieth call was cancelled


# ── hedges ──────────────────────────────────────────────────────────────────────────────────────


def race(*names: str, **settings: Any) -> World:
    """Providers in a chain that is hedged after a second."""
    return chain(*names, hedge=HedgePolicy(after=1.0), **settings)


def test_a_hedge_goes_elsewhere() -> None:
    """A hedge asks somebody else, says why, and is neither a failover nor one in the count."""
    world = race("a", "b", "c")
    plan = world.plan("chain")
    first = world.trying(plan)
    world.fails(plan, first)
    slow = world.trying(plan)
    world.now += 1.0
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    assert (hedge.member.name, hedge.role) == ("c", "hedge")
    assert hedge.why == "hedge: b silent for 1.00 s; only one"
    world.answers(plan, hedge)
    world.cancelled(plan, slow)
    outcome = world.ended(plan)
    assert (outcome.provider, outcome.failovers) == ("c", 1)
    assert [news.to for news in world.heard.of("failed_over")] == ["b"]
    assert world.in_flight() == {"a": 0, "b": 0, "c": 0}


def test_without_budget_only_the_hedge_is_skipped() -> None:
    """Case 78: a hedge is paid for; refused, it leaves the first attempt and failover alone."""
    world = race("a", "b", retry=RetryPolicy(budget=0.0, budget_floor=1))
    first = world.plan("chain")
    assert first.hedge(world.trying(first), world.now) is not None
    plan = world.plan("chain")
    slow = world.trying(plan)
    assert plan.hedge(slow, world.now) is None
    world.fails(plan, slow, "timeout")
    assert world.asked(plan, "ok") == ["b"]
    assert world.refusals() == []
    alone = world.plan("chain")
    slow = world.trying(alone)
    assert alone.hedge(slow, world.now) is None
    world.answers(alone, slow)
    assert world.ended(alone).provider == "a"


def test_a_hedge_uses_up_an_attempt() -> None:
    """`attempts` counts hedges as it counts every paid attempt."""
    world = race("a", "b", "c", retry=RetryPolicy(attempts=2))
    plan = world.plan("chain")
    slow = world.trying(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    assert plan.hedge(hedge, world.now) is None


def test_a_failure_beside_a_hedge() -> None:
    """A failure with a hedge in flight brings in another at once; the hedge still may win."""
    world = race("a", "b", "c")
    plan = world.plan("chain")
    assert plan.beside(world.now) is None
    slow = world.trying(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    world.fails(plan, slow)
    third = plan.beside(world.now)
    assert third is not None
    assert (third.member.name, third.role) == ("c", "call")
    assert plan.beside(world.now) is None  # nobody is left
    world.answers(plan, hedge)
    assert plan.beside(world.now) is None  # it is decided
    world.answers(plan, third, "too late")
    outcome = world.ended(plan)
    assert (outcome.provider, outcome.value) == ("b", "answer")


def test_a_fault_beside_a_hedge() -> None:
    """What no other try can mend ends a race, unless an answer was there already."""
    world = race("a", "b")
    for answered in (False, True):
        plan = world.plan("chain")
        slow = world.trying(plan)
        hedge = plan.hedge(slow, world.now)
        assert hedge is not None
        if answered:
            world.answers(plan, hedge)
        error = world.fails(plan, slow, "request")
        assert plan.decided
        if not answered:
            world.fails(plan, hedge, "request")
        assert world.ended(plan).error is (None if answered else error)


def test_a_barred_provider_is_not_asked_again() -> None:
    """Who is to be asked again and is then ruled out by another's failure is left alone."""
    world = World(
        [provider("a", context_window=8), provider("b", context_window=16)],
        [Route("chain", ["a", "b"], retries_per_provider=1, hedge=HedgePolicy(after=1.0))],
        circuit=NEVER_TRIPS,
    )
    plan = world.plan("chain")
    slow = world.trying(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    world.fails(plan, slow, "server")
    world.fails(plan, hedge, "context_length")
    assert world.ended(plan).result == "failure"


# ── nobody there ────────────────────────────────────────────────────────────────────────────────


def test_all_circuits_open() -> None:
    """Cases 37 and 56: at once, with each one's state, last error and the soonest return."""
    world = World([provider("a"), provider("b")], circuit=FIXED)
    world.trip("a")
    world.now += 1.0
    world.trip("b")
    outcome = world.ended(world.plan())
    error = outcome.error
    assert outcome.result == "refused"
    assert outcome.elapsed == 0.0
    assert isinstance(error, NoProviderAvailable)
    assert set(error.states) == {"a", "b"}
    assert error.states["a"].startswith("open (failures, last server), resets in 4.0 s")
    assert error.retry_after == pytest.approx(4.0)
    assert error.attempts == ()


def test_refusals_leave_nothing_behind() -> None:
    """Case 36: 100,000 refusals leave memory flat; each error is fresh, its traceback short."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1, open_for=1e6, open_cap=1e6))
    world.heard.news = world.heard.news.__class__(maxlen=1)
    world.trip("a")
    depths, seen = set(), None
    blocks = []
    for number in range(100_000):
        error = world.plan().next_step(world.now).error  # type: ignore[union-attr]
        assert error is not seen
        seen = error
        if number % 20_000 == 0:
            try:
                raise error
            except NoProviderAvailable as caught:
                depths.add(len(traceback.extract_tb(caught.__traceback__)))
            gc.collect()
            blocks.append(sys.getallocatedblocks())
    assert depths == {1}
    assert max(blocks[1:]) - blocks[1] < 100


def test_limits_say_when_to_come_back() -> None:
    """Case 37: a call that the router's own rate refuses is told when that has room again."""
    world = calm("a", limits=LimitPolicy(requests_per_minute=6.0, burst=0.1))
    world.answers(plan := world.plan(), world.trying(plan))
    error = world.ended(world.plan()).error
    assert isinstance(error, NoProviderAvailable)
    assert error.states == {"a": "requests_per_minute used up"}
    assert error.retry_after == pytest.approx(10.0)
    narrow = calm("a", limits=LimitPolicy(in_flight=1))
    narrow.trying(narrow.plan())
    error = narrow.ended(narrow.plan()).error
    assert isinstance(error, NoProviderAvailable)
    assert error.retry_after is None  # that waits for an attempt, not for time


# ── waiting for room ────────────────────────────────────────────────────────────────────────────


def test_waiting_is_opt_in_and_ends() -> None:
    """With `wait=` the call stands in line until then, or until its deadline, and no longer."""
    world = World([provider("a", limits=LimitPolicy(in_flight=1))])
    holder = world.plan()
    held = world.trying(holder)
    assert world.ended(world.plan()).result == "refused"
    for wait, timeout, until in [(3.0, 10.0, 3.0), (math.inf, 10.0, 10.0)]:
        plan = world.plan(wait=wait, timeout=timeout)
        start = world.now
        step = world.waiting(plan)
        assert (step.for_room, step.until) == (True, start + until)
        world.now += 1.0
        assert world.waiting(plan).until == start + until
        world.now = step.until
        outcome = world.ended(plan)
        assert isinstance(outcome.error, NoProviderAvailable if until < 10.0 else CallTimeout)
    plan = world.plan(wait=5.0)
    world.waiting(plan)
    world.answers(holder, held)
    assert world.trying(plan).member.name == "a"


def test_waiting_after_failures() -> None:
    """After failures too a call may stand in line, and goes on when somebody is back."""
    world = World([provider("a"), provider("b")], circuit=CircuitPolicy(failures=1, growth=1))
    plan = world.plan(wait=20.0)
    start = world.now
    assert sorted(world.asked(plan, "server", "server")) == ["a", "b"]
    step = world.waiting(plan)
    assert (step.for_room, step.until) == (True, start + 20.0)
    assert plan.ready_in(world.now) == pytest.approx(5.0)
    world.now += 5.0
    assert len(world.asked(plan, "server", "server")) == 2
    world.now = start + 20.0
    outcome = world.ended(plan)
    assert isinstance(outcome.error, AllProvidersFailed)
    assert len(outcome.attempts) == 4


def test_waiting_in_vain_is_left_out() -> None:
    """Who has no attempt or budget left, or whom nobody may serve, does not stand in line."""
    trips = CircuitPolicy(failures=1, growth=1)
    for retry in (RetryPolicy(attempts=1), RetryPolicy(budget=0.0, budget_floor=0)):
        world = World([provider("a")], circuit=trips, retry=retry)
        plan = world.plan(wait=60.0)
        world.fails(plan, world.trying(plan))
        assert world.ended(plan).result == "failure"
    world = World([provider("a")], circuit=trips)
    plan = world.plan(wait=60.0)
    world.fails(plan, world.trying(plan), "timeout")
    assert world.ended(plan).result == "failure"


def test_waiting_for_the_healthy_is_free() -> None:
    """Somebody healthy and never asked is worth waiting for, even when nothing can be paid."""
    world = World(
        [provider("a"), provider("b", limits=LimitPolicy(in_flight=1))],
        [Route("chain", ["a", "b"])],
        circuit=CircuitPolicy(failures=2, growth=1),
        retry=RetryPolicy(attempts=1),
    )
    world.hit("b", "success")
    holder = world.plan(["b"])
    held = world.trying(holder)
    plan = world.plan("chain", wait=60.0)
    world.fails(plan, world.trying(plan), "timeout")
    assert not world.waiting(plan).for_room
    world.rest(plan)
    assert world.waiting(plan).for_room
    world.answers(holder, held)
    assert world.asked(plan, "ok") == ["b"]


def test_ready_in_looks_at_who_is_left() -> None:
    """A waiter is woken when one that may still serve it is back, whoever else is there."""
    world = chain("a", "b", retry=RetryPolicy(max_retry_after=30.0))
    world.hit("b", failing("rate_limit", 40.0))
    plan = world.plan("chain", wait=60.0)
    assert plan.ready_in(world.now) == 0.0
    world.fails(plan, world.trying(plan), "timeout")
    assert world.waiting(plan).for_room
    assert plan.ready_in(world.now) == pytest.approx(40.0)
    world.now += 40.0
    assert world.asked(plan, "ok") == ["b"]


def test_ready_in_heeds_shared_limits() -> None:
    """Time alone makes room when the slowest of the route's, router's and provider's limits has."""
    route = Route("r", ["a"], limits=LimitPolicy(requests_per_minute=3.0, burst=1 / 3))
    world = calm("a", routes=[route], limits=LimitPolicy(requests_per_minute=6.0, burst=1 / 6))
    plan = world.plan("r")
    world.trying(plan)
    assert world.plan("r").ready_in(world.now) == pytest.approx(20.0)
    assert world.plan().ready_in(world.now) == pytest.approx(10.0)
    full = calm("a", limits=LimitPolicy(in_flight=1))
    full.trying(full.plan())
    assert full.plan().ready_in(full.now) is None


# ── a substitute, and the news ──────────────────────────────────────────────────────────────────


def test_a_substitute_is_no_success() -> None:
    """A fallback's outcome has its value and no error, and is not ok."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1))
    world.trip("a")
    plan = world.plan()
    world.ended(plan)
    outcome = plan.fallen_back("sorry", world.now)
    assert (outcome.result, outcome.value, outcome.ok) == ("fallback", "sorry", False)


def test_the_news_of_a_call() -> None:
    """Attempts are told as they end, the call once, after everything that led to it."""
    world = chain("a", "b")
    plan = world.plan("chain")
    world.asked(plan, "server", "ok")
    outcome = world.ended(plan)
    assert world.heard.kinds == ["attempt_ended", "failed_over", "attempt_ended", "call_ended"]
    assert world.heard.calls == [outcome]
    assert tuple(world.heard.attempts) == outcome.attempts


# ── under any script ────────────────────────────────────────────────────────────────────────────

VERDICTS = st.builds(
    Verdict,
    st.sampled_from([kind for kind in Kind if kind is not Kind.SUCCESS]),
    st.none() | st.floats(0.0, 50.0),
    unsent=st.booleans(),
    certain=st.booleans(),
    retried=st.booleans(),
)

WORLDS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 9),
        "retry": st.builds(
            RetryPolicy,
            attempts=st.integers(1, 5),
            base=st.sampled_from([0.0, 0.5]),
            budget_floor=st.integers(0, 10),
        ),
        "circuit": st.sampled_from([NEVER_TRIPS, FIXED, CircuitPolicy(failures=1, open_for=0.1)]),
        "panic": st.sampled_from([None, 0.5]),
        "limits": st.sampled_from([None, LimitPolicy(in_flight=2), LimitPolicy(in_flight=1)]),
        "hedge": st.sampled_from([None, HedgePolicy(after=0.5)]),
    }
)


@given(
    settings=WORLDS,
    tiers=st.sampled_from([["a"], [["a", "b", "z"]], ["a", ["b", "z"]], ["a", "b", "z"]]),
    retries=st.integers(0, 2),
    windows=st.lists(st.none() | st.integers(1, 3), min_size=3, max_size=3),
    call=st.fixed_dictionaries(
        {"wait": st.sampled_from([0.0, 7.0]), "idempotent": st.booleans()},
        optional={"timeout": st.sampled_from([1.0, 40.0])},
    ),
    script=st.lists(
        st.tuples(st.none() | VERDICTS, st.floats(0.0, 3.0), st.booleans()), max_size=60
    ),
    before=st.lists(st.sampled_from("abz"), max_size=3),
)
def test_any_script(
    settings: dict[str, Any],
    tiers: list[Any],
    retries: int,
    windows: list[int | None],
    call: dict[str, Any],
    script: list[tuple[Verdict | None, float, bool]],
    before: list[str],
) -> None:
    """Cases 55 and 59: any plan ends, within its bounds, and all permits are back.

    No provider is asked again while one that was not tried and could be is left (with no
    `retries_per_provider`); paid attempts stay below `attempts`; the call ends by its deadline.
    """
    weights = {"a": 2.0, "b": 1.0, "z": 0.0}
    world = World(
        [
            provider(n, weight=w, context_window=window)
            for (n, w), window in zip(weights.items(), windows, strict=True)
        ],
        [Route("r", tiers, retries_per_provider=retries)],
        **settings,
    )
    for name in before:
        if world.memory.gates[name].admits(world.now):
            world.hit(name)
    plan = world.plan("r", **call)
    asked: Counter[str] = Counter()
    pending: list[Try] = []
    steps = iter(script)
    for _ in range(400):
        if not pending:
            step = world.step(plan)
            if isinstance(step, CallOutcome):
                break
            if isinstance(step, Wait):
                world.now = step.until
                continue
            assert isinstance(step, Try)
            again = step.member.name in asked and not retries
            assert not (again and _untried(world, plan, asked))
            asked[step.member.name] += 1
            pending += [step, *step.copies]
        verdict, elapsed, hedged = next(steps, (None, 0.0, False))
        world.now = min(world.now + elapsed, plan.deadline)
        if hedged and settings["hedge"] and plan.idempotent and pending[0].role != "probe":
            beside = plan.hedge(pending[0], world.now)
            if beside is not None:
                asked[beside.member.name] += 1
                pending.append(beside)
        step = pending.pop(0)
        if verdict is None:
            world.answers(plan, step)
        else:
            world.fails(plan, step, verdict)
    else:
        pytest.fail("the plan does not end")
    members = len(world.route("r").members)
    assert asked.total() <= settings["retry"].attempts + members - 1
    assert world.now <= plan.deadline
    assert set(world.in_flight().values()) == {0}
    assert all(shared.in_flight == 0 for shared in plan.route.limits)


def _untried(world: World, plan: Any, asked: Counter[str]) -> list[str]:
    """Whom the plan could have asked for the first time, and for nothing."""
    repetition = plan._repetition
    return [
        member.name
        for member in plan.route.members
        if member.name not in asked
        and member.name not in repetition.out
        and member.gate.admits(world.now)
        and not member.gate.ill(world.now)
    ]
