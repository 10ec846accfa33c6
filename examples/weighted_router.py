"""Traffic by weight over three vendors, with a circuit breaker each; one of them has an outage.

    python examples/weighted_router.py

Half of the calls go to openai, a third to anthropic, a sixth to gemini. Then openai goes down: its
circuit opens after a few failures, which the callers do not see, and its traffic goes to the two
others by their weights, until a copy of a call has shown that it is well again. Runs offline; a
vendor whose key is set is asked for real, and has no outage.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from clients import model, switch
from prometheus_client import CollectorRegistry

from multirouter import CircuitPolicy, MultiProviderRouter

OUTAGE = range(200, 400)
"""The calls during which openai is down."""


async def main(calls: int = 600, rng: Random | None = None) -> Counter[str]:
    """Makes the calls and says who answered them; returns how many each did, and the errors."""
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
    whole: Counter[str] = Counter()
    async with router:
        for number in range(calls):
            if number in {OUTAGE.start, OUTAGE.stop}:
                down = number == OUTAGE.start
                print(f"calls {number - 200} to {number - 1}: {dict(sorted(answered.items()))}")
                whole += answered
                answered.clear()
                if switch(openai, down=down):
                    print(f"openai is {'down' if down else 'up again'}")
            outcome = await router.call_outcome(f"question {number}")
            answered[outcome.provider or "error"] += 1
        print(f"the rest: {dict(sorted(answered.items()))}")
        print(router.explain())
    return whole + answered


if __name__ == "__main__":
    asyncio.run(main())
