"""One call's plan: failover at once, rests between rounds, and what ends it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from multirouter.core.planning.steps import WaitStep
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES, Failover
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.errors import AllProvidersFailed, CallTimeout
from multirouter.model import CallOutcome, FailureKind, Verdict
from tests.core.kit import FIXED, World, calm, chain, failing, provider

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
    assert (news.route, news.provider, news.to, news.kind) == (
        "chain",
        "b",
        "c",
        FailureKind.SERVER,
    )


@pytest.mark.parametrize("kind", [k for k in FailureKind if RULES[k].failover is Failover.AT_ONCE])
def test_failover_is_instant(kind: FailureKind) -> None:
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
            if isinstance(step, WaitStep):
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
