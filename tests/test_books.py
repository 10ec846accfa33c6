"""Money is told in four places, and all of them say the same, whatever becomes of the calls."""

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
from tests.listeners.history_kit import BASE, history, rows

CALLS = 150


def answered(request: str) -> dict[str, Any]:
    """An answer that tells its usage, but for every fourth."""
    said: dict[str, Any] = {"choices": [{"message": {"content": "word " * 20}}]}
    if len(request) % 4:
        said["usage"] = {"prompt_tokens": 7 * len(request), "completion_tokens": len(request)}
    return said


def priced(name: str, price: Price, **troubles: Any) -> Provider[str, Any, Any]:
    """A provider that answers and streams, with troubles, a price and budgets."""
    scripted = ScriptedProvider(name, latency=LogNormal(1.0, 0.8), answer=answered, **troubles)
    budget = [Budget(1e6, "month"), Budget(1e6)]
    return Provider(name, scripted, stream=scripted.stream, price=price, budget=budget)


def restless(
    kept: History, heard: Recorder, registry: CollectorRegistry
) -> MultiProviderRouter[str, Any, Any]:
    """Providers that fail in turns, on a route that hedges, splices and copies."""
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
        history=kept,
        listeners=[heard],
        registry=registry,
        rng=Random(5),
    )


async def ask(router: MultiProviderRouter[str, Any, Any], number: int, chance: Random) -> None:
    """One call, or one stream, whose caller may lose patience or interest."""
    request = "x" * (1 + number % 50)
    patience = chance.choice([0.7, 60.0, 60.0])
    with anyio.move_on_after(patience):
        try:
            if chance.random() < 0.5:
                await router.call(request, timeout=20.0)
                return
            pieces = chance.choice([1, 10**6])
            async with router.stream(request, timeout=20.0) as stream:
                async for _ in stream:
                    pieces -= 1
                    if not pieces:
                        break
        except MultirouterError:
            pass


@pytest.mark.parametrize("seed", range(2))
async def test_all_books_agree(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records, accounts, metrics, history and the next run's budgets name one sum.

    Failovers, hedges, timeouts, streams that are cut or left, copies and callers who leave in the
    middle of it: each attempt is booked once, on each of its accounts.
    """
    monkeypatch.setattr("time.time", lambda: BASE)
    chance, heard, registry = Random(seed), Recorder(), CollectorRegistry()
    file = tmp_path / "h.db"
    router = restless(history(file), heard, registry)
    async with router, anyio.create_task_group() as group:
        for number in range(CALLS):
            group.start_soon(ask, router, number, chance)
            await anyio.sleep(chance.expovariate(1.2))
    records = [r for r in heard.of("attempt_ended") if r.role != "shadow"]
    spent = sum(record.cost for record in records)
    assert {r.role for r in heard.of("attempt_ended")} >= {"call", "hedge", "shadow"}
    assert {"success", "cancelled", "timeout"} <= {r.verdict.kind.value for r in records}
    assert spent > 0
    by_provider = {name: sum(r.cost for r in records if r.provider == name) for name in "abc"}
    for name, cost in by_provider.items():
        labels = {"router": "default", "route": "default", "provider": name}
        counted = registry.get_sample_value("multirouter_cost_usd_total", labels)
        assert counted == pytest.approx(cost)
    assert sum(row["cost"] for row in rows(file, "spending")) == pytest.approx(spent)
    again = restless(history(file), Recorder(), CollectorRegistry())
    for run in (router.snapshot(), again.snapshot()):
        for name, cost in by_provider.items():
            standing = run["providers"][name]["budgets"]
            assert [budget["spent"] for budget in standing] == pytest.approx([cost, cost])
        shared = {b["owner"]: b["spent"] for b in run["routes"]["default"]["budgets"]}
        assert shared == pytest.approx({"route default": spent, "router": spent})
    await again.aclose()
