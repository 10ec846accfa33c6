"""A chain for each kind of task, chosen by the task; health, cost, an alarm, a shadow, a history.

    python examples/task_chains.py

Hard reasoning, code and simple work each have models of their own; nobody names a route, the task
does. While the first model of a chain is down its tasks go to the next one, and the end shows what
that has cost, or saved, against the first choice alone. Five of a hundred answered calls are copied
to a backup, so that its latencies are known before it is needed. Give a file name, and the history
is kept there: `multirouter report` reads it. Runs offline; a vendor whose key is set is asked for
real.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import NamedTuple

from clients import Reply, model, switch
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
DEEPSEEK = model("deepseek", "deepseek", "deepseek-chat", price=Price(0.28, 0.42), fails=0.02)
FLASH = model("flash", "gemini", "gemini-3-flash", price=Price(0.5, 3.0))

CHAINS: dict[str, list[str | list[str]]] = {
    "reasoning": ["opus", "gpt", "deepseek"],
    "coding": ["gpt", ["opus", "deepseek"]],
    "simple": ["flash", "deepseek"],
}
TASKS = {"Prove that": "reasoning", "Refactor": "coding", "Translate": "simple"}


class Report(NamedTuple):
    """What the day came to."""

    answered: Counter[tuple[str, str]]
    errors: int
    cost: float
    extra: float
    told: list[AlarmChanged]


def chain_for(prompt: str) -> str:
    """The chain that a task needs, by how it begins; the simple one for everything else."""
    return next((chain for words, chain in TASKS.items() if prompt.startswith(words)), "simple")


def make_router(told: list[AlarmChanged], history: str | None) -> MultiProviderRouter[str, Reply]:
    """The chains, watched over."""
    return MultiProviderRouter(
        [OPUS, GPT, DEEPSEEK, FLASH],
        name="tasks",
        routes=[Route(name, tiers) for name, tiers in CHAINS.items()],
        route=chain_for,
        circuit=CircuitPolicy(failures=3, open_duration=2.0),
        budget=Budget(50.0, "day"),
        shadow=Shadow(["deepseek"], share=0.05),
        alarms=Alarms(
            [ProviderFailing("opus", over=0.05, within=300.0)], to=[told.append], every=0.1
        ),
        history=history,
        registry=CollectorRegistry(),
    )


async def main(history: str | None = None, rounds: int = 60) -> Report:
    """A day's tasks in a few seconds; opus is down for the second half of it."""
    told: list[AlarmChanged] = []
    answered: Counter[tuple[str, str]] = Counter()
    cost = extra = 0.0
    errors = 0
    async with make_router(told, history) as router:
        for number in range(rounds):
            if number == rounds // 2 and switch(OPUS, down=True):
                print("opus is down")
            for words in TASKS:
                outcome = await router.call_outcome(f"{words} {number}")
                answered[outcome.route, outcome.provider or "nobody"] += 1
                errors += not outcome.ok
                cost += outcome.cost
                extra += outcome.failover_cost or 0.0
        await asyncio.sleep(0.2)
        print(router.explain("reasoning"))
    switch(OPUS, down=False)
    for (route, provider), times in sorted(answered.items()):
        print(f"{route:10} {provider:9} {times:4}")
    print(f"errors seen: {errors}; cost: {cost:.4f} USD, of which failover: {extra:+.4f} USD")
    for alarm in told:
        print(f"alarm {alarm.alarm} {'fires' if alarm.firing else 'is over'}: {alarm.text}")
    return Report(answered, errors, cost, extra, told)


if __name__ == "__main__":
    asyncio.run(main(history=next(iter(sys.argv[1:]), None)))
