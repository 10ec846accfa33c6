"""Section I: deadlines, timeouts, chains and substitutes."""

from __future__ import annotations

import anyio
import pytest

from multirouter import (
    AllProvidersFailed,
    AttemptTimeout,
    CallFailed,
    CallTimeout,
    ConfigurationError,
    MultiProviderRouter,
    RetryPolicy,
    Route,
    UsageError,
)
from multirouter.testing import Answer, Fault, StatusError
from tests.scenarios.kit import BRITTLE, FAULTY, STEADY, house, play


async def test_an_attempts_timeout_is_the_providers_failure() -> None:
    """Case 69: the error names provider, keyword and seconds."""
    async with house(play("a", "hang", attempt_timeout=3), circuit=BRITTLE) as home:
        outcome = await home.outcome()
        assert outcome.elapsed == pytest.approx(3, abs=0.01)
        cause = outcome.error.__cause__ if outcome.error else None
        assert isinstance(cause, AttemptTimeout)
        assert (cause.provider, cause.limit, cause.seconds) == ("a", "attempt_timeout", 3)
        assert home.state("a") == "open"


async def test_the_calls_deadline_is_neutral() -> None:
    """Case 69: a caller who gives little time says nothing about the provider."""
    async with house(play("a", "hang"), circuit=BRITTLE) as home:
        outcome = await home.outcome(timeout=1)
        assert isinstance(outcome.error, CallTimeout)
        assert isinstance(outcome.error, TimeoutError)
        assert outcome.elapsed == pytest.approx(1, abs=0.01)
        assert (home.state("a"), home.seen("a")["calls"]) == ("closed", 0)
        assert home.records("a")[0].outcome == "cancelled"
        assert "timeout=1 s" in str(outcome.error)


@pytest.mark.parametrize("seconds", [2, 2.0])
async def test_a_callers_own_scope_is_neutral(seconds: float) -> None:
    """Case 69: so does one who wraps the call in a timeout of their own."""
    async with house(play("a", "hang"), circuit=BRITTLE) as home:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(seconds):
                await home.call()
        assert home.state("a") == "closed"


async def test_a_providers_own_timeout_is_its_failure() -> None:
    """Case 70: it is not reported as a limit of the router's."""
    own = TimeoutError("upstream is slow")
    async with house(play("a", own), circuit=BRITTLE) as home:
        outcome = await home.outcome()
        assert isinstance(outcome.error, AllProvidersFailed)
        assert outcome.error.__cause__ is own
        assert str(outcome.attempts[0].verdict.kind) == "timeout"
        assert home.state("a") == "open"


async def test_in_one_tick_the_calls_deadline_wins() -> None:
    """Case 71: when both fire at once it is the call's timeout, and neutral, ten times of ten."""
    async with house(
        play("a", *["hang"] * 10), circuit=BRITTLE, timeout=2, attempt_timeout=2
    ) as home:
        for _ in range(10):
            assert isinstance((await home.outcome()).error, CallTimeout)
            assert home.state("a") == "closed"


async def test_a_call_ends_by_its_timeout() -> None:
    """Case 72: with slow failures, rests and failovers, no call is longer than `timeout`."""
    slow = Fault("error", after=0.7)
    retry = RetryPolicy(attempts=20, base=0.5, budget_floor=10_000)
    providers = [play(name, *[slow] * 500) for name in "abc"]
    async with house(*providers, retry=retry, timeout=5.0, attempt_timeout=1.0) as home:
        for _ in range(20):
            outcome = await home.outcome()
            assert not outcome.ok
            assert outcome.elapsed <= 5.0 + 0.01


async def test_a_chain_is_walked_in_order() -> None:
    """Case 73: A is open and not awaited, B fails once, C answers; the trail says all of it."""
    async with house("a", "b", "c", circuit=BRITTLE) as home:
        await home.fail("a")
        home["b"].then("error")
        outcome = await home.outcome("a", "b", "c")
        assert (outcome.value, outcome.provider, outcome.failovers) == ("c: q", "c", 1)
        assert (home["a"].count, home["b"].count, home["c"].count) == (1, 1, 1)
        assert [(r.provider, r.outcome) for r in outcome.attempts] == [
            ("b", "failure"),
            ("c", "success"),
        ]
        assert outcome.attempts[1].why.startswith("failover from b (server)")
        explained = str(home.router.explain(["a", "b", "c"]))
        assert "open (failures, last status 500), resets in 10.0 s" in explained


