"""Billing: which attempts are billed, and what failover adds to the cost."""

from __future__ import annotations

import pytest

from multirouter.core.cost.budgets import Budget
from multirouter.core.cost.metering import guarded_reader
from multirouter.core.cost.price import Price
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import HedgePolicy
from multirouter.model import FailureKind, Usage
from tests.core.cost.billing_kit import ANSWER, CHEAP, EXPENSIVE, USAGE, chain
from tests.core.kit import World, failing, provider


def test_cost_of_an_answer_with_usage() -> None:
    """Usage and cost are in the record; the cost of a call is that of its attempts."""
    world = chain("a")
    plan = world.plan("chain", request="x" * 99)
    world.succeed(plan, world.next_attempt(plan), ANSWER)
    outcome = world.next_outcome(plan)
    assert outcome.attempts[0].usage == USAGE
    assert outcome.cost == outcome.attempts[0].cost == pytest.approx(0.013)
    assert outcome.failover_cost == 0.0


def test_an_answer_without_usage_is_estimated() -> None:
    """Request and answer are estimated from their text; a size counted by a hook is preferred."""
    for size, sent in ((0, 10), (77, 77)):
        world = chain("a")
        plan = world.plan("chain", request="q" * 40, size=size)
        world.succeed(plan, world.next_attempt(plan), "r" * 20)
        assert world.next_outcome(plan).attempts[0].usage == Usage(sent, 5, estimated=True)


@pytest.mark.parametrize(
    "kind", ["rate_limit", "exhausted", "overloaded", "server", "transport", "credentials"]
)
def test_failures_before_any_work_cost_nothing(kind: str) -> None:
    """A failure for which no model has worked is not billed."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    assert world.run_attempts(plan, kind) == ["a"]
    assert (plan.attempts[0].usage, plan.attempts[0].cost) == (None, 0.0)


@pytest.mark.parametrize("kind", ["timeout", "interrupted", "invalid"])
def test_lost_work_is_estimated(kind: str) -> None:
    """When the model has worked, or may have, at least the input is billed."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    assert world.run_attempts(plan, kind) == ["a"]
    assert plan.attempts[0].usage == Usage(10, 0, estimated=True)
    assert plan.attempts[0].cost == pytest.approx(1e-4)


def test_an_unsent_request_costs_nothing() -> None:
    """A request that never reached the provider is not billed, even when it timed out."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    world.fail(plan, world.next_attempt(plan), failing(FailureKind.TIMEOUT, unsent=True))
    assert plan.attempts[0].usage is None


def test_an_invalid_answer_is_billed() -> None:
    """An answer that `accept=` rejects is billed by the usage that it reports."""
    world = chain("a", "b")
    plan = world.plan("chain")
    plan.record(world.next_attempt(plan), failing("invalid"), ANSWER, ValueError("bad"), world.now)
    assert plan.attempts[0].usage == USAGE


def test_without_price_and_reader_no_usage_is_read() -> None:
    """With a usage reader alone the usage is read, and costs 0 USD."""
    read_answers: list[object] = []

    def read(answer: object) -> Usage:
        read_answers.append(answer)
        return Usage(5, 6)

    world = World([provider("a"), provider("b", usage=read)], usage=read_answers.append)
    for name, usage in (("a", None), ("b", Usage(5, 6))):
        plan = world.plan([name])
        world.succeed(plan, world.next_attempt(plan), ANSWER)
        record = world.next_outcome(plan).attempts[0]
        assert (record.usage, record.cost) == (usage, 0.0)
    assert read_answers == [ANSWER]


def test_usage_reader_of_the_router() -> None:
    """A provider's own reader takes precedence; its None means that no usage was reported."""
    world = World(
        [provider("a", price=CHEAP), provider("b", price=CHEAP, usage=lambda _: None)],
        usage=lambda _: Usage(7, 7),
    )
    for name, usage in (("a", Usage(7, 7)), ("b", Usage(0, 1, estimated=True))):
        plan = world.plan([name])
        world.succeed(plan, world.next_attempt(plan), "word")
        assert world.next_outcome(plan).attempts[0].usage == usage


def test_an_error_of_a_usage_reader_is_reported() -> None:
    """A reader that raises, or returns no valid usage, is reported; the usage is unknown."""
    reported: list[Exception] = []
    for hook in (lambda answer: answer["no"], lambda _: 5):
        read = guarded_reader(hook, lambda _, error: reported.append(error))  # type: ignore[arg-type]
        assert read({}) is None
    assert [type(error) for error in reported] == [KeyError, TypeError]


