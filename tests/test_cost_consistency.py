"""Costs are reported in four places, and all of them agree."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    Budget,
    HedgePolicy,
    MultiProviderRouter,
    MultirouterError,
    Price,
    Provider,
    Route,
    Shadow,
    StreamPolicy,
)
from multirouter.listeners.history.history import History
from multirouter.testing import LogNormal, Outage, Recorder, ScriptedProvider
from tests.listeners.history.helpers import BASE, history, rows

CALLS = 150


def answer_with_usage(request: str) -> dict[str, Any]:
    """An answer that reports its usage, except every fourth."""
    answer: dict[str, Any] = {"choices": [{"message": {"content": "word " * 20}}]}
    if len(request) % 4:
        answer["usage"] = {"prompt_tokens": 7 * len(request), "completion_tokens": len(request)}
    return answer


def priced(name: str, price: Price, **faults: Any) -> Provider[str, Any, Any]:
    """A provider that answers and streams, with faults, a price and budgets."""
    scripted = ScriptedProvider(
        name, latency=LogNormal(1.0, 0.8), answer=answer_with_usage, **faults
    )
    budget = [Budget(1e6, "month"), Budget(1e6)]
    return Provider(name, scripted, stream=scripted.stream, price=price, budget=budget)


def busy_router(
    store: History, recorder: Recorder, registry: CollectorRegistry
) -> MultiProviderRouter[str, Any, Any]:
    """Providers that fail in turns, on a route with hedging, continuation and shadow copies."""
    return MultiProviderRouter(
        [
            priced("a", Price(5, 25), outages=[Outage(20, 60, "reset"), Outage(90, 120, "hang")]),
            priced("b", Price(1, 4), outages=[Outage(50, 80, "error", share=0.5)]),
            priced("c", Price(0.1, 0.4, per_request=0.01)),
        ],
        routes=[
            Route(
                "default",
                [["a", "b"], "c"],
                hedge=HedgePolicy(after=1.5),
                attempt_timeout=6.0,
                budget=Budget(1e6, "month"),
            )
        ],
        budget=Budget(1e6, "month"),
        stream=StreamPolicy(on_interrupt="restart", first_token=4.0),
        shadow=Shadow(["c"], share=0.3),
        history=store,
        listeners=[recorder],
        registry=registry,
        rng=Random(5),
    )


async def make_call(router: MultiProviderRouter[str, Any, Any], number: int, rng: Random) -> None:
    """One call, or one stream, whose caller may cancel it or stop reading."""
    request = "x" * (1 + number % 50)
    seconds = rng.choice([0.7, 60.0, 60.0])
    with anyio.move_on_after(seconds):
        try:
            if rng.random() < 0.5:
                await router.call(request, timeout=20.0)
                return
            chunks = rng.choice([1, 10**6])
            async with router.stream(request, timeout=20.0) as stream:
                async for _ in stream:
                    chunks -= 1
                    if not chunks:
                        break
        except MultirouterError:
            pass


@pytest.mark.parametrize("seed", range(2))
async def test_all_costs_agree(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records, accounts, metrics, history and the next run's budgets have the same sum.

    With failovers, hedges, timeouts, interrupted and abandoned streams, shadow copies and cancelled
    calls: each attempt is charged once, to each of its accounts.
    """
    monkeypatch.setattr("time.time", lambda: BASE)
    rng, recorder, registry = Random(seed), Recorder(), CollectorRegistry()
    file = tmp_path / "h.db"
    router = busy_router(history(file), recorder, registry)
    async with router, anyio.create_task_group() as group:
        for number in range(CALLS):
            group.start_soon(make_call, router, number, rng)
            await anyio.sleep(rng.expovariate(1.2))
    records = [r for r in recorder.of("attempt_ended") if r.role != "shadow"]
    spent = sum(record.cost for record in records)
    assert {r.role for r in recorder.of("attempt_ended")} >= {"call", "hedge", "shadow"}
    assert {"success", "cancelled", "timeout"} <= {r.verdict.kind.value for r in records}
    assert spent > 0
    by_provider = {name: sum(r.cost for r in records if r.provider == name) for name in "abc"}
    for name, cost in by_provider.items():
        labels = {"router": "default", "route": "default", "provider": name, "model": ""}
        counted = registry.get_sample_value("multirouter_cost_usd_total", labels)
        assert counted == pytest.approx(cost)
    assert sum(row["cost"] for row in rows(file, "spending")) == pytest.approx(spent)
    restarted = busy_router(history(file), Recorder(), CollectorRegistry())
    for run in (router.snapshot(), restarted.snapshot()):
        for name, cost in by_provider.items():
            budgets = run["providers"][name]["budgets"]
            assert [budget["spent"] for budget in budgets] == pytest.approx([cost, cost])
        shared = {b["owner"]: b["spent"] for b in run["routes"]["default"]["budgets"]}
        assert shared == pytest.approx({"route default": spent, "router": spent})
    await restarted.aclose()