async def test_why_tells_who_was_passed_over() -> None:
    """Case 73: the first choice too says who could not be asked, within a tier and across tiers."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.fail("a")
        outcome = await home.outcome()
        assert outcome.attempts[0].why == "only one; passed over: a open"


async def test_bad_routes_are_refused() -> None:
    """Case 74: repeated and unknown names, at construction and with a call; the near miss helps."""
    async with house("openai", "local") as home:
        providers = home.router.providers
        for tiers, why in [
            (["openai", "openai"], "names 'openai' twice"),
            (["openai", ["local", "openai"]], "names 'openai' twice"),
            (["opneai"], "did you mean 'openai'"),
            (["tag:none"], "matches no provider"),
            ([], "is empty"),
            ([[]], "tier 1 is empty"),
        ]:
            with pytest.raises(ConfigurationError, match=why):
                MultiProviderRouter(
                    providers, routes=[Route("r", tiers)], registry=home.registry, name="other"
                )
        with pytest.raises(UsageError, match="did you mean 'local'"):
            await home.call("loca")
        with pytest.raises(UsageError, match="names 'local' twice"):
            await home.call("local", "local")
        with pytest.raises(UsageError, match="unknown route 'loca'"):
            await home.router.call("q", route="loca")


async def test_patterns_and_tags_bring_nobody_twice() -> None:
    """Case 74: who is in an earlier tier is not visited again by a later pattern."""
    providers = [play("gpt-1", tags=["cheap"]), play("gpt-2"), play("opus", tags=["cheap"])]
    route = Route("default", ["opus", "tag:cheap", "gpt-*"])
    async with house(*providers, routes=[route]) as home:
        for provider in providers:
            home[provider.name].then("error")
        outcome = await home.router.call_outcome("q")
        asked = [record.provider for record in outcome.attempts]
        assert asked == ["opus", "gpt-1", "gpt-2"]


async def test_when_all_fail_the_error_holds_everything() -> None:
    """Case 75: one error, each link's own in order, the last one as its cause."""
    async with house("a", "b", "c") as home:
        for status, name in enumerate("abc", 501):
            home[name].then(Fault("error", status=status))
        outcome = await home.outcome("a", "b", "c")
        assert isinstance(outcome.error, AllProvidersFailed)
        statuses = [getattr(record.error, "status", 0) for record in outcome.error.attempts]
        assert statuses == [501, 502, 503]
        assert getattr(outcome.error.__cause__, "status", 0) == 503
        assert "a: server (status 501); b: server (status 502)" in str(outcome.error)
        with pytest.raises(AllProvidersFailed):
            assert outcome.value


@pytest.mark.parametrize("link", [1, 2])
async def test_a_cancellation_stops_the_chain(link: int) -> None:
    """Case 75: during any link, and nobody is asked afterwards."""
    async with house("a", "b", "c") as home:
        home["a"].then(*(["hang"] if link == 1 else ["error"]))
        home["b"].then("hang")
        caller = await home.begun("a", "b", "c")
        await caller.cancel()
        assert home["a"].count + home["b"].count == link
        assert home["c"].count == 0
        assert home.news.calls[0].result == "cancelled"


async def test_a_later_link_counts_like_the_first() -> None:
    """Case 76: failures as second choice open its circuit after the same number."""
    retry = RetryPolicy(attempts=2, base=0)
    async with house(play("a", error_rate=1.0), "b", circuit=STEADY, retry=retry) as home:
        home.router.hold("a", "closed")
        for _ in range(3):
            assert home.state("b") == "closed"
            home["b"].then("error")
            assert not (await home.outcome("a", "b")).ok
        assert home.state("b") == "open"


# ── precedence ──────────────────────────────────────────────────────────────────────────────────


async def test_the_nearest_timeout_holds() -> None:
    """Call before route before router for the call; provider before route before router else."""
    routes = [Route("tight", ["a", "b"], timeout=8, attempt_timeout=2)]
    providers = [play("a", *["hang"] * 9, attempt_timeout=1), play("b", *["hang"] * 9)]
    settings = {"timeout": 20, "attempt_timeout": 4, "retry": RetryPolicy()}
    async with house(*providers, routes=routes, **settings) as home:
        spent = [(await home.router.call_outcome("q", route="tight")).attempts]
        spent.append((await home.outcome("a", "b")).attempts)
        seconds = [[round(record.elapsed, 1) for record in attempts] for attempts in spent]
        assert seconds == [[1, 2], [1, 4]]
        short = await home.router.call_outcome("q", route="tight", timeout=2.5)
        assert isinstance(short.error, CallTimeout)
        assert short.elapsed == pytest.approx(2.5, abs=0.01)


async def test_half_of_a_short_timeout_is_left_for_another() -> None:
    """Without an `attempt_timeout` one attempt takes at most half of `timeout`."""
    async with house(play("a", "hang"), "b", timeout=10) as home:
        outcome = await home.outcome("a", "b")
        assert (outcome.provider, round(outcome.elapsed)) == ("b", 5)


