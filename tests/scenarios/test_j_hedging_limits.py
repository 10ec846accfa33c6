"""Section J: races of attempts, and calls that wait for room."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import anyio
import pytest

from multirouter import (
    AllProvidersFailed,
    CallOutcome,
    HedgePolicy,
    LimitPolicy,
    NoProviderAvailable,
    Provider,
    RetryPolicy,
    Route,
    UsageError,
)
from multirouter.testing import Answer, Fault
from tests.scenarios.kit import BRITTLE, FAULTY, house, play

SOON = HedgePolicy(after=1.0)
ONE = LimitPolicy(in_flight=1)


# ── races ───────────────────────────────────────────────────────────────────────────────────────


async def test_the_loser_is_cancelled_awaited_and_neutral() -> None:
    """Case 77: its clean-up is over when the call returns, and no rate, permit or slot has it."""
    cleaned: list[float] = []

    async def slow(request: object) -> str:
        try:
            await anyio.sleep(20)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            cleaned.append(anyio.current_time())
        return "late"

    async with house(
        play("b", latency=2.0), hedge=SOON, retry=RetryPolicy(), circuit=BRITTLE
    ) as home:
        home.router.add(Provider("a", slow, limits=ONE))
        start = anyio.current_time()
        outcome = await home.outcome("a", "b")
        assert (outcome.value, outcome.provider) == ("b: q", "b")
        assert cleaned == [pytest.approx(start + 3.5, abs=0.01)]
        assert [(r.provider, r.role, r.outcome) for r in outcome.attempts] == [
            ("b", "hedge", "success"),
            ("a", "call", "cancelled"),
        ]
        assert "hedge: a silent for 1.0" in outcome.attempts[0].why
        assert (home.state("a"), home.seen("a")["calls"]) == ("closed", 0)
        assert (home.router.in_flight("a"), home.router.available("a")) == (0, True)
        assert home.total("attempts_total", provider="a", outcome="cancelled") == 1


async def test_who_answers_first_wins() -> None:
    """Case 77: the first attempt may still win its race; then the hedge is the loser."""
    async with house(
        play("a", latency=3.0), play("b", "hang"), hedge=SOON, retry=RetryPolicy()
    ) as home:
        outcome = await home.outcome("a", "b")
        assert (outcome.value, outcome.elapsed) == ("a: q", pytest.approx(3, abs=0.01))
        assert [r.role for r in outcome.attempts] == ["call", "hedge"]
        assert outcome.failovers == 0


async def test_who_is_quick_is_not_hedged() -> None:
    """Case 77: an answer within the time is alone."""
    async with house(play("a", latency=0.9), "b", hedge=SOON) as home:
        for _ in range(5):
            assert len((await home.outcome("a", "b")).attempts) == 1
        assert home["b"].count == 0


async def test_without_budget_only_the_hedge_is_left_out() -> None:
    """Case 78: the first attempt goes on alone, and its answer is the call's."""
    retry = RetryPolicy(budget=0.0, budget_floor=0)
    async with house(play("a", latency=3.0), "b", hedge=SOON, retry=retry) as home:
        outcome = await home.outcome("a", "b")
        assert (outcome.value, len(outcome.attempts)) == ("a: q", 1)
        assert home["b"].count == 0


async def test_hedges_are_paid_for() -> None:
    """Case 78: of ten slow calls three are hedged when half of the budget has room for three."""
    retry = RetryPolicy(budget=0.0, budget_floor=6, budget_window=1000)
    async with house(play("a", latency=3.0), "b", hedge=SOON, retry=retry) as home:
        outcomes = [await home.outcome("a", "b") for _ in range(10)]
        assert [outcome.provider for outcome in outcomes] == ["b"] * 3 + ["a"] * 7


async def test_hedges_leave_budget_for_failures() -> None:
    """Case 78: hedges have used up their half; the only one left is asked again after an error."""
    retry = RetryPolicy(budget=0.0, budget_floor=2, budget_window=1000)
    failing = play("c", Fault("error"))
    async with house(play("a", latency=3.0), "b", failing, hedge=SOON, retry=retry) as home:
        assert [len((await home.outcome("a", "b")).attempts) for _ in range(3)] == [2, 1, 1]
        outcome = await home.outcome("c")
        assert [str(record.verdict.kind) for record in outcome.attempts] == ["server", "success"]


