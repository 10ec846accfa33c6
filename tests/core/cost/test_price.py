"""What attempts cost: prices, what is billed and what is not, and what failover adds to it."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.budgets import Budget
from multirouter.core.cost.metering import guarded
from multirouter.core.cost.price import Price
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import HedgePolicy, LimitPolicy
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError, NoProviderAvailable, UsageError
from multirouter.model import CallOutcome, FailureKind, Usage
from tests.core.kit import NEVER_TRIPS, World, failing, provider

DEAR, CHEAP = Price(10, 30), Price(1, 3)
ANSWER = {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}
TAKEN = Usage(1000, 100)


def chain(*names: str, hedge: HedgePolicy | None = None, **settings: Any) -> World:
    """A dear provider before cheap ones, in that order, as the route `chain`."""
    providers = [
        provider(name, price=CHEAP if number else DEAR) for number, name in enumerate(names)
    ]
    routes = [Route("chain", list(names), hedge=hedge)]
    return World(providers, routes, circuit=NEVER_TRIPS, **settings)


# ── prices ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("price", "usage", "usd"),
    [
        (Price(10, 30), Usage(1000, 100), 0.013),
        (Price(10, 30, per_request=0.5), Usage(), 0.5),
        (Price(10, 30), Usage(1000, 0, cached=400, written=100), 0.01),
        (Price(10, 30, 1), Usage(1000, 0, cached=400), 0.0064),
        (Price(10, 30, cached_input=0, cache_write=12.5), Usage(1000, 0, 400, 100), 0.00625),
        (Price(0, 30), Usage(1000, 100, reasoning=60), 0.003),
    ],
)
def test_prices(price: Price, usage: Usage, usd: float) -> None:
    """Tokens cost by the million; cached ones have their own price, or that of the input."""
    assert price.of(usage) == pytest.approx(usd, rel=1e-12)


@pytest.mark.parametrize("wrong", [(-1, 1), (1, float("inf")), (1, 1, -1), ("1", 1), (1, 1, 1, -1)])
def test_bad_prices_are_refused(wrong: Any) -> None:
    """A price below 0, without end, or that is no number is refused by name."""
    with pytest.raises(ConfigurationError, match=r"Price\.(input|output|cached_input|per_request)"):
        Price(*wrong)


@pytest.mark.parametrize(
    "wrong", [{"price": 3.0}, {"usage": "tokens"}, {"budget": Budget(1)}, {"budget": 10}]
)
def test_bad_terms_are_refused(wrong: dict[str, Any]) -> None:
    """A provider's terms are checked when it is made; a budget needs a price to count by."""
    with pytest.raises(ConfigurationError, match=r"Provider\('a'\)\.(price|usage|budget)"):
        provider("a", **wrong)


def test_terms_survive_a_change() -> None:
    """A provider that is changed keeps its price, its reader and its budgets."""
    old: Provider[Any, Any, Any] = provider("a", price=CHEAP, budget=[Budget(1)], usage=len)
    new = old.replace(weight=3)
    assert (new.price, new.budget, new.usage) == (CHEAP, (Budget(1),), len)


# ── what is billed ──────────────────────────────────────────────────────────────────────────────


def test_an_answer_costs_what_it_tells() -> None:
    """Usage and cost stand in the record, and the call's cost is that of its attempts."""
    world = chain("a")
    plan = world.plan("chain", request="x" * 99)
    world.answers(plan, world.trying(plan), ANSWER)
    outcome = world.ended(plan)
    assert outcome.attempts[0].usage == TAKEN
    assert outcome.cost == outcome.attempts[0].cost == pytest.approx(0.013)
    assert outcome.failover_cost == 0.0


def test_an_answer_that_tells_nothing_is_estimated() -> None:
    """Without a word of usage, request and answer are measured; a hook's size comes first."""
    for size, sent in ((0, 10), (77, 77)):
        world = chain("a")
        plan = world.plan("chain", request="q" * 40, size=size)
        world.answers(plan, world.trying(plan), "r" * 20)
        assert world.ended(plan).attempts[0].usage == Usage(sent, 5, estimated=True)