# ── substitutes ─────────────────────────────────────────────────────────────────────────────────


async def test_a_fallback_is_an_outcome_of_its_own() -> None:
    """A substitute value is answered, is no success, and is counted as `fallback`."""
    async with house(play("a", "error"), fallback="try later") as home:
        outcome = await home.outcome()
        assert (outcome.value, outcome.ok, outcome.result) == ("try later", False, "fallback")
        assert (outcome.provider, outcome.error) == (None, None)
        assert [record.outcome for record in outcome.attempts] == ["failure"]
        assert home.total("calls_total", outcome="fallback") == 1
        assert home.total("calls_total", outcome="failure") == 0
        assert await home.call() == "a: q"


async def test_a_fallback_may_be_a_function() -> None:
    """It gets request and error, may be async, and the route's comes before the router's."""

    async def later(request: object, error: CallFailed) -> str:
        await anyio.sleep(1)
        return f"{request}: {type(error).__name__}"

    routes = [Route("default", ["a"], fallback=lambda request, error: f"{request}, later")]
    async with house("a", fallback=later, routes=routes) as home:
        home["a"].then("error", "error")
        assert await home.router.call("q") == "q, later"
        assert await home.call("a") == "q: AllProvidersFailed"
        home.router.hold("a", "open")
        refused = await home.outcome("a")
        assert (refused.value, refused.result) == ("q: NoProviderAvailable", "fallback")


@pytest.mark.parametrize(("timeout", "ends"), [(10.0, 10.0), (1.0, 2.0)], ids=["left", "none left"])
async def test_a_fallback_has_until_the_deadline(timeout: float, ends: float) -> None:
    """One that hangs is cut off by the call's deadline, or a second after it; the error stays."""

    async def never(request: object, error: CallFailed) -> str:
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    fault = "error" if timeout == 10.0 else "hang"
    async with house(play("a", fault), fallback=never) as home:
        outcome = await home.outcome(timeout=timeout)
        assert outcome.result == "failure"
        assert isinstance(outcome.error, CallFailed)
        assert "gave no answer in time" in "".join(outcome.error.__notes__)
        assert anyio.current_time() == pytest.approx(ends, abs=0.01)
        assert outcome.elapsed == pytest.approx(ends, abs=0.01)


async def test_a_fallback_may_be_asked_after_the_deadline() -> None:
    """A call that timed out still gets its substitute, when that comes soon."""

    async def soon(request: object, error: CallFailed) -> str:
        await anyio.sleep(0.5)
        return type(error).__name__

    async with house(play("a", "hang"), fallback=soon) as home:
        outcome = await home.outcome(timeout=3)
        assert (outcome.value, outcome.result) == ("CallTimeout", "fallback")
        assert outcome.elapsed == pytest.approx(3.5, abs=0.01)


async def test_no_fallback_for_a_faulty_request() -> None:
    """The request's own fault is the caller's to hear of."""
    async with house(play("a", FAULTY), fallback="never mind") as home:
        with pytest.raises(StatusError) as caught:
            await home.call()
        assert "is the request's own fault" in "".join(caught.value.__notes__)


async def test_a_fallback_that_raises_is_heard() -> None:
    """Its error reaches the caller as it is, and the call counts as failed."""

    def broken(request: object, error: CallFailed) -> str:
        raise LookupError("no substitute")

    async with house(play("a", "error"), fallback=broken) as home:
        with pytest.raises(LookupError, match="no substitute"):
            await home.call()
        assert home.total("calls_total", outcome="failure") == 1


# ── judging answers ─────────────────────────────────────────────────────────────────────────────


def choosy(answer: object) -> object:
    if answer == "rude":
        return "is rude"
    if answer == "odd":
        raise ValueError("what is this")
    return answer != "empty"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("empty", "accept"), ("rude", "is rude"), ("odd", "accept raised ValueError")],
)
async def test_accept_refuses_an_answer(answer: str, reason: str) -> None:
    """False, a sentence or an exception of `accept=` make it a failure."""
    async with house(play("a", Answer(answer)), "b", accept=choosy, circuit=BRITTLE) as home:
        outcome = await home.outcome("a", "b")
        assert outcome.provider == "b"
        assert str(outcome.attempts[0].verdict.kind) == "invalid"
        assert outcome.attempts[0].verdict.reason == reason
        assert home.state("a") == "open"


async def test_a_routes_accept_comes_first() -> None:
    """A route may be choosier than its router."""
    routes = [Route("default", ["a", "b"], accept=lambda answer: answer != "a: q")]
    async with house("a", "b", routes=routes, accept=lambda answer: True) as home:
        assert await home.router.call("q") == "b: q"
        assert await home.call("a") == "a: q"
