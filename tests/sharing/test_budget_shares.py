"""Budgets and attempts in flight of the whole fleet: shares by demand, and bounded overshoot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from multirouter import Budget, LimitPolicy, Price, Route
from multirouter.runtime.fleet.limit_shares import LimitShares
from multirouter.sharing.transport import Grants
from multirouter.testing import virtual_clock
from tests.sharing.fleet import Fleet, Router

COST = 0.01
"""US dollars of a call."""

USD = 10.0
BUDGETS = [Budget(USD, "month")]
"""A thousand calls."""


async def budgeted(found: Fleet, *hosts: str, where: str = "router") -> list[Router]:
    """Enters routers with a budget of the provider, of the route or of the router."""
    routers = []
    for host in hosts:
        router = found.make(host, providers=("a",), shared=True)
        own = {"budget": BUDGETS} if where == "provider" else {}
        made = found.world.provider("a", len(found.routers) - 1, host)
        providers = [made.replace(price=Price(0, 0, per_request=COST), **own)]
        routes = [Route("r", ["a"], budget=BUDGETS if where == "route" else None)]
        settings = {"budget": BUDGETS} if where == "router" else {}
        router.reconfigure(providers, routes=routes, **settings)
        await found._stack.enter_async_context(router)
        routers.append(router)
    return routers


async def hammer(router: Router, pause: float) -> None:
    while True:
        await router.call_outcome({"model": "m"}, route="r")
        await asyncio.sleep(pause)


@pytest.mark.parametrize(
    ("processes", "where"), [(1, "router"), (4, "provider"), (4, "route"), (20, "router")]
)
def test_a_fleet_spends_its_budget_and_no_more(processes: int, where: str) -> None:
    """All of it is used; the excess is what attempts in flight cost, and one of each process."""

    async def main() -> tuple[int, list[bool]]:
        found = Fleet()
        routers = await budgeted(found, *(f"h{n}" for n in range(processes)), where=where)
        tasks = [asyncio.create_task(hammer(router, 0.1)) for router in routers]
        await asyncio.sleep(1500.0 / processes)
        for task in tasks:
            task.cancel()
        events = [event for r in found.recorders for event in r.of("budget_reached")]
        await found.aclose()
        return found.world.calls["a"], [event.used_up for event in events]

    calls, used_up = virtual_clock.run(main)
    assert USD / COST <= calls <= USD / COST + 2 * processes
    assert used_up.count(True) == processes
    assert used_up.count(False) <= processes


def test_shares_follow_the_demand_and_a_late_process_knows_what_is_spent() -> None:
    """One busy process may spend nearly all; a late one has what is left."""

    async def main() -> None:
        found = Fleet()
        busy, _ = await budgeted(found, "x", "y")
        task = asyncio.create_task(hammer(busy, 0.1))
        await asyncio.sleep(150.0)
        assert found.world.calls["a"] > 900
        spent = found.world.calls["a"] * COST
        (late,) = await budgeted(found, "z")
        await asyncio.sleep(4.0)
        (budget,) = late.snapshot()["routes"]["r"]["budgets"] or late.snapshot()["budgets"]
        assert budget["spent"] == pytest.approx(spent, abs=0.2)
        await asyncio.sleep(60.0)
        task.cancel()
        with pytest.raises(Exception, match="used up"):
            await late.call({"model": "m"}, route="r")
        await found.aclose()

    virtual_clock.run(main)


def test_without_the_server_each_process_keeps_to_its_last_share() -> None:
    """Four processes with equal shares spend no more than the budget, and none waits for it."""

    async def main() -> tuple[int, list[str]]:
        found = Fleet()
        routers = await budgeted(found, *"wxyz")
        tasks = [asyncio.create_task(hammer(router, 1.0)) for router in routers]
        await asyncio.sleep(30.0)
        found.server.down = True
        found.server.disconnect_all()
        await asyncio.sleep(600.0)
        for task in tasks:
            task.cancel()
        accounts = [r._engine.states.accounts.by_owner["router"] for r in routers]
        texts = [account.rejection() for account in accounts]
        assert {account.ready_in() for account in accounts} == {1.0}
        await found.aclose()
        return found.world.calls["a"], texts

    calls, texts = virtual_clock.run(main)
    assert 0.9 * USD / COST <= calls <= USD / COST + 4
    assert set(texts) == {"the share of this process in the budget of 10 USD per month is used up"}


def test_attempts_in_flight_of_the_whole_fleet() -> None:
    """Shares of a bulkhead follow the demand; each process has at least one attempt."""

    async def main() -> None:
        found = Fleet()
        found.world.latency = 1.0
        limits = LimitPolicy(in_flight=20)
        routers = await found.start(*"wxyz", providers=("a",), limits=limits)

        async def caller(router: Any) -> None:
            while True:
                await router.call_outcome("?", wait=100.0)

        tasks = [asyncio.create_task(caller(routers[0])) for _ in range(30)]
        await asyncio.sleep(30.0)

        def in_flight() -> list[int]:
            return [router._engine.states.gates["a"].in_flight for router in routers]

        assert 15 <= in_flight()[0] <= 19
        tasks += [asyncio.create_task(caller(router)) for router in routers[1:] for _ in range(30)]
        most = 0
        for _ in range(300):
            await asyncio.sleep(0.1)
            most = max(most, sum(in_flight()))
        assert most <= 20 + len(routers)
        assert sum(in_flight()) >= 16
        assert min(in_flight()) >= 3
        for task in tasks:
            task.cancel()
        await found.aclose()

    virtual_clock.run(main)


def test_an_answer_about_a_period_that_is_over_changes_nothing() -> None:
    """The budget of a new period is whole, whatever was spent in the last."""

    async def main() -> None:
        found = Fleet()
        (router,) = await budgeted(found, "x")
        await asyncio.sleep(5.0)
        (account,) = router._engine.states.accounts.by_owner.values()
        shares = LimitShares(router._engine.states, lambda: None)
        demands = shares.report("p", 3.0, 5.0)
        (label,) = demands.budgets
        (period,) = account.periods
        later = period.ends_at + 1.0
        account._wall = lambda: later  # it ends before the answer arrives
        shares.apply(Grants(dict.fromkeys(demands.limits, 0.5), {label: (USD, USD)}))
        assert (period.others, period.warned, account.rejection()) == (0.0, False, "")
        await found.aclose()

    virtual_clock.run(main)
