"""Errors and trails of calls: no provider available, all failed, timeouts, choices."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio

from multirouter import (
    Budget,
    HedgePolicy,
    LimitPolicy,
    Price,
    Provider,
    RetryPolicy,
    Route,
    Verdict,
)
from multirouter.core.selection.strategies import STRATEGIES
from multirouter.model import FailureKind
from multirouter.testing import Answer, Fault
from tests.messages.normalize import normalized
from tests.messages.scenes import Scene, Transcript
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted

PRICE = Price(1.0, 1.0)
USAGE = {"usage": {"prompt_tokens": 400_000, "completion_tokens": 600_000}}


# ── calls that no provider could serve ──────────────────────────────────────────────────────────


async def circuits_and_cooldowns(out: Transcript) -> None:
    """A call while circuits are open, cooling down and held."""
    providers = [scripted(name, circuit=TRIPS_AT_ONCE) for name in "abc"]
    async with harness(*providers) as env:
        await env.fail("a", fault=Fault("error", status=503))
        await env.fail("b", fault=Fault("rate_limit", headers={"Retry-After": "7"}))
        env.router.hold("c", "open")
        await out.call(env)
        out.add(env.router.explain())
        out.add(repr(env.router))


async def trial_in_flight(out: Transcript) -> None:
    """A call while the only circuit is half-open and its trial is in flight."""
    provider = scripted("a", circuit=TRIPS_AT_ONCE)
    async with harness(provider) as env:
        await env.half_open("a")
        env["a"].then(Answer(after=20), Answer(after=20))
        caller = await env.start("a")
        await out.call(env, timeout=0.5)
        out.add(env.router.explain())
        await caller.cancel()


async def limits(out: Transcript) -> None:
    """Calls beyond the limits of a provider, a route and the router."""
    size = {"size": lambda _: 100}
    providers = [
        scripted("busy", latency=1, limits=LimitPolicy(in_flight=1)),
        scripted("rpm", limits=LimitPolicy(requests_per_minute=1)),
        scripted("tpm", limits=LimitPolicy(tokens_per_minute=100, **size)),
    ]
    async with harness(*providers) as env:
        callers = [await env.start(name) for name in ("busy", "rpm", "tpm")]
        await out.call(env)
        for caller in callers:
            await caller.end()
    async with harness(scripted("a", latency=1), limits=LimitPolicy(in_flight=1)) as env:
        caller = await env.start("a")
        await out.call(env)
        await caller.end()


async def ineligible(out: Transcript) -> None:
    """A request that no provider can serve."""
    providers = [
        scripted("small", context_window=1000),
        scripted("short", context_window=10_000, max_output=100),
        scripted("blind", context_window=100_000, max_output=1_000),
    ]
    settings = {"size": lambda _: (5000, 500), "requires": lambda _: ["images"]}
    async with harness(*providers, **settings) as env:
        await out.call(env)
        out.add(env.router.explain(request="q"))


async def budgets(out: Transcript) -> None:
    """A call after the budgets of a provider, a route and the router are used up."""

    def provider() -> Provider[Any, Any, Any]:
        return scripted("a", answer=lambda _: USAGE, price=PRICE, budget=Budget(1.0, "day"))

    async with harness(provider()) as env:
        await env.outcome("a")
        await out.call(env)
    for settings in (
        {"routes": [Route("chat", ["a"], budget=Budget(1.0, "hour"))]},
        {"budget": Budget(1.0, "month"), "routes": [Route("chat", ["a"])]},
    ):
        unlimited = provider().replace(budget=None)
        async with harness(unlimited, **settings) as env:
            await env.router.call_outcome("q", route="chat")
            out.outcome(await env.router.call_outcome("q", route="chat"))


# ── calls that failed ───────────────────────────────────────────────────────────────────────────


async def all_failed(out: Transcript) -> None:
    """Calls that failed at every provider, and why there was no further retry."""
    retries = {
        "attempts": {"retry": RetryPolicy(attempts=2, base=0.1, cap=0.1)},
        "budget": {"retry": RetryPolicy(budget=0, budget_floor=0)},
        "deadline": {"retry": RetryPolicy(base=900.0, cap=900.0)},
        "not idempotent": {"idempotent": False},
    }
    for options in retries.values():
        settings = {key: value for key, value in options.items() if key == "retry"}
        call = {key: value for key, value in options.items() if key != "retry"}
        down = [scripted(name, error_rate=1.0) for name in "ab"]
        async with harness(*down, **settings) as env:
            await out.call(env, **call)


async def every_kind(out: Transcript) -> None:
    """One failure of each kind, with the reason of its verdict."""
    faults: list[Any] = [
        Fault("rate_limit"),
        Fault("error", status=402),
        Fault("error", status=503),
        "error",
        "reset",
        "hang",
        "credentials",
        Fault("error", status=404),
        Fault("error", status=400, message="prompt is too long: 210000 tokens > 200000 maximum"),
        Fault("error", status=400, message="Output blocked by content filtering policy"),
        Fault("error", status=400),
        Fault("error", status=413),
        RuntimeError("what is this?"),
        asyncio.CancelledError(),
    ]
    for fault in faults:
        async with harness(scripted("a", fault), attempt_timeout=3) as env:
            await out.call(env)


async def rejected_answers(out: Transcript) -> None:
    """Answers that `accept=` or `classify=` reject."""

    def broken(_: object) -> bool:
        raise KeyError("text")

    checks = [lambda _: False, lambda _: "no JSON in the answer", broken, {"type": "object"}]
    for accept in checks:
        async with harness("a", accept=accept) as env:
            await out.call(env)

    def classify(_: object, value: object) -> Any:
        return None if value is None else Verdict(FailureKind.REFUSAL, reason="it says no")

    async with harness("a", classify=classify) as env:
        await out.call(env)
    async with harness("a", classify=lambda *_: "bad") as env:
        await out.call(env)
    (logged,) = env.logger.of("classifier failed")
    out.add(normalized(f"log: classifier failed {logged}"))


async def request_at_fault(out: Transcript) -> None:
    """A request that fails for its own sake, and a failure that `on=` leaves out."""
    async with harness(scripted("a", Fault("error", status=400)), "b") as env:
        await out.call(env, "a", "b")
    route = Route("chat", ["a", "b"], on=[503])
    async with harness(scripted("a", "error"), "b", routes=[route]) as env:
        out.outcome(await env.router.call_outcome("q", route="chat"))


async def timeouts(out: Transcript) -> None:
    """Calls that reached `timeout=` during an attempt, between attempts, and in the queue."""
    async with harness(scripted("a", "hang"), retry=RetryPolicy()) as env:
        await out.call(env, timeout=2)
    async with harness(scripted("a", "error", "hang"), retry=RetryPolicy()) as env:
        await out.call(env, timeout=2)
    async with harness(scripted("a", latency=5, limits=LimitPolicy(in_flight=1))) as env:
        caller = await env.start("a")
        await out.call(env, timeout=2, wait=3)
        await caller.end()

    async def slow(_request: object, _error: BaseException) -> str:
        await anyio.sleep(100)
        return "never"

    async with harness(scripted("a", "error"), fallback=slow) as env:
        await out.call(env, timeout=2)


# ── the trail of successful calls ───────────────────────────────────────────────────────────────


async def choices(out: Transcript) -> None:
    """Why a provider was chosen: weights, tiers, strategies, panic mode, trials."""
    async with harness("a", "b") as env:
        await out.call(env)
        await out.call(env, "a")
        env["a"].then("error")
        await out.call(env, "a", "b")
    for strategy in STRATEGIES:
        await _strategy(out, strategy)
    providers = [scripted(name, circuit=TRIPS_AT_ONCE) for name in "abc"]
    async with harness(*providers, panic=0.5) as env:
        await env.fail("a")
        await out.call(env)
        await env.fail("b")
        await out.call(env)
    async with harness(scripted("a", circuit=TRIPS_AT_ONCE), "b") as env:
        await env.half_open("a")
        await out.call(env)
        await anyio.sleep(1)
        for record in env.recorder.attempts:
            if record.role == "trial":
                out.add(f"  {record}")


async def _strategy(out: Transcript, name: str) -> None:
    providers = [scripted(each, price=PRICE, quality=1.0) for each in "ab"]
    route = Route("chat", [["a", "b"]], strategy=name)
    async with harness(*providers, routes=[route]) as env:
        out.outcome(await env.router.call_outcome("q", route="chat"))


async def second_attempts(out: Transcript) -> None:
    """A retry, a hedge, and a degraded provider."""
    async with harness(scripted("a", "error"), retry=RetryPolicy()) as env:
        await out.call(env)
    slow, fast = scripted("a", latency=5, weight=1e9), scripted("b", weight=1e-9)
    async with harness(slow, fast, hedge=HedgePolicy(after=1), retry=RetryPolicy()) as env:
        await out.call(env)
    async with harness("a", "b") as env:
        for number in range(40):
            if number % 2:
                env["a"].then("error")
            await env.outcome("a")
        out.add(env.router.explain())
        await out.call(env)


TOPICS: dict[str, list[Scene]] = {
    "Calls that no provider could serve": [
        circuits_and_cooldowns,
        trial_in_flight,
        limits,
        ineligible,
        budgets,
    ],
    "Calls that failed": [
        all_failed,
        every_kind,
        rejected_answers,
        request_at_fault,
        timeouts,
    ],
    "Trails": [choices, second_attempts],
}