async def test_one_paid_attempt_means_no_hedge() -> None:
    """A hedge is paid for and counted as a retry is: `attempts=1` leaves no room for any."""
    settings = {"hedge": HedgePolicy(after=1.0), "retry": RetryPolicy(attempts=1)}
    async with house(play("a", Fault("slow", after=5.0)), "b", **settings) as home:
        outcome = await home.outcome("a", "b")
        assert (outcome.provider, outcome.elapsed, len(outcome.attempts)) == ("a", 5.0, 1)


async def test_a_refused_hedge_leaves_failover_alone() -> None:
    """Case 78: when the first attempt then fails, a healthy provider is asked all the same."""
    retry = RetryPolicy(budget=0.0, budget_floor=0)
    bad = play("a", Fault("error", after=3.0))
    async with house(bad, "b", hedge=SOON, retry=retry) as home:
        outcome = await home.outcome("a", "b")
        assert [(r.provider, r.role) for r in outcome.attempts] == [("a", "call"), ("b", "call")]


@pytest.mark.parametrize(("at_most", "asked"), [(2, ["a", "b"]), (3, ["a", "b", "c"])])
async def test_so_many_at_most(at_most: int, asked: Sequence[str]) -> None:
    """At most so many attempts of one call are in flight at a time."""
    hedge = HedgePolicy(after=1.0, at_most=at_most)
    providers = [play(name, latency=9.0) for name in "abcd"]
    async with house(*providers, hedge=hedge, retry=RetryPolicy()) as home:
        outcome = await home.outcome("a", "b", "c", "d")
        assert outcome.provider == "a"
        assert sorted(r.provider for r in outcome.attempts) == asked


async def test_a_failure_in_a_race_is_replaced_at_once() -> None:
    """When one runner fails, somebody else takes its place without waiting."""
    first = play("a", latency=9.0)
    second = play("b", Fault("error", after=0.5))
    async with house(first, second, "c", hedge=SOON, retry=RetryPolicy()) as home:
        outcome = await home.outcome("a", "b", "c")
        assert (outcome.provider, outcome.elapsed) == ("c", pytest.approx(1.5, abs=0.01))


async def test_when_all_runners_fail_the_call_does() -> None:
    """A race without a winner ends as any call does: with everybody's error."""
    bad = [play(name, Fault("error", after=2.0)) for name in "ab"]
    async with house(*bad, hedge=SOON, retry=RetryPolicy(attempts=2)) as home:
        outcome = await home.outcome("a", "b")
        assert isinstance(outcome.error, AllProvidersFailed)
        assert outcome.elapsed == pytest.approx(3, abs=0.01)


async def test_a_faulty_request_ends_a_race() -> None:
    """The request's own fault is final, and the other runner is cancelled."""
    async with house("a", "b", hedge=SOON, retry=RetryPolicy()) as home:
        home["a"].then("hang")
        home["b"].then(FAULTY)
        outcome = await home.outcome("a", "b")
        assert outcome.elapsed == pytest.approx(1, abs=0.01)
        assert getattr(outcome.error, "status", None) == 400


async def test_nobody_to_hedge_with() -> None:
    """With everybody else out, the slow attempt goes on and is asked about no more."""
    async with house(play("a", latency=3.0), "b", "c", hedge=SOON, retry=RetryPolicy()) as home:
        home.router.hold("b", "open")
        home.router.hold("c", "open")
        assert await home.call("a", "b", "c") == "a: q"


async def test_not_without_idempotence() -> None:
    """`idempotent=False`: nothing that may have had an effect is doubled."""
    async with house(play("a", latency=3.0), "b", hedge=SOON, retry=RetryPolicy()) as home:
        outcome = await home.outcome("a", "b", idempotent=False)
        assert (outcome.provider, home["b"].count) == ("a", 0)


async def test_hedging_by_percentile_waits_for_enough_samples() -> None:
    """Until it knows enough answers nothing is hedged; then what is slower than they were is."""
    hedge = HedgePolicy(percentile=0.9, minimum_samples=20)
    routes = [Route("default", ["a", "b"], hedge=hedge)]
    async with house(play("a", latency=1.0), "b", routes=routes, retry=RetryPolicy()) as home:
        home["a"].then(Answer(after=5.0))
        assert (await home.router.call_outcome("q")).provider == "a"
        for _ in range(30):
            assert (await home.router.call_outcome("q")).provider == "a"
        home["a"].then(Answer(after=5.0))
        outcome = await home.router.call_outcome("q")
        assert outcome.provider == "b"
        assert 1.0 <= outcome.elapsed <= 1.1


