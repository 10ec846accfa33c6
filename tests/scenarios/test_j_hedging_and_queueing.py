"""Section J: hedge races, and calls that queue."""

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
from tests.scenarios.harness import REQUEST_FAULT, TRIPS_AT_ONCE, harness, scripted

SOON = HedgePolicy(after=1.0)
ONE = LimitPolicy(in_flight=1)


# ── hedge races ─────────────────────────────────────────────────────────────────────────────────


async def test_loser_is_cancelled_awaited_and_neutral() -> None:
    """Case 77: its clean-up is over when the call returns, and it holds no permit or limit."""
    cleaned: list[float] = []

    async def slow(request: object) -> str:
        try:
            await anyio.sleep(20)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            cleaned.append(anyio.current_time())
        return "late"

    async with harness(
        scripted("b", latency=2.0), hedge=SOON, retry=RetryPolicy(), circuit=TRIPS_AT_ONCE
    ) as env:
        env.router.add(Provider("a", slow, limits=ONE))
        start = anyio.current_time()
        outcome = await env.outcome("a", "b")
        assert (outcome.value, outcome.provider) == ("b: q", "b")
        assert cleaned == [pytest.approx(start + 3.5, abs=0.01)]
        assert [(r.provider, r.role, r.outcome) for r in outcome.attempts] == [
            ("b", "hedge", "success"),
            ("a", "call", "cancelled"),
        ]
        assert "hedge: no answer from a after 1.0" in outcome.attempts[0].why
        assert (env.state("a"), env.provider_snapshot("a")["calls"]) == ("closed", 0)
        assert (env.router.in_flight("a"), env.router.available("a")) == (0, True)
        assert env.total("attempts_total", provider="a", outcome="cancelled") == 1


async def test_first_answer_wins() -> None:
    """Case 77: the first attempt may still win its race; then the hedge is cancelled."""
    async with harness(
        scripted("a", latency=3.0), scripted("b", "hang"), hedge=SOON, retry=RetryPolicy()
    ) as env:
        outcome = await env.outcome("a", "b")
        assert (outcome.value, outcome.elapsed) == ("a: q", pytest.approx(3, abs=0.01))
        assert [r.role for r in outcome.attempts] == ["call", "hedge"]
        assert outcome.failovers == 0


async def test_quick_answer_is_not_hedged() -> None:
    """Case 77: an answer within the time has no hedge."""
    async with harness(scripted("a", latency=0.9), "b", hedge=SOON) as env:
        for _ in range(5):
            assert len((await env.outcome("a", "b")).attempts) == 1
        assert env["b"].count == 0


async def test_without_budget_only_the_hedge_is_denied() -> None:
    """Case 78: the first attempt goes on, and its answer is the call's."""
    retry = RetryPolicy(budget=0.0, budget_floor=0)
    async with harness(scripted("a", latency=3.0), "b", hedge=SOON, retry=retry) as env:
        outcome = await env.outcome("a", "b")
        assert (outcome.value, len(outcome.attempts)) == ("a: q", 1)
        assert env["b"].count == 0


async def test_hedges_use_half_of_the_budget() -> None:
    """Case 78: of ten slow calls three are hedged when half of the budget allows three."""
    retry = RetryPolicy(budget=0.0, budget_floor=6, budget_window=1000)
    async with harness(scripted("a", latency=3.0), "b", hedge=SOON, retry=retry) as env:
        outcomes = [await env.outcome("a", "b") for _ in range(10)]
        assert [outcome.provider for outcome in outcomes] == ["b"] * 3 + ["a"] * 7


async def test_hedges_leave_budget_for_failures() -> None:
    """Case 78: after hedges used their half, a failed call may still be retried."""
    retry = RetryPolicy(budget=0.0, budget_floor=2, budget_window=1000)
    failing = scripted("c", Fault("error"))
    async with harness(scripted("a", latency=3.0), "b", failing, hedge=SOON, retry=retry) as env:
        assert [len((await env.outcome("a", "b")).attempts) for _ in range(3)] == [2, 1, 1]
        outcome = await env.outcome("c")
        assert [str(record.verdict.kind) for record in outcome.attempts] == ["server", "success"]


async def test_attempts_1_means_no_hedge() -> None:
    """A hedge counts as a retry does: `attempts=1` allows none."""
    settings = {"hedge": HedgePolicy(after=1.0), "retry": RetryPolicy(attempts=1)}
    async with harness(scripted("a", Fault("slow", after=5.0)), "b", **settings) as env:
        outcome = await env.outcome("a", "b")
        assert (outcome.provider, outcome.elapsed, len(outcome.attempts)) == ("a", 5.0, 1)


