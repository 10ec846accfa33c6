"""Section I: deadlines, timeouts, chains and fallbacks."""

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
    NoProviderAvailable,
    Provider,
    RetryPolicy,
    Route,
    UsageError,
)
from multirouter.testing import Fault, StatusError
from tests.scenarios.harness import REQUEST_FAULT, TRIPS_AFTER_3, TRIPS_AT_ONCE, harness, scripted


async def test_attempt_timeout_is_the_providers_failure() -> None:
    """Case 69: the error names provider, setting and seconds."""
    async with harness(scripted("a", "hang", attempt_timeout=3), circuit=TRIPS_AT_ONCE) as env:
        outcome = await env.outcome()
        assert outcome.elapsed == pytest.approx(3, abs=0.01)
        cause = outcome.error.__cause__ if outcome.error else None
        assert isinstance(cause, AttemptTimeout)
        assert (cause.provider, cause.limit, cause.seconds) == ("a", "attempt_timeout", 3)
        assert env.state("a") == "open"


async def test_call_deadline_is_neutral() -> None:
    """Case 69: a short timeout of the call says nothing about the provider."""
    async with harness(scripted("a", "hang"), circuit=TRIPS_AT_ONCE) as env:
        outcome = await env.outcome(timeout=1)
        assert isinstance(outcome.error, CallTimeout)
        assert isinstance(outcome.error, TimeoutError)
        assert outcome.elapsed == pytest.approx(1, abs=0.01)
        assert (env.state("a"), env.provider_snapshot("a")["calls"]) == ("closed", 0)
        assert env.records("a")[0].outcome == "cancelled"
        assert "timeout=1 s" in str(outcome.error)


@pytest.mark.parametrize("seconds", [2, 2.0])
async def test_callers_own_scope_is_neutral(seconds: float) -> None:
    """Case 69: so does a call wrapped in the caller's own timeout."""
    async with harness(scripted("a", "hang"), circuit=TRIPS_AT_ONCE) as env:
        with pytest.raises(TimeoutError):
            with anyio.fail_after(seconds):
                await env.call()
        assert env.state("a") == "closed"


async def test_providers_own_timeout_error_is_its_failure() -> None:
    """Case 70: it is not reported as a limit of the router's."""
    own = TimeoutError("upstream is slow")
    async with harness(scripted("a", own), circuit=TRIPS_AT_ONCE) as env:
        outcome = await env.outcome()
        assert isinstance(outcome.error, AllProvidersFailed)
        assert outcome.error.__cause__ is own
        assert str(outcome.attempts[0].verdict.kind) == "timeout"
        assert env.state("a") == "open"


async def test_call_deadline_wins_a_tie() -> None:
    """Case 71: when both fire at once it is the call's timeout, and neutral, ten times of ten."""
    async with harness(
        scripted("a", *["hang"] * 10), circuit=TRIPS_AT_ONCE, timeout=2, attempt_timeout=2
    ) as env:
        for _ in range(10):
            assert isinstance((await env.outcome()).error, CallTimeout)
            assert env.state("a") == "closed"


async def test_call_ends_by_its_timeout() -> None:
    """Case 72: with slow failures, backoffs and failovers, no call is longer than `timeout`."""
    slow = Fault("error", after=0.7)
    retry = RetryPolicy(attempts=20, base=0.5, budget_floor=10_000)
    providers = [scripted(name, *[slow] * 500) for name in "abc"]
    async with harness(*providers, retry=retry, timeout=5.0, attempt_timeout=1.0) as env:
        for _ in range(20):
            outcome = await env.outcome()
            assert not outcome.ok
            assert outcome.elapsed <= 5.0 + 0.01