@pytest.mark.parametrize(
    "kind", ["rate_limit", "exhausted", "overloaded", "server", "transport", "credentials"]
)
def test_refusals_cost_nothing(kind: str) -> None:
    """A failure that no model has worked for is not billed."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    assert world.asked(plan, kind) == ["a"]
    assert (plan.attempts[0].usage, plan.attempts[0].cost) == (None, 0.0)


@pytest.mark.parametrize("kind", ["timeout", "interrupted", "invalid"])
def test_work_that_was_lost_is_estimated(kind: str) -> None:
    """Where the model has worked, or may have, at least its input is paid."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    assert world.asked(plan, kind) == ["a"]
    assert plan.attempts[0].usage == Usage(10, 0, estimated=True)
    assert plan.attempts[0].cost == pytest.approx(1e-4)


def test_what_was_never_sent_costs_nothing() -> None:
    """A connection that was refused is no request, not even one that timed out."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    world.fails(plan, world.trying(plan), failing(FailureKind.TIMEOUT, unsent=True))
    assert plan.attempts[0].usage is None


def test_an_answer_that_was_refused_is_paid() -> None:
    """An answer that `accept=` refuses was made all the same: its own usage counts."""
    world = chain("a", "b")
    plan = world.plan("chain")
    plan.record(world.trying(plan), failing("invalid"), ANSWER, ValueError("bad"), world.now)
    assert plan.attempts[0].usage == TAKEN


def test_without_a_price_nobody_reads() -> None:
    """A provider without terms is not asked what it used; one with a reader alone is, for 0 USD."""
    asked: list[object] = []

    def read(answer: object) -> Usage:
        asked.append(answer)
        return Usage(5, 6)

    world = World([provider("a"), provider("b", usage=read)], usage=asked.append)
    for name, usage in (("a", None), ("b", Usage(5, 6))):
        plan = world.plan([name])
        world.answers(plan, world.trying(plan), ANSWER)
        record = world.ended(plan).attempts[0]
        assert (record.usage, record.cost) == (usage, 0.0)
    assert asked == [ANSWER]


def test_the_router_has_a_reader_for_all() -> None:
    """A provider's own reader comes before the router's; None means that nothing was told."""
    world = World(
        [provider("a", price=CHEAP), provider("b", price=CHEAP, usage=lambda _: None)],
        usage=lambda _: Usage(7, 7),
    )
    for name, usage in (("a", Usage(7, 7)), ("b", Usage(0, 1, estimated=True))):
        plan = world.plan([name])
        world.answers(plan, world.trying(plan), "word")
        assert world.ended(plan).attempts[0].usage == usage


def test_a_reader_that_breaks() -> None:
    """A hook that raises, or returns no usage, is reported and harms nothing."""
    told: list[Exception] = []
    for hook in (lambda answer: answer["no"], lambda _: 5):
        read = guarded(hook, lambda _, error: told.append(error))  # type: ignore[arg-type]
        assert read({}) is None
    assert [type(error) for error in told] == [KeyError, TypeError]


# ── streams ─────────────────────────────────────────────────────────────────────────────────────


def chunk(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A canonical chunk."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"choices": [choice], **more}


def streamed(*chunks: Any, end: str = "success", served: bool = True) -> Usage | None:
    """What a stream of these chunks has used, that ended so."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    step = world.trying(plan)
    assert plan.route.billing is not None
    step.meter = meter = plan.route.billing.meter("a")
    assert meter is not None
    reader = StreamPolicy().reader(chunks[0])
    for each in chunks:
        meter.note(each, reader)
    if served:
        plan.serving(step, world.now)
    if end == "success":
        world.answers(plan, step, None)
    elif end == "cancelled":
        world.cancelled(plan, step)
    else:
        world.fails(plan, step, end)
    return plan.attempts[0].usage


USED: dict[str, Any] = {"usage": {"prompt_tokens": 12, "completion_tokens": 3}}


