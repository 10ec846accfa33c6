"""A chain of providers in order, with retries, and four routes with different priorities.

    python examples/resilient_chain.py

The default route attempts opus first, at most twice, then gpt, then flash; a circuit opens after
three consecutive failures. `speed`, `quality`, `balanced` and `cheapest` are routes over the same
models. For each answer the provider, the number of attempts and the duration are printed, as a web
service would send them in an `X-Provider` header. Runs offline; vendors whose API key is set are
called for real.
"""

from __future__ import annotations

import asyncio
from random import Random

from clients import Reply, model, set_down
from prometheus_client import CollectorRegistry

from multirouter import (
    CallOutcome,
    CircuitPolicy,
    MultiProviderRouter,
    Price,
    RetryPolicy,
    Route,
)

OPUS = model("opus", "anthropic", "claude-opus-5", seconds=0.08, quality=95, price=Price(5.0, 25.0))
GPT = model("gpt", "openai", "gpt-5", seconds=0.04, quality=90, price=Price(1.25, 10.0))
FLASH = model("flash", "gemini", "gemini-3-flash", seconds=0.01, quality=70, price=Price(0.5, 3.0))

ONE_TIER = [["opus", "gpt", "flash"]]
PRIORITIES = {
    "speed": "fastest",
    "quality": "highest_quality",
    "balanced": "balanced",
    "cheapest": "cheapest",
}


def make_router(rng: Random | None = None) -> MultiProviderRouter[str, Reply]:
    """The chain, and a route for each priority."""
    return MultiProviderRouter(
        [OPUS, GPT, FLASH],
        name="chain",
        routes=[
            Route("default", ["opus", "gpt", "flash"], retries_per_provider=1),
            *(Route(name, ONE_TIER, strategy=strategy) for name, strategy in PRIORITIES.items()),
        ],
        retry=RetryPolicy(base=0.02, max_retry_after=30.0),
        circuit=CircuitPolicy(failures=3, open_duration=60.0),
        timeout=30.0,
        registry=CollectorRegistry(),
        rng=rng,
    )


def described(outcome: CallOutcome[Reply]) -> str:
    """Provider, number of attempts, duration and trail of a call."""
    trail = " > ".join(f"{record.provider}:{record.verdict.kind}" for record in outcome.attempts)
    return (
        f"{outcome.route:9} X-Provider: {outcome.provider}, "
        f"attempt {len(outcome.attempts)}, {outcome.elapsed * 1000:.0f} ms  ({trail})"
    )


async def main(rng: Random | None = None) -> list[CallOutcome[Reply]]:
    """Calls each route, then the chain while its first provider is down."""
    async with make_router(rng) as router:
        for route in ("default", *PRIORITIES) * 10:  # measures the latencies
            await router.call("Hello?", route=route)
        routes = ["default", *PRIORITIES]
        outcomes = [await router.call_outcome("What is a monad?", route=route) for route in routes]
        if set_down(OPUS, down=True):
            print("opus is down")
        outcomes += [await router.call_outcome("And a comonad?") for _ in range(3)]
        print(*map(described, outcomes), sep="\n")
        print(router.explain())
    set_down(OPUS, down=False)
    return outcomes


if __name__ == "__main__":
    asyncio.run(main())