async def test_chain_is_attempted_in_order() -> None:
    """Case 73: A is open and skipped, B fails once, C answers; the trail says all of it."""
    async with harness("a", "b", "c", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        env["b"].then("error")
        outcome = await env.outcome("a", "b", "c")
        assert (outcome.value, outcome.provider, outcome.failovers) == ("c: q", "c", 1)
        assert (env["a"].count, env["b"].count, env["c"].count) == (1, 1, 1)
        assert [(r.provider, r.outcome) for r in outcome.attempts] == [
            ("b", "failure"),
            ("c", "success"),
        ]
        assert outcome.attempts[1].why.startswith("failover from b (server)")
        explained = str(env.router.explain(["a", "b", "c"]))
        assert "open (failures; last failure: status 500), half-open in 10.0 s" in explained


async def test_trail_lists_skipped_providers() -> None:
    """Case 73: the first attempt says which providers were not available, in all tiers."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        outcome = await env.outcome()
        assert outcome.attempts[0].why == "only candidate; skipped: a open"


async def test_invalid_routes() -> None:
    """Case 74: duplicate and unknown names raise, at construction and with a call."""
    async with harness("openai", "local") as env:
        providers = env.router.providers
        for tiers, why in [
            (["openai", "openai"], "duplicate entry 'openai'"),
            (["openai", ["local", "openai"]], "duplicate entry 'openai'"),
            (["opneai"], "did you mean 'openai'"),
            (["tag:none"], "matches no provider"),
            ([], "tiers: must not be empty"),
            ([[]], "tier 1 must not be empty"),
        ]:
            with pytest.raises(ConfigurationError, match=why):
                MultiProviderRouter(
                    providers, routes=[Route("r", tiers)], registry=env.registry, name="other"
                )
        with pytest.raises(UsageError, match="did you mean 'local'"):
            await env.call("loca")
        with pytest.raises(UsageError, match="duplicate entry 'local'"):
            await env.call("local", "local")
        with pytest.raises(UsageError, match="unknown route 'loca'"):
            await env.router.call("q", route="loca")


async def test_patterns_and_tags_add_no_duplicates() -> None:
    """Case 74: a provider in an earlier tier is not added again by a later pattern."""
    providers = [
        scripted("gpt-1", tags=["cheap"]),
        scripted("gpt-2"),
        scripted("opus", tags=["cheap"]),
    ]
    route = Route("default", ["opus", "tag:cheap", "gpt-*"])
    async with harness(*providers, routes=[route]) as env:
        for provider in providers:
            env[provider.name].then("error")
        outcome = await env.router.call_outcome("q")
        attempted = [record.provider for record in outcome.attempts]
        assert attempted == ["opus", "gpt-1", "gpt-2"]


async def test_all_providers_failed_has_every_error() -> None:
    """Case 75: one error with each attempt's own in order, the last one as its cause."""
    async with harness("a", "b", "c") as env:
        for status, name in enumerate("abc", 501):
            env[name].then(Fault("error", status=status))
        outcome = await env.outcome("a", "b", "c")
        assert isinstance(outcome.error, AllProvidersFailed)
        statuses = [getattr(record.error, "status", 0) for record in outcome.error.attempts]
        assert statuses == [501, 502, 503]
        assert getattr(outcome.error.__cause__, "status", 0) == 503
        assert "a: server (status 501); b: server (status 502)" in str(outcome.error)
        with pytest.raises(AllProvidersFailed):
            assert outcome.value


@pytest.mark.parametrize("link", [1, 2])
async def test_cancellation_stops_the_chain(link: int) -> None:
    """Case 75: during any attempt, and no other provider is attempted."""
    async with harness("a", "b", "c") as env:
        env["a"].then(*(["hang"] if link == 1 else ["error"]))
        env["b"].then("hang")
        caller = await env.start("a", "b", "c")
        await caller.cancel()
        assert env["a"].count + env["b"].count == link
        assert env["c"].count == 0
        assert env.recorder.calls[0].result == "cancelled"


async def test_failover_failures_count_at_their_circuits() -> None:
    """Case 76: failures as second choice open its circuit after the same number."""
    retry = RetryPolicy(attempts=2, base=0)
    overloaded = scripted("a", error_rate=1.0, error=Fault("error", status=503))
    async with harness(overloaded, "b", circuit=TRIPS_AFTER_3, retry=retry) as env:
        env.router.hold("a", "closed")
        for _ in range(3):
            assert env.state("b") == "closed"
            env["b"].then("error")
            assert not (await env.outcome("a", "b")).ok
        assert env.state("b") == "open"


# ── precedence ──────────────────────────────────────────────────────────────────────────────────


async def test_precedence_of_timeouts() -> None:
    """Call, else route, else router; for an attempt the provider's own comes first."""
    routes = [Route("tight", ["a", "b"], timeout=8, attempt_timeout=2)]
    providers = [scripted("a", *["hang"] * 9, attempt_timeout=1), scripted("b", *["hang"] * 9)]
    settings = {"timeout": 20, "attempt_timeout": 4, "retry": RetryPolicy()}
    async with harness(*providers, routes=routes, **settings) as env:
        spent = [(await env.router.call_outcome("q", route="tight")).attempts]
        spent.append((await env.outcome("a", "b")).attempts)
        seconds = [[round(record.elapsed, 1) for record in attempts] for attempts in spent]
        assert seconds == [[1, 2], [1, 4]]
        short = await env.router.call_outcome("q", route="tight", timeout=2.5)
        assert isinstance(short.error, CallTimeout)
        assert short.elapsed == pytest.approx(2.5, abs=0.01)


async def test_default_attempt_timeout_is_half_the_timeout() -> None:
    """Without an `attempt_timeout` one attempt takes at most half of `timeout`."""
    async with harness(scripted("a", "hang"), "b", timeout=10) as env:
        outcome = await env.outcome("a", "b")
        assert (outcome.provider, round(outcome.elapsed)) == ("b", 5)


# ── fallbacks ───────────────────────────────────────────────────────────────────────────────────


async def test_fallback_is_its_own_result() -> None:
    """A fallback value is returned, is no success, and is counted as `fallback`."""
    async with harness(scripted("a", "error"), fallback="try later") as env:
        outcome = await env.outcome()
        assert (outcome.value, outcome.ok, outcome.result) == ("try later", False, "fallback")
        assert (outcome.provider, outcome.error) == (None, None)
        assert [record.outcome for record in outcome.attempts] == ["failure"]
        assert env.total("calls_total", outcome="fallback") == 1
        assert env.total("calls_total", outcome="failure") == 0
        assert await env.call() == "a: q"


async def test_fallback_function() -> None:
    """It gets request and error, may be async, and the route's comes before the router's."""

    async def later(request: object, error: CallFailed) -> str:
        await anyio.sleep(1)
        return f"{request}: {type(error).__name__}"

    routes = [Route("default", ["a"], fallback=lambda request, error: f"{request}, later")]
    async with harness("a", fallback=later, routes=routes) as env:
        env["a"].then("error", "error")
        assert await env.router.call("q") == "q, later"
        assert await env.call("a") == "q: AllProvidersFailed"
        env.router.hold("a", "open")
        rejected = await env.outcome("a")
        assert (rejected.value, rejected.result) == ("q: NoProviderAvailable", "fallback")


@pytest.mark.parametrize(("timeout", "ends"), [(10.0, 10.0), (1.0, 2.0)], ids=["left", "past"])
async def test_fallback_is_limited_by_the_deadline(timeout: float, ends: float) -> None:
    """One that hangs is cut off at the call's deadline, or a second after it; the error stays."""

    async def never(request: object, error: CallFailed) -> str:
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    fault = "error" if timeout == 10.0 else "hang"
    async with harness(scripted("a", fault), fallback=never) as env:
        outcome = await env.outcome(timeout=timeout)
        assert outcome.result == "failure"
        assert isinstance(outcome.error, CallFailed)
        (note,) = outcome.error.__notes__
        assert note.startswith("multirouter: fallback= failed too: TimeoutError: fallback= did not")
        assert isinstance(outcome.error.fallback_error, TimeoutError)
        assert anyio.current_time() == pytest.approx(ends, abs=0.01)
        assert outcome.elapsed == pytest.approx(ends, abs=0.01)


async def test_fallback_after_the_deadline() -> None:
    """A call that timed out still gets its fallback, when that is quick."""

    async def soon(request: object, error: CallFailed) -> str:
        await anyio.sleep(0.5)
        return type(error).__name__

    async with harness(scripted("a", "hang"), fallback=soon) as env:
        outcome = await env.outcome(timeout=3)
        assert (outcome.value, outcome.result) == ("CallTimeout", "fallback")
        assert outcome.elapsed == pytest.approx(3.5, abs=0.01)


async def test_no_fallback_for_a_request_fault() -> None:
    """A failure caused by the request is raised."""
    async with harness(scripted("a", REQUEST_FAULT), fallback="never mind") as env:
        with pytest.raises(StatusError) as caught:
            await env.call()
        assert "__notes__" not in vars(caught.value)


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_fallback_that_raises(is_async: bool) -> None:
    """The call fails as without it: the error keeps the trail, and names what the fallback raised.

    A handler of CallFailed handles this call like any other that failed.
    """

    def failing(request: object, error: CallFailed) -> str:
        assert [record.provider for record in error.attempts] == ["a"]
        raise LookupError("no substitute")

    async def failing_later(request: object, error: CallFailed) -> str:
        await anyio.sleep(0.5)
        return failing(request, error)

    hook = failing_later if is_async else failing
    async with harness(scripted("a", "error", "error"), fallback=hook) as env:
        with pytest.raises(AllProvidersFailed) as caught:
            await env.call()
        error = caught.value
        assert [record.provider for record in error.attempts] == ["a"]
        assert error.__cause__ is error.attempts[0].error
        assert isinstance(error.__context__, LookupError)
        assert error.fallback_error is error.__context__
        (note,) = error.__notes__
        assert note.startswith(
            "multirouter: fallback= failed too: LookupError: no substitute (test"
        )
        assert note.endswith(" in failing)")
        assert env.total("calls_total", outcome="failure") == 1
        (logged,) = env.logger.of("call failed")
        assert logged["fallback_error"] == "LookupError"
        assert logged["fallback_where"].endswith(" in failing")
        outcome = await env.outcome()
        assert (outcome.result, len(outcome.attempts)) == ("failure", 1)
        assert outcome.elapsed == (0.5 if is_async else 0.0)


async def test_no_fallback_for_the_error_of_a_router_as_a_provider() -> None:
    """A CallFailed that a provider raised, and that ends the call, is the provider's own."""

    async def inner(request: object) -> str:
        raise NoProviderAvailable("inner", states={})

    only_429 = Route("default", ["a"], on=[429])
    async with harness(Provider("a", inner), routes=[only_429], fallback="never mind") as env:
        with pytest.raises(NoProviderAvailable, match="inner"):
            await env.call()