def test_a_whole_stream_tells_at_its_end() -> None:
    """The chunk after the last, without choices, has the usage; or the last one has."""
    told = Usage(12, 3)
    assert streamed(chunk("abcd"), chunk(finish="stop"), {"choices": [], **USED}) == told
    assert streamed(chunk("abcd"), chunk(finish="stop", **USED)) == told


def test_a_stream_that_tells_nothing_is_estimated() -> None:
    """Letters of text, thoughts and tool calls are counted, and those of the request."""
    call = {"function": {"arguments": "{}{}"}}
    thought = {"choices": [{"index": 0, "delta": {"reasoning_content": "abcd"}}]}
    tool = {"choices": [{"index": 0, "delta": {"tool_calls": [call, {}]}}]}
    assert streamed(chunk("abcd"), thought, tool) == Usage(10, 3, estimated=True)
    assert streamed("abcd", "efgh") == Usage(10, 2, estimated=True)


@pytest.mark.parametrize("end", ["cancelled", "timeout", "interrupted", "server", "transport"])
def test_a_cut_stream_pays_for_what_came(end: str) -> None:
    """After content, whatever ends a stream, the input and the text so far are booked."""
    assert streamed(chunk("a" * 40), end=end) == Usage(10, 10, estimated=True)


def test_a_cut_stream_that_has_told_its_input() -> None:
    """What was told stays; the output is what was told or what came, whichever is more."""
    begun = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 33, "output_tokens": 1}},
    }
    assert streamed(begun, end="interrupted") == Usage(33, 1, estimated=True)
    running = [chunk("a" * 40, **USED), chunk("a" * 40, **USED)]
    assert streamed(*running, end="timeout") == Usage(12, 20, estimated=True)
    later: dict[str, Any] = {"usage": {"completion_tokens": 2, "prompt_tokens": 0}}
    assert streamed(chunk("a" * 40, **later), end="timeout") == Usage(10, 10, estimated=True)


def test_a_consumer_that_leaves_after_the_end() -> None:
    """When usage was told with the end, nothing is missing, whoever closes the stream then."""
    assert streamed(chunk("abcd"), chunk(finish="stop", **USED), end="cancelled") == Usage(12, 3)


def test_a_stream_refused_before_content() -> None:
    """An error event before the first content is a refusal: it is not billed."""
    begun = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 33, "output_tokens": 1}},
    }
    assert streamed(begun, end="overloaded", served=False) is None


def test_who_has_no_price_has_no_meter() -> None:
    """Chunks of a provider without terms are counted by nobody."""
    world = World([provider("a", price=CHEAP), provider("b")])
    billing = world.route().billing
    assert billing is not None
    assert billing.meter("b") is None


# ── failover ────────────────────────────────────────────────────────────────────────────────────