async def test_a_race_ends_with_its_caller() -> None:
    """A caller who leaves takes all runners along, and all are neutral."""
    settings = {"hedge": SOON, "retry": RetryPolicy(), "circuit": BRITTLE}
    async with house(play("a", "hang"), play("b", "hang"), **settings) as home:
        caller = await home.begun("a", "b")
        await anyio.sleep(1.5)
        assert home.router.in_flight("b") == 1
        await caller.cancel()
        assert [home.seen(name)["calls"] for name in "ab"] == [0, 0]
        assert [r.outcome for r in home.news.attempts] == ["cancelled"] * 2


async def test_a_wrong_provider_ends_a_race() -> None:
    """What is no failure of a provider's, such as a function that cannot be awaited, is raised."""
    async with house("b", hedge=SOON) as home:
        home.router.add(Provider("a", lambda request: 5))  # type: ignore[arg-type,return-value]
        with pytest.raises(UsageError, match="'a'"):
            await home.call("a", "b")


# ── waiting for room ────────────────────────────────────────────────────────────────────────────


async def test_who_waited_longest_goes_first() -> None:
    """Case 79: room goes to the waiting calls in the order in which they came."""
    async with house(play("a", latency=1.0), limits=ONE) as home:
        first = await home.begun()
        callers = [await home.begun(request=number, wait=100) for number in range(5)]
        assert not (await home.outcome()).ok  # who may not wait is refused
        assert (await first.end()).ok
        for caller in callers:
            assert (await caller.end()).ok
        assert [asked.request for asked in home["a"].asked] == ["q", 0, 1, 2, 3, 4]
        assert home["a"].most_in_flight == 1


async def test_a_newcomer_overtakes_nobody() -> None:
    """Case 79: one that comes when there is room, and somebody waits for it, stands behind."""
    async with house(play("a", latency=1.0), limits=ONE) as home:
        first = await home.begun(request="first")
        await home.begun(request="second", wait=10)
        await first.end()
        late = await home.outcome()
        assert isinstance(late.error, NoProviderAvailable)


async def test_a_newcomer_overtakes_nobody_whom_time_made_room() -> None:
    """Case 79: the same at the very instant at which a bucket has filled up again, unannounced."""
    one_a_second = LimitPolicy(requests_per_minute=60, burst=1 / 60)
    async with house("a", limits=one_a_second) as home:
        await home.call()
        newcomers: list[CallOutcome[object]] = []

        async def newcomer() -> None:
            await anyio.sleep(1.0)  # begun before the other's wait, so it is first to run
            newcomers.append(await home.outcome())

        home.group.start_soon(newcomer)
        waiting = await home.begun(wait=1.5)
        assert (await waiting.end()).elapsed == pytest.approx(1, abs=0.1)
        await anyio.sleep(0.1)
        assert [type(outcome.error) for outcome in newcomers] == [NoProviderAvailable]


async def test_a_waiter_who_leaves_loses_no_room() -> None:
    """Case 79: the slot goes to the next one, also when it was just given."""
    async with house(play("a", latency=1.0), limits=ONE) as home:
        first = await home.begun()
        callers = [await home.begun(wait=100) for _ in range(4)]
        await callers[0].cancel()
        await first.end()
        await callers[1].cancel()
        assert (await callers[2].end()).elapsed == pytest.approx(2, abs=0.1)
        assert (await callers[3].end()).ok
        assert [caller.outcome is None for caller in callers] == [True, True, False, False]


async def test_a_caller_who_leaves_amid_an_attempt_makes_room() -> None:
    """Case 79: whoever waits is served at once, and not when something else happens."""
    async with house(play("a", "hang"), limits=ONE) as home:
        busy = await home.begun()
        waiting = await home.begun(wait=100)
        await busy.cancel()
        assert (await waiting.end()).elapsed < 0.1


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_slot_given_to_one_who_leaves_in_the_same_tick() -> None:
    """Case 79: what was handed to a waiter that is cancelled before it could run is handed on."""
    async with house(play("a", limits=ONE)) as home:
        home.router.hold("a", "open")
        one = asyncio.create_task(home.router.call("one", wait=100))
        await anyio.sleep(0.01)
        two = await home.begun(request="two", wait=100)
        home.router.hold("a", "closed")  # gives the only slot to the first
        assert home.router.in_flight("a") == 1
        one.cancel()
        assert (await two.end()).ok
        assert one.cancelled()
        assert [asked.request for asked in home["a"].asked] == ["two"]