async def test_denied_hedge_leaves_failover_alone() -> None:
    """Case 78: when the first attempt then fails, the call still fails over."""
    retry = RetryPolicy(budget=0.0, budget_floor=0)
    bad = scripted("a", Fault("error", after=3.0))
    async with harness(bad, "b", hedge=SOON, retry=retry) as env:
        outcome = await env.outcome("a", "b")
        assert [(r.provider, r.role) for r in outcome.attempts] == [("a", "call"), ("b", "call")]


@pytest.mark.parametrize(("max_in_flight", "attempted"), [(2, ["a", "b"]), (3, ["a", "b", "c"])])
async def test_max_in_flight(max_in_flight: int, attempted: Sequence[str]) -> None:
    """At most `max_in_flight` attempts of one call run at a time."""
    hedge = HedgePolicy(after=1.0, max_in_flight=max_in_flight)
    providers = [scripted(name, latency=9.0) for name in "abcd"]
    async with harness(*providers, hedge=hedge, retry=RetryPolicy()) as env:
        outcome = await env.outcome("a", "b", "c", "d")
        assert outcome.provider == "a"
        assert sorted(r.provider for r in outcome.attempts) == attempted


async def test_failure_in_a_race_is_replaced_at_once() -> None:
    """When one attempt fails, another takes its place without waiting."""
    first = scripted("a", latency=9.0)
    second = scripted("b", Fault("error", after=0.5))
    async with harness(first, second, "c", hedge=SOON, retry=RetryPolicy()) as env:
        outcome = await env.outcome("a", "b", "c")
        assert (outcome.provider, outcome.elapsed) == ("c", pytest.approx(1.5, abs=0.01))


async def test_race_without_a_winner_fails() -> None:
    """A race without a winner ends with the errors of all attempts."""
    bad = [scripted(name, Fault("error", after=2.0)) for name in "ab"]
    async with harness(*bad, hedge=SOON, retry=RetryPolicy(attempts=2)) as env:
        outcome = await env.outcome("a", "b")
        assert isinstance(outcome.error, AllProvidersFailed)
        assert outcome.elapsed == pytest.approx(3, abs=0.01)


async def test_request_fault_ends_a_race() -> None:
    """A failure caused by the request is final, and the other attempt is cancelled."""
    async with harness("a", "b", hedge=SOON, retry=RetryPolicy()) as env:
        env["a"].then("hang")
        env["b"].then(REQUEST_FAULT)
        outcome = await env.outcome("a", "b")
        assert outcome.elapsed == pytest.approx(1, abs=0.01)
        assert getattr(outcome.error, "status", None) == 400


async def test_no_provider_for_a_hedge() -> None:
    """With all others open, the slow attempt goes on alone."""
    async with harness(
        scripted("a", latency=3.0), "b", "c", hedge=SOON, retry=RetryPolicy()
    ) as env:
        env.router.hold("b", "open")
        env.router.hold("c", "open")
        assert await env.call("a", "b", "c") == "a: q"


async def test_non_idempotent_call_is_not_hedged() -> None:
    """With `idempotent=False` no attempt is duplicated."""
    async with harness(scripted("a", latency=3.0), "b", hedge=SOON, retry=RetryPolicy()) as env:
        outcome = await env.outcome("a", "b", idempotent=False)
        assert (outcome.provider, env["b"].count) == ("a", 0)


async def test_percentile_hedging_needs_samples() -> None:
    """Without enough samples nothing is hedged; then attempts slower than the percentile are."""
    hedge = HedgePolicy(percentile=0.9, minimum_samples=20)
    routes = [Route("default", ["a", "b"], hedge=hedge)]
    async with harness(scripted("a", latency=1.0), "b", routes=routes, retry=RetryPolicy()) as env:
        env["a"].then(Answer(after=5.0))
        assert (await env.router.call_outcome("q")).provider == "a"
        for _ in range(30):
            assert (await env.router.call_outcome("q")).provider == "a"
        env["a"].then(Answer(after=5.0))
        outcome = await env.router.call_outcome("q")
        assert outcome.provider == "b"
        assert 1.0 <= outcome.elapsed <= 1.1