def test_failover_to_a_cheaper_provider() -> None:
    """All attempts count, failed ones too; the answer is priced at the first choice."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    assert world.run_attempts(plan, "timeout") == ["a"]
    world.succeed(plan, world.next_attempt(plan), ANSWER)
    outcome = world.next_outcome(plan)
    assert outcome.cost == pytest.approx(1e-4 + 0.0013)
    assert outcome.failover_cost == pytest.approx(1e-4 + 0.0013 - 0.013)


def test_first_choice_when_the_first_tier_is_unavailable() -> None:
    """The first choice is then the whole first tier, averaged by weight."""
    world = World(
        [
            provider("a", price=EXPENSIVE, weight=3),
            provider("b", price=Price(0, 0)),
            provider("c", price=CHEAP),
        ],
        [Route("chain", [["a", "b"], "c"])],
    )
    world.trip("a", "b")
    plan = world.plan("chain")
    world.succeed(plan, world.next_attempt(plan), ANSWER)
    outcome = world.next_outcome(plan)
    assert outcome.provider == "c"
    assert outcome.failover_cost == pytest.approx(0.0013 - 0.75 * 0.013)


def test_first_choice_of_a_tier_with_weights_of_0() -> None:
    """Providers of a tier whose weights are all 0 count equally."""
    world = World(
        [
            provider("a", price=EXPENSIVE, weight=0),
            provider("b", price=Price(0, 0), weight=0),
            provider("c", price=CHEAP),
        ],
        [Route("chain", [["a", "b"], "c"])],
    )
    world.trip("a", "b")
    plan = world.plan("chain")
    world.succeed(plan, world.next_attempt(plan), ANSWER)
    assert world.next_outcome(plan).failover_cost == pytest.approx(0.0013 - 0.0065)


def test_failover_cost_is_unknown_without_all_prices() -> None:
    """Without a price or an answer `failover_cost` is None."""
    world = World([provider("a"), provider("b", price=CHEAP)], [Route("chain", ["a", "b"])])
    plan = world.plan("chain")
    assert world.run_attempts(plan, "server") == ["a"]
    world.succeed(plan, world.next_attempt(plan), ANSWER)
    assert world.next_outcome(plan).failover_cost is None
    plan = world.plan("chain")  # answered by a provider whose usage is not read
    world.succeed(plan, world.next_attempt(plan), ANSWER)
    assert world.next_outcome(plan).failover_cost is None
    plan = world.plan("chain")
    world.run_attempts(plan, "request")
    outcome = world.next_outcome(plan)
    assert (outcome.result, outcome.failover_cost, outcome.cost) == ("failure", None, 0.0)


def test_failover_cost_of_a_continued_stream_is_unknown() -> None:
    """An answer made by two providers has no price at the first choice."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    for end in ("interrupted", "success"):
        step = world.next_attempt(plan)
        assert plan.route.billing is not None
        step.meter = plan.route.billing.meter(step.member.name)
        plan.begin_serving(step, world.now)
        if end == "interrupted":
            world.fail(plan, step, end)
            plan.begin_continuation(world.now)
        else:
            world.succeed(plan, step, None)
    outcome = world.next_outcome(plan)
    assert outcome.failover_cost is None
    assert outcome.cost == pytest.approx(1e-4 + 1e-5)


def test_a_hedge_that_lost_is_billed() -> None:
    """Both attempts of a hedged call are billed; the input of the slower one is estimated."""
    world = chain("a", "b", hedge=HedgePolicy(after=1.0))
    plan = world.plan("chain", request="q" * 40)
    slow = world.next_attempt(plan)
    hedge = plan.hedge(slow, world.now + 1.0)
    assert hedge is not None
    world.succeed(plan, hedge, ANSWER, after=2.0)
    world.cancel(plan, slow)
    outcome = world.next_outcome(plan)
    assert [record.usage for record in outcome.attempts] == [USAGE, Usage(10, estimated=True)]
    assert outcome.cost == pytest.approx(0.0013 + 1e-4)
    assert outcome.failover_cost == pytest.approx(outcome.cost - 0.013)


def test_a_background_trial_is_charged_to_its_provider_only() -> None:
    """The trial of a half-open provider is not part of the call that it is a copy of."""
    world = World(
        [provider("a", price=CHEAP, budget=Budget(1)), provider("b", price=EXPENSIVE)],
        [Route("pair", [["a", "b"]])],
    )
    world.half_open("a")
    plan = world.plan("pair")
    step = world.next_attempt(plan)
    copy = step.trials[0]
    world.succeed(plan, step, ANSWER)
    outcome = world.next_outcome(plan)
    plan.record(copy, failing("timeout"), ANSWER, TimeoutError(), world.now)
    assert outcome.cost == pytest.approx(0.013)
    account = world.member("a").gate.account
    assert account is not None
    assert account.snapshot()[0]["spent"] == pytest.approx(0.0013)


def test_shadow_copies_are_priced_and_not_charged() -> None:
    """The cost of a shadow copy is in its record, and is charged to no account."""
    world = World([provider("a", price=CHEAP, budget=Budget(1))], budget=(Budget(1),))
    plan = world.plan()
    step = world.next_attempt(plan)
    step.role = "shadow"
    world.succeed(plan, step, ANSWER)
    assert plan.attempts[0].cost == pytest.approx(0.0013)
    account = world.member("a").gate.account
    assert account is not None
    assert account.snapshot()[0]["spent"] == 0.0
