"""Traffic by weight over three vendors, each with a circuit breaker, and an outage of one of them.

    python examples/weighted_router.py

Half of the calls go to openai, a third to anthropic, a sixth to gemini. Then openai goes down: its
circuit opens after a few failures, which callers do not see, and its traffic goes to the two others
by their weights, until a trial succeeds. Runs offline; vendors whose API key is set are called for
real, and have no outage.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from clients import model, set_down
from prometheus_client import CollectorRegistry

from multirouter import CircuitPolicy, MultiProviderRouter

OUTAGE = range(200, 400)
"""The calls during which openai is down."""


async def main(calls: int = 600, rng: Random | None = None) -> Counter[str]:
    """Makes the calls; prints and returns the number of answers by provider, and of errors."""
    openai = model("openai", "openai", "gpt-5", weight=3)
    router = MultiProviderRouter(
        [
            openai,
            model("anthropic", "anthropic", "claude-sonnet-5", weight=2),
            model("gemini", "gemini", "gemini-3-flash", weight=1),
        ],
        name="weighted",
        circuit=CircuitPolicy(failures=3, open_duration=0.3),
        registry=CollectorRegistry(),
        rng=rng,
    )
    answered: Counter[str] = Counter()
    total: Counter[str] = Counter()
    async with router:
        for number in range(calls):
            if number in {OUTAGE.start, OUTAGE.stop}:
                down = number == OUTAGE.start
                print(f"calls {number - 200} to {number - 1}: {dict(sorted(answered.items()))}")
                total += answered
                answered.clear()
                if set_down(openai, down=down):
                    print(f"openai is {'down' if down else 'up again'}")
            outcome = await router.call_outcome(f"question {number}")
            answered[outcome.provider or "error"] += 1
        print(f"calls {OUTAGE.stop} to {calls - 1}: {dict(sorted(answered.items()))}")
        print(router.explain())
    return total + answered


if __name__ == "__main__":
    asyncio.run(main())