async def test_race_ends_with_its_caller() -> None:
    """A cancelled call cancels all attempts, and all are neutral."""
    settings = {"hedge": SOON, "retry": RetryPolicy(), "circuit": TRIPS_AT_ONCE}
    async with harness(scripted("a", "hang"), scripted("b", "hang"), **settings) as env:
        caller = await env.start("a", "b")
        await anyio.sleep(1.5)
        assert env.router.in_flight("b") == 1
        await caller.cancel()
        assert [env.provider_snapshot(name)["calls"] for name in "ab"] == [0, 0]
        assert [r.outcome for r in env.recorder.attempts] == ["cancelled"] * 2


async def test_usage_error_ends_a_race() -> None:
    """A function that cannot be awaited raises UsageError."""
    async with harness("b", hedge=SOON) as env:
        env.router.add(Provider("a", lambda request: 5))  # type: ignore[arg-type,return-value]
        with pytest.raises(UsageError, match="'a'"):
            await env.call("a", "b")


# ── queueing ────────────────────────────────────────────────────────────────────────────────────


async def test_queue_is_first_come_first_served() -> None:
    """Case 79: capacity goes to the queued calls in the order of their arrival."""
    async with harness(scripted("a", latency=1.0), limits=ONE) as env:
        first = await env.start()
        callers = [await env.start(request=number, wait=100) for number in range(5)]
        assert not (await env.outcome()).ok  # a call without wait= is rejected
        assert (await first.end()).ok
        for caller in callers:
            assert (await caller.end()).ok
        assert [entry.request for entry in env["a"].requests] == ["q", 0, 1, 2, 3, 4]
        assert env["a"].max_in_flight == 1


async def test_new_call_does_not_overtake_the_queue() -> None:
    """Case 79: a new call stands behind the queue even when there is capacity."""
    async with harness(scripted("a", latency=1.0), limits=ONE) as env:
        first = await env.start(request="first")
        await env.start(request="second", wait=10)
        await first.end()
        late = await env.outcome()
        assert isinstance(late.error, NoProviderAvailable)


async def test_new_call_does_not_overtake_when_a_bucket_refills() -> None:
    """Case 79: the same at the very instant at which a bucket refills."""
    one_a_second = LimitPolicy(requests_per_minute=60, burst=1 / 60)
    async with harness("a", limits=one_a_second) as env:
        await env.call()
        newcomers: list[CallOutcome[object]] = []

        async def newcomer() -> None:
            await anyio.sleep(1.0)  # started before the other's wait, so it runs first
            newcomers.append(await env.outcome())

        env.group.start_soon(newcomer)
        queued = await env.start(wait=1.5)
        assert (await queued.end()).elapsed == pytest.approx(1, abs=0.1)
        await anyio.sleep(0.1)
        assert [type(outcome.error) for outcome in newcomers] == [NoProviderAvailable]


async def test_cancelled_queued_call_passes_its_slot_on() -> None:
    """Case 79: the slot goes to the next one, also when it was just assigned."""
    async with harness(scripted("a", latency=1.0), limits=ONE) as env:
        first = await env.start()
        callers = [await env.start(wait=100) for _ in range(4)]
        await callers[0].cancel()
        await first.end()
        await callers[1].cancel()
        assert (await callers[2].end()).elapsed == pytest.approx(2, abs=0.1)
        assert (await callers[3].end()).ok
        assert [caller.outcome is None for caller in callers] == [True, True, False, False]


async def test_cancelled_call_serves_the_queue() -> None:
    """Case 79: the next queued call starts at once."""
    async with harness(scripted("a", "hang"), limits=ONE) as env:
        busy = await env.start()
        queued = await env.start(wait=100)
        await busy.cancel()
        assert (await queued.end()).elapsed < 0.1


@pytest.mark.backends("asyncio", "uvloop")
async def test_slot_of_a_call_cancelled_in_the_same_tick() -> None:
    """Case 79: a slot of a call cancelled before it could run is passed on."""
    async with harness(scripted("a", limits=ONE)) as env:
        env.router.hold("a", "open")
        one = asyncio.create_task(env.router.call("one", wait=100))
        await anyio.sleep(0.01)
        two = await env.start(request="two", wait=100)
        env.router.hold("a", "closed")  # assigns the only slot to the first
        assert env.router.in_flight("a") == 1
        one.cancel()
        assert (await two.end()).ok
        assert one.cancelled()
        assert [entry.request for entry in env["a"].requests] == ["two"]
