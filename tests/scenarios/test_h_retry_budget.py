"""Section H: the retry budget."""

from __future__ import annotations

from collections import deque
from random import Random

import anyio

from multirouter import (
    AllProvidersFailed,
    CircuitPolicy,
    RetryPolicy,
)
from tests.scenarios.harness import harness, scripted

NEVER_TRIPS = CircuitPolicy(failures=1_000_000)
"""A circuit that never opens."""


async def test_budget_limits_a_retry_storm() -> None:
    """Case 65: 300 calls in ten seconds that all fail: at most 1.2 times that, and ten."""
    providers = [scripted(name, error_rate=1.0) for name in "abc"]
    retry = RetryPolicy(attempts=6, base=0.01)
    async with harness(*providers, retry=retry, circuit=NEVER_TRIPS) as env:
        for name in "abc":
            await env.fail(name)  # unhealthy from here on, so a first attempt is paid too
        callers = []
        for _ in range(300):
            callers.append(env.start_soon())
            await anyio.sleep(10 / 300)
        assert not any([(await caller.end()).ok for caller in callers])
        attempts = len(env.recorder.attempts) - 3
        assert 300 < attempts <= 300 * 1.2 + 10 + 3
        assert env.total("retries_denied_total", reason="budget") > 100


async def test_budget_matches_its_model() -> None:
    """Case 66: paid attempts of a scripted run are those that the budget's model allows.

    The model: in the last ten seconds at most max(floor, a fifth of the calls) are paid.
    Attempts that are cancelled neither spend nor earn anything.
    """
    retry = RetryPolicy(attempts=2, base=0.0, budget=0.2, budget_floor=2)
    calls, paid = deque[float](), deque[float]()
    async with harness("a", retry=retry, circuit=NEVER_TRIPS) as env:
        rng = Random(5)
        for _ in range(300):
            now = anyio.current_time()
            calls.append(now)
            kind = rng.choice(["fine", "fine", "fail", "cancel"])
            before = env["a"].count
            if kind == "cancel":
                env["a"].then("hang")
                await (await env.start()).cancel()
                expected = 1
            elif kind == "fail":
                env["a"].then("error")
                affordable = len(paid) < max(2, int(0.2 * len(calls)))
                if affordable:
                    paid.append(now)
                expected = 1 + affordable
                assert (await env.outcome()).ok is affordable
                env["a"]._script.clear()
            else:
                await env.call()
                expected = 1
            assert env["a"].count - before == expected
        assert len(paid) > 10
        assert anyio.current_time() < 10  # nothing has left the window, so the model has none


async def test_denied_retry_raises_the_last_error() -> None:
    """Case 67: the provider's own error is the cause, and the denial is counted by its reason."""
    retry = RetryPolicy(budget=0.0, budget_floor=0)
    async with harness("a", retry=retry) as env:
        env["a"].then(ConnectionResetError("gone"))
        outcome = await env.outcome()
        assert isinstance(outcome.error, AllProvidersFailed)
        assert isinstance(outcome.error.__cause__, ConnectionResetError)
        assert "the retry budget is used up" in str(outcome.error)
        assert env.total("retries_denied_total", reason="budget") == 1