def test_failover_to_a_cheaper_one() -> None:
    """All attempts count, lost ones too; the answer's tokens are priced at the first choice."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    assert world.asked(plan, "timeout") == ["a"]
    world.answers(plan, world.trying(plan), ANSWER)
    outcome = world.ended(plan)
    assert outcome.cost == pytest.approx(1e-4 + 0.0013)
    assert outcome.failover_cost == pytest.approx(1e-4 + 0.0013 - 0.013)


def test_a_first_tier_that_nobody_could_ask() -> None:
    """Its price is that of the whole tier by weight, when the call begins elsewhere."""
    world = World(
        [
            provider("a", price=DEAR, weight=3),
            provider("b", price=Price(0, 0)),
            provider("c", price=CHEAP),
        ],
        [Route("chain", [["a", "b"], "c"])],
    )
    world.trip("a", "b")
    plan = world.plan("chain")
    world.answers(plan, world.trying(plan), ANSWER)
    outcome = world.ended(plan)
    assert outcome.provider == "c"
    assert outcome.failover_cost == pytest.approx(0.0013 - 0.75 * 0.013)


def test_a_reserve_as_the_first_tier() -> None:
    """Providers of weight 0 that stand alone in a tier count alike."""
    world = World(
        [
            provider("a", price=DEAR, weight=0),
            provider("b", price=Price(0, 0), weight=0),
            provider("c", price=CHEAP),
        ],
        [Route("chain", [["a", "b"], "c"])],
    )
    world.trip("a", "b")
    plan = world.plan("chain")
    world.answers(plan, world.trying(plan), ANSWER)
    assert world.ended(plan).failover_cost == pytest.approx(0.0013 - 0.0065)


def test_failover_without_all_prices() -> None:
    """Where a price or an answer is missing, nothing is claimed."""
    world = World([provider("a"), provider("b", price=CHEAP)], [Route("chain", ["a", "b"])])
    plan = world.plan("chain")
    assert world.asked(plan, "server") == ["a"]
    world.answers(plan, world.trying(plan), ANSWER)
    assert world.ended(plan).failover_cost is None
    plan = world.plan("chain")  # answered by one that tells of no usage
    world.answers(plan, world.trying(plan), ANSWER)
    assert world.ended(plan).failover_cost is None
    plan = world.plan("chain")
    world.asked(plan, "request")
    outcome = world.ended(plan)
    assert (outcome.result, outcome.failover_cost, outcome.cost) == ("failure", None, 0.0)


def test_a_spliced_stream_has_no_first_choice() -> None:
    """An answer in pieces of two providers is one that no other call can be held against."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40)
    for end in ("interrupted", "success"):
        step = world.trying(plan)
        assert plan.route.billing is not None
        step.meter = plan.route.billing.meter(step.member.name)
        plan.serving(step, world.now)
        if end == "interrupted":
            world.fails(plan, step, end)
            plan.broken(world.now)
        else:
            world.answers(plan, step, None)
    outcome = world.ended(plan)
    assert outcome.failover_cost is None
    assert outcome.cost == pytest.approx(1e-4 + 1e-5)


def test_a_lost_hedge_is_paid() -> None:
    """Of two that race, both are booked: the loser's input as an estimate."""
    world = chain("a", "b", hedge=HedgePolicy(after=1.0))
    plan = world.plan("chain", request="q" * 40)
    slow = world.trying(plan)
    hedge = plan.hedge(slow, world.now + 1.0)
    assert hedge is not None
    world.answers(plan, hedge, ANSWER, after=2.0)
    world.cancelled(plan, slow)
    outcome = world.ended(plan)
    assert [record.usage for record in outcome.attempts] == [TAKEN, Usage(10, estimated=True)]
    assert outcome.cost == pytest.approx(0.0013 + 1e-4)
    assert outcome.failover_cost == pytest.approx(outcome.cost - 0.013)


def test_a_copy_is_the_providers_alone() -> None:
    """The trial of a recovering provider is booked to it, and not to the call beside it."""
    world = World(
        [provider("a", price=CHEAP, budget=Budget(1)), provider("b", price=DEAR)],
        [Route("pair", [["a", "b"]])],
    )
    world.half_open("a")
    plan = world.plan("pair")
    step = world.trying(plan)
    copy = step.copies[0]
    world.answers(plan, step, ANSWER)
    outcome = world.ended(plan)
    plan.record(copy, failing("timeout"), ANSWER, TimeoutError(), world.now)
    assert outcome.cost == pytest.approx(0.013)
    account = world.member("a").gate.account
    assert account is not None
    assert account.standing()[0]["spent"] == pytest.approx(0.0013)


def test_shadows_are_priced_and_charged_to_nobody() -> None:
    """What a copy for comparison would cost is known, and stands in no account."""
    world = World([provider("a", price=CHEAP, budget=Budget(1))], budget=(Budget(1),))
    plan = world.plan()
    step = world.trying(plan)
    step.role = "shadow"
    world.answers(plan, step, ANSWER)
    assert plan.attempts[0].cost == pytest.approx(0.0013)
    account = world.member("a").gate.account
    assert account is not None
    assert account.standing()[0]["spent"] == 0.0


# ── budgets at the doors ────────────────────────────────────────────────────────────────────────


