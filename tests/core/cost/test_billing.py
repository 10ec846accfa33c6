"""Billing: which attempts are billed, and what failover adds to the cost."""

from __future__ import annotations

import pytest

from multirouter.core.cost.budget import Budget
from multirouter.core.cost.metering import UsageMeter, guarded_reader
from multirouter.core.cost.price import Price
from multirouter.core.events import PriceMissing
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import HedgePolicy
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.model import AttemptRecord, FailureKind, Usage
from tests.core.cost.billing_kit import ANSWER, CHEAP, EXPENSIVE, USAGE, chain
from tests.core.kit import NEVER_TRIPS, World, failing, provider


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


def test_without_a_price_tokens_are_counted() -> None:
    """What an answer reports is counted, and costs 0 USD; nothing is estimated."""
    world = World([provider("a"), provider("b", usage=lambda _: Usage(5, 6))])
    for name, answer, usage in (
        ("a", ANSWER, USAGE),
        ("a", "words without usage", None),
        ("b", "read by a function of the user", Usage(5, 6)),
    ):
        plan = world.plan([name], request={"messages": []})
        world.succeed(plan, world.next_attempt(plan), answer)
        record = world.next_outcome(plan).attempts[0]
        assert (record.usage, record.priced, record.cost) == (usage, False, 0.0)


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


def test_the_first_choice_is_the_provider_that_was_attempted_first() -> None:
    """Where it is one of several of the first tier, only its price counts."""
    world = World([provider("a", price=EXPENSIVE), provider("b", price=CHEAP)], circuit=NEVER_TRIPS)
    for _ in range(8):
        plan = world.plan()
        (first,) = world.run_attempts(plan, "server")
        world.succeed(plan, world.next_attempt(plan), ANSWER)
        outcome = world.next_outcome(plan)
        assert outcome.provider != first
        assert outcome.failover_cost == pytest.approx(-0.0117 if first == "a" else 0.0117)


def test_a_failed_call_has_no_failover_cost() -> None:
    """What it has cost is known, but no answer would have cost something else."""
    world = chain("a")
    plan = world.plan("chain", request="q" * 40)
    assert world.run_attempts(plan, "timeout") == ["a"]
    outcome = world.next_outcome(plan)
    assert (outcome.result, outcome.failover_cost) == ("failure", None)
    assert outcome.cost == pytest.approx(1e-4)


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
        step.meter = UsageMeter(step.member.pricing)
        plan.begin_serving(step, world.now)
        if end == "interrupted":
            world.fail(plan, step, end)
            plan.begin_continuation(world.now)
        else:
            world.succeed(plan, step, None)
    outcome = world.next_outcome(plan)
    assert outcome.failover_cost is None
    assert outcome.cost == pytest.approx(1e-4 + 1e-5)


def test_failover_cost_of_a_stream_by_one_provider() -> None:
    """A stream that another provider answered completely is priced at the first choice."""
    world = chain("a", "b")
    plan = world.plan("chain")
    assert world.run_attempts(plan, "server") == ["a"]
    step = world.next_attempt(plan)
    step.meter = UsageMeter(step.member.pricing)
    step.meter.record(ANSWER, StreamPolicy().reader(ANSWER))
    plan.begin_serving(step, world.now)
    world.succeed(plan, step, None)
    assert world.next_outcome(plan).failover_cost == pytest.approx(0.0013 - 0.013)


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


# ── models ────────────────────────────────────────────────────────────────────────────────────────

PRICES = {"gpt-5": Price(1.25, 10), "gpt-5-nano": Price(0.05, 0.4)}


def attempted(world: World, request: object, answer: object) -> AttemptRecord:
    """The record of one call's only attempt."""
    plan = world.plan(request=request)
    world.succeed(plan, world.next_attempt(plan), answer)
    return world.next_outcome(plan).attempts[0]


