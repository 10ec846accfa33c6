"""Falls back by quality: an answer that is no good is a failure, and the next model is asked.

    python examples/quality_fallback.py

The answer must be JSON of a given form. Models of the same quality come first, weaker ones after
them, and never one whose window is too small for the text; while there is another vendor, the one
that just failed is avoided. When nobody gives a good answer there is a substitute that says so. The
trail of each call tells what was wrong with the answers that were refused. Runs offline; a vendor
whose key is set is asked for real.
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

from clients import Reply, model
from prometheus_client import CollectorRegistry

from multirouter import CallOutcome, MultiProviderRouter, Route

GOOD = json.dumps({"sentiment": "positive", "confidence": 0.93})
UNSURE = Reply(json.dumps({"sentiment": "unknown", "confidence": 0.0}))


def chatty(prompt: str) -> str:
    """Talks about the answer instead of giving it, for one in five texts."""
    return GOOD if len(prompt) % 5 else f"Sure! Here is your JSON: {GOOD}"


def good(reply: Reply) -> str | bool:
    """Whether a reply is JSON with a known sentiment, or what is wrong with it."""
    try:
        said: Any = json.loads(reply.text)
    except ValueError:
        return "no JSON"
    if not isinstance(said, dict) or said.get("sentiment") not in {"positive", "negative"}:
        return f"no sentiment in {sorted(said) if isinstance(said, dict) else type(said).__name__}"
    return True


def asked(text: str) -> str:
    """What the models are asked about a text."""
    return f'Answer with JSON alone, {{"sentiment": "positive" or "negative", ...}}: {text}'


def make_router(rng: Random | None = None) -> MultiProviderRouter[str, Reply]:
    """Two equals, then a cheaper one, then one that has little room and less sense."""
    return MultiProviderRouter(
        [
            model("gpt", "openai", "gpt-5", says=chatty, context_window=400_000),
            model("opus", "anthropic", "claude-opus-5", says=lambda _: GOOD, fails=0.1),
            model("flash", "gemini", "gemini-3-flash", says=lambda _: GOOD, fails=0.1),
            model("mini", "openai", "gpt-5-nano", says=lambda _: "positive", context_window=8_000),
        ],
        name="quality",
        routes=[Route("default", [["gpt", "opus"], "flash", "mini"], attempt_timeout=10.0)],
        accept=good,
        fallback=UNSURE,
        registry=CollectorRegistry(),
        rng=rng,
    )


async def main(texts: int = 40, rng: Random | None = None) -> list[CallOutcome[Reply]]:
    """Asks about some texts, and says how each came by its answer."""
    outcomes = []
    async with make_router(rng) as router:
        for number in range(texts):
            outcome = await router.call_outcome(asked("I like it" + "!" * number))
            outcomes.append(outcome)
            refused = [f"{r.provider}: {r.verdict.reason}" for r in outcome.attempts if not r.ok]
            who = outcome.provider or "the substitute"
            print(f"{who:15}{f' after {refused}' if refused else ''}")
    return outcomes


if __name__ == "__main__":
    asyncio.run(main())