def spend(world: World, route: Any = None) -> CallOutcome[Any]:
    """One call that is answered for 1,000 tokens in and 100 out, when anybody can be asked."""
    plan = world.plan(route)
    step = world.step(plan)
    if isinstance(step, CallOutcome):
        return step
    world.answers(plan, step, ANSWER)  # type: ignore[arg-type] # nobody waits here
    return world.ended(plan)


def test_a_provider_over_budget_is_passed_over() -> None:
    """It is not drawn until its period ends, and the reason says so; then it is, as before."""
    world = World(
        [provider("a", price=DEAR, budget=Budget(0.02, "hour")), provider("b", price=CHEAP)],
        [Route("chain", ["a", "b"])],
    )
    assert [spend(world, "chain").provider for _ in range(4)] == ["a", "a", "b", "b"]
    gate = world.member("a").gate
    assert gate.describe(world.now).startswith("budget of 0.02 USD an hour used up until")
    assert not gate.closed(world.now)
    assert gate.ready_in(world.now) == gate.changes_at(world.now) - world.now > 0
    world.wall += 3600.0
    world.now += 3600.0
    assert spend(world, "chain").provider == "a"


def test_the_draw_without_the_one_over_budget() -> None:
    """In a tier the shares are those of the others at once."""
    world = World([provider("a", price=DEAR, budget=Budget(0.01)), provider("b", price=CHEAP)])
    while spend(world).provider != "a":
        pass
    tier = world.route().tiers[0]
    shares = [tier.table(world.now).share(member) for member in tier.members]
    assert shares == [0.0, 1.0]


def test_limits_and_budget_of_one_provider() -> None:
    """Both keep out; a budget that is taken away keeps nobody out any more."""
    limits = LimitPolicy(in_flight=1)
    rich = provider("a", price=DEAR, budget=Budget(0.01), limits=limits)
    world = World([rich])
    spend(world)
    assert isinstance(spend(world).error, NoProviderAvailable)
    world.configure([rich.replace(budget=None)])
    assert spend(world).ok
    assert world.memory.ledger is not None
    assert world.memory.ledger.accounts == {}


@pytest.mark.parametrize("owner", ["route chain", "router"])
def test_a_route_or_router_over_budget_refuses(owner: str) -> None:
    """All calls fail at once with the budget's words, and come again when the period is over."""
    budget = Budget(0.02)
    world = World(
        [provider("a", price=DEAR), provider("b", price=DEAR)],
        [Route("chain", ["a", "b"], budget=budget if owner == "route chain" else None)],
        budget=(budget,) if owner == "router" else (),
    )
    assert spend(world, "chain").ok
    assert spend(world, "chain").ok
    error = spend(world, "chain").error
    assert isinstance(error, NoProviderAvailable)
    assert set(error.states) == {"a", "b"}
    assert all("0.02 USD a day used up" in state for state in error.states.values())
    assert error.retry_after == pytest.approx(86400 - world.wall % 86400)
    assert spend(world, ["a"]).ok is (owner != "router")
    assert [news.owner for news in world.heard.of("budget_reached")] == [owner]
    world.wall += 86400.0
    assert spend(world, "chain").ok


def test_budgets_that_cannot_count_are_refused() -> None:
    """A route needs a provider with a price, and a route given with a call has no account."""
    with pytest.raises(ConfigurationError, match=r"Route\('r'\)\.budget"):
        World([provider("a")], [Route("r", ["a"], budget=Budget(1))])
    world = World([provider("a", price=CHEAP)])
    with pytest.raises(UsageError, match="a router that knows the route"):
        world.plan(Route("r", ["a"], budget=Budget(1)))


def test_accounts_outlive_a_change() -> None:
    """What was spent stays spent when the configuration changes; who leaves takes his account."""
    paid = provider("a", price=DEAR, budget=Budget(0.02))
    world = World([paid])
    spend(world)
    world.configure([paid.replace(weight=2)])
    spend(world)
    assert isinstance(spend(world).error, NoProviderAvailable)
    world.memory.forget("a")
    assert world.memory.ledger is not None
    assert world.memory.ledger.accounts == {}