def test_the_price_is_that_of_the_model_that_answered() -> None:
    """Neither the first price nor the requested model's is taken for another model's answer."""
    world = World([provider("a", price=PRICES)])
    record = attempted(world, {"model": "gpt-5"}, ANSWER | {"model": "gpt-5-nano-2025-08-07"})
    assert (record.model, record.priced) == ("gpt-5-nano-2025-08-07", True)
    assert record.cost == pytest.approx((1000 * 0.05 + 100 * 0.4) / 1e6)
    record = attempted(world, {"model": "gpt-5"}, ANSWER)
    assert record.model == "gpt-5"
    assert record.cost == pytest.approx((1000 * 1.25 + 100 * 10) / 1e6)


def test_versions_of_a_model_are_one_model() -> None:
    """A record has the requested name where the answer's differs by a version or a vendor only."""
    world = World([provider("a")])
    for requested, answered, recorded in (
        ("gpt-5", "gpt-5-2025-08-07", "gpt-5"),
        ("small-latest", "small-2506", "small-latest"),
        ("openai/gpt-5", "gpt-5", "openai/gpt-5"),
        ("auto", "gpt-5", "gpt-5"),
        (None, "gpt-5", "gpt-5"),
        (7, 7, None),
    ):
        record = attempted(world, {"model": requested}, {"model": answered})
        assert record.model == recorded


def test_the_model_of_a_failed_attempt_is_the_requested_one() -> None:
    """Of the request, or of `Provider(model=)`; a function of the user may know it."""
    for model, request, recorded in (
        (None, {"model": "gpt-5"}, "gpt-5"),
        (None, "a text", None),
        ("fixed", "a text", "fixed"),
        (str.upper, "a text", "A TEXT"),
        (lambda _: None, {"model": "gpt-5"}, None),
    ):
        world = World([provider("a", model=model)])
        plan = world.plan(request=request)
        world.fail(plan, world.next_attempt(plan), "server")
        assert plan.attempts[0].model == recorded


def test_a_function_for_the_model_or_price_that_raises_is_reported() -> None:
    """Once for each call, and once for a shadow copy. The call goes on without model or price."""
    errors: list[Exception] = []

    def fails(_: object) -> None:
        raise ValueError("slip")

    for settings in ({"model": fails, "price": CHEAP}, {"price": fails}):
        world = World([provider("a", **settings)])
        pricing = world.member("a").pricing
        pricing._on_hook_error = lambda _, error: errors.append(error)
        record = attempted(world, "text", {"model": "gpt-5", **ANSWER})
        assert record.usage == USAGE
        assert len(errors) == 1
        plan = world.plan(request="text")
        step = world.next_attempt(plan)
        errors.clear()
        step.role = "shadow"
        world.succeed(plan, step, {"model": "gpt-5", **ANSWER})
        assert len(errors) == 1
        errors.clear()


def test_a_missing_price_is_reported_once_for_each_model() -> None:
    """The attempt costs nothing, and the event names provider and model."""
    world = World([provider("a", price=PRICES), provider("b")])
    for model in ("gpt-5", "gpt-4", "gpt-4", "gpt-3"):
        plan = world.plan(["a"], request={"model": model})
        world.succeed(plan, world.next_attempt(plan), ANSWER)
        world.next_outcome(plan)
        record = plan.attempts[0]
        assert record.priced is bool(record.cost) is (model == "gpt-5")
    plan = world.plan(["b"], request={"model": "gpt-4"})
    world.succeed(plan, world.next_attempt(plan), ANSWER)
    missing = [event for _, event in world.recorder.events if isinstance(event, PriceMissing)]
    assert [(event.provider, event.model) for event in missing] == [("a", "gpt-4"), ("a", "gpt-3")]


def test_failover_cost_by_model() -> None:
    """The first choice is priced by the model that was requested there."""
    world = World(
        [provider("a", price=PRICES), provider("b", price=CHEAP)], [Route("chain", ["a", "b"])]
    )
    world.trip("a")
    for model, price in (("gpt-5-nano", PRICES["gpt-5-nano"]), ("gpt-4", None)):
        plan = world.plan("chain", request={"model": model})
        world.succeed(plan, world.next_attempt(plan), ANSWER)
        cost = world.next_outcome(plan).failover_cost
        assert cost == (None if price is None else pytest.approx(0.0013 - price.of(USAGE)))
