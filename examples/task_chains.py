"""A route for each kind of task, chosen by the prompt; cost, an alarm, shadow traffic, history.

    python examples/task_chains.py [HISTORY_FILE]

Reasoning, coding and simple tasks have different models; a function chooses the route by the
prompt. While the first model of a chain is down, its tasks fail over to the next one, and the
output shows what the failovers cost or saved against the first choice. Five percent of the answered
calls are copied to a backup, so that its latency is known before it is needed. With a file name the
history is written there; `multirouter report` reads it. Runs offline; vendors whose API key is set
are called for real.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import NamedTuple

from clients import Reply, model, set_down
from prometheus_client import CollectorRegistry

from multirouter import (
    AlarmChanged,
    Alarms,
    Budget,
    CircuitPolicy,
    MultiProviderRouter,
    Price,
    ProviderFailing,
    Route,
    Shadow,
)

OPUS = model("opus", "anthropic", "claude-opus-5", price=Price(5.0, 25.0))
GPT = model("gpt", "openai", "gpt-5", price=Price(1.25, 10.0))
DEEPSEEK = model("deepseek", "deepseek", "deepseek-chat", price=Price(0.28, 0.42), error_rate=0.02)
FLASH = model("flash", "gemini", "gemini-3-flash", price=Price(0.5, 3.0))

CHAINS: dict[str, list[str | list[str]]] = {
    "reasoning": ["opus", "gpt", "deepseek"],
    "coding": ["gpt", ["opus", "deepseek"]],
    "simple": ["flash", "deepseek"],
}
TASKS = {"Prove that": "reasoning", "Refactor": "coding", "Translate": "simple"}


class Report(NamedTuple):
    """Result of the run.

    Attributes:
        answered: calls by route and provider.
        errors: calls without an answer.
        cost: cost of all calls, USD.
        extra: cost of the failovers, USD; below 0 when they saved money.
        alarms: the alarms that fired and cleared.
    """

    answered: Counter[tuple[str, str]]
    errors: int
    cost: float
    extra: float
    alarms: list[AlarmChanged]


def chain_for(prompt: str) -> str:
    """The route of a prompt, by its first words; `simple` for all others."""
    return next((chain for words, chain in TASKS.items() if prompt.startswith(words)), "simple")


def make_router(alarms: list[AlarmChanged], history: str | None) -> MultiProviderRouter[str, Reply]:
    """The router with all routes; alarms are appended to the list."""
    return MultiProviderRouter(
        [OPUS, GPT, DEEPSEEK, FLASH],
        name="tasks",
        routes=[Route(name, tiers) for name, tiers in CHAINS.items()],
        route=chain_for,
        circuit=CircuitPolicy(failures=3, open_duration=2.0),
        budget=Budget(50.0, "day"),
        shadow=Shadow(["deepseek"], share=0.05),
        alarms=Alarms(
            [ProviderFailing("opus", over=0.05, within=300.0)], to=[alarms.append], interval=0.1
        ),
        history=history,
        registry=CollectorRegistry(),
    )


async def main(history: str | None = None, rounds: int = 60) -> Report:
    """Makes some tasks of each kind; opus is down for the second half of them."""
    alarms: list[AlarmChanged] = []
    answered: Counter[tuple[str, str]] = Counter()
    cost = extra = 0.0
    errors = 0
    async with make_router(alarms, history) as router:
        for number in range(rounds):
            if number == rounds // 2 and set_down(OPUS, down=True):
                print("opus is down")
            for words in TASKS:
                outcome = await router.call_outcome(f"{words} {number}")
                answered[outcome.route, outcome.provider or "none"] += 1
                errors += not outcome.ok
                cost += outcome.cost
                extra += outcome.failover_cost or 0.0
        await asyncio.sleep(0.2)
        print(router.explain("reasoning"))
    set_down(OPUS, down=False)
    for (route, provider), times in sorted(answered.items()):
        print(f"{route:10} {provider:9} {times:4}")
    print(f"errors seen by callers: {errors}")
    print(f"cost: {cost:.4f} USD, of which failover: {extra:+.4f} USD")
    for alarm in alarms:
        print(f"alarm {alarm.alarm} {'fired' if alarm.firing else 'cleared'}: {alarm.text}")
    return Report(answered, errors, cost, extra, alarms)


if __name__ == "__main__":
    asyncio.run(main(history=next(iter(sys.argv[1:]), None)))
