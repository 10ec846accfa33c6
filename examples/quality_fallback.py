"""Failover by quality: an invalid answer is a failure, and the next model is attempted.

    python examples/quality_fallback.py

The answer must be JSON of a given form. Models of equal quality are in the first tier, weaker ones
in the next. A model whose context window is too small for the text is skipped, and another vendor
is preferred to the one that just failed. If no model gives a valid answer, the caller gets a
fallback. The trail of each call has the reasons why answers were rejected. Runs offline; vendors
whose API key is set are called for real.
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

from clients import Reply, model
from prometheus_client import CollectorRegistry

from multirouter import CallOutcome, MultiProviderRouter, Route

VALID = json.dumps({"sentiment": "positive", "confidence": 0.93})
FALLBACK = Reply(json.dumps({"sentiment": "unknown", "confidence": 0.0}))


def chatty(prompt: str) -> str:
    """Adds prose to the JSON, for one in five texts."""
    return VALID if len(prompt) % 5 else f"Sure! Here is your JSON: {VALID}"


def accept(reply: Reply) -> str | bool:
    """True if a reply is JSON with a known sentiment, else what is wrong with it."""
    try:
        value: Any = json.loads(reply.text)
    except ValueError:
        return "invalid JSON"
    if not isinstance(value, dict) or value.get("sentiment") not in {"positive", "negative"}:
        return "no sentiment"
    return True


def prompt_for(text: str) -> str:
    """The prompt about a text."""
    return f'Answer with JSON alone, {{"sentiment": "positive" or "negative", ...}}: {text}'


def make_router(rng: Random | None = None) -> MultiProviderRouter[str, Reply]:
    """Two models of equal quality, then a cheaper one, then one with a small context window."""
    return MultiProviderRouter(
        [
            model("gpt", "openai", "gpt-5", answer=chatty, context_window=400_000),
            model("opus", "anthropic", "claude-opus-5", answer=lambda _: VALID, error_rate=0.1),
            model("flash", "gemini", "gemini-3-flash", answer=lambda _: VALID, error_rate=0.1),
            model(
                "mini", "openai", "gpt-5-nano", answer=lambda _: "positive", context_window=8_000
            ),
        ],
        name="quality",
        routes=[Route("default", [["gpt", "opus"], "flash", "mini"], attempt_timeout=10.0)],
        accept=accept,
        fallback=FALLBACK,
        registry=CollectorRegistry(),
        rng=rng,
    )


async def main(texts: int = 40, rng: Random | None = None) -> list[CallOutcome[Reply]]:
    """Sends some texts, and prints the provider and the rejected answers of each."""
    outcomes = []
    async with make_router(rng) as router:
        for number in range(texts):
            outcome = await router.call_outcome(prompt_for("I like it" + "!" * number))
            outcomes.append(outcome)
            failed = [f"{a.provider}: {a.verdict.reason}" for a in outcome.attempts if not a.ok]
            print(f"{outcome.provider or 'fallback':10}{f' after {failed}' if failed else ''}")
    return outcomes


if __name__ == "__main__":
    asyncio.run(main())
