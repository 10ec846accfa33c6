"""States of several processes, merged into what the page shows."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import AllOpen, MultiProviderRouter, Provider, Route
from multirouter.console import state
from multirouter.console.traffic import Traffic

pytestmark = [pytest.mark.backends("asyncio")]

NOW = 1_700_000_000.0


async def answer(request: str) -> str:
    return request


def router_of(*names: str, **settings: Any) -> MultiProviderRouter[str, str]:
    providers = [Provider(name, answer) for name in names]
    return MultiProviderRouter(providers, name="r", registry=CollectorRegistry(), **settings)


def report_of(router: Any, **calls: str) -> dict[str, Any]:
    """A report with calls that are named by their times."""
    listed = [{"time": time, "request_id": id_} for id_, time in calls.items()]
    return state.report_of(router, listed, [])


async def test_one_process_shows_its_router() -> None:
    """The page shows the states of the router's own snapshot and explanation."""
    async with router_of("a", "b", routes=[Route("main", [["a", "b"]])]) as router:
        for _ in range(10):
            await router.call("x", route="main")
        router.hold("b", "open")
        reports = [report_of(router)]
    a, b = state.providers_of(reports)
    assert (a["state"], a["available"], a["text"], a["weight"]) == ("closed", 1, "", 1.0)
    assert (b["hold"], b["available"]) == ("open", 0)
    assert "held" in b["text"]
    (main,) = [route for route in state.routes_of(reports) if route["route"] == "main"]
    first, second = main["tiers"][0]
    assert (first["share"], second["share"]) == (1.0, 0.0)
    assert first["answers"] + second["answers"] == pytest.approx(1.0)


async def test_several_processes_are_summed() -> None:
    """Counts are sums, states are the worst, and shares are means by the numbers of calls."""
    async with router_of("a", "b") as one, router_of("a", "b") as two:
        for _ in range(4):
            await one.call("x")
        two.hold("a", "open")
        for _ in range(12):
            await two.call("x")
        reports = [report_of(one), report_of(two)]
    a, b = state.providers_of(reports)
    assert (a["processes"], a["available"], b["available"]) == (2, 1, 2)
    assert a["hold"] == "open"
    assert a["calls"] + b["calls"] == 16
    (route,) = state.routes_of(reports)
    shares = {member["provider"]: member["answers"] for tier in route["tiers"] for member in tier}
    assert shares["a"] == pytest.approx(a["calls"] / 16)
    assert sum(shares.values()) == pytest.approx(1.0)


async def test_processes_with_different_providers() -> None:
    """During a reload one process may have a provider that another has not; both are shown."""
    async with router_of("a") as one, router_of("a", "b") as two:
        reports = [report_of(one), report_of(two)]
    assert [p["provider"] for p in state.providers_of(reports)] == ["a", "b"]
    assert [p["processes"] for p in state.providers_of(reports)] == [2, 1]
    assert len(state.routes_of(reports)) == 1
    assert len(state.routes_of(list(reversed(reports)))[0]["tiers"][0]) == 2


async def test_calls_of_all_processes_newest_first() -> None:
    """Calls are ordered by time, whichever process had them."""
    async with router_of("a") as router:
        reports = [
            report_of(router, x="2026-01-02", y="2026-01-04"),
            report_of(router, z="2026-01-03"),
        ]
    assert [call["request_id"] for call in state.calls_of(reports)] == ["y", "z", "x"]


async def test_an_alarm_of_several_processes_is_one() -> None:
    """An alarm that fires in two processes is shown once, since the first of them."""
    async with router_of("a", alarms=[AllOpen()]) as one, router_of("a", alarms=[AllOpen()]) as two:
        one.hold("a", "open")
        await anyio.sleep(5)
        two.hold("a", "open")
        await anyio.sleep(5)
        reports = [report_of(one), report_of(two)]
        (alarm,) = state.alarms_of(reports)
        assert 8 < alarm["firing_for"] < 11
        assert alarm["text"]
        one.unhold("a")
        two.unhold("a")
        for router in (one, two):
            await router.call("x")  # the trial
        await anyio.sleep(5)
        assert state.alarms_of([report_of(one), report_of(two)]) == []


def test_traffic_of_several_processes() -> None:
    """Minutes of all processes add up, and the hour has their percentiles."""
    reports: list[dict[str, Any]] = []
    for seconds in (0.1, 0.4):
        traffic = Traffic()
        for _ in range(5):
            traffic.add(NOW, "answered", seconds, "a", 7, 0.5)
        reports.append({"traffic": traffic.read(NOW)})
    merged = state.traffic_of(reports, NOW)
    assert len(merged["counts"]) == 60
    assert merged["counts"][-1] == {"answered": 10}
    assert merged["counts"][0] == {}
    assert merged["hour"]["tokens"] == 70
    assert merged["hour"]["cost"] == pytest.approx(5.0)
    assert merged["hour"]["p50"] == pytest.approx(0.1, rel=0.1)
    assert merged["hour"]["p95"] == pytest.approx(0.4, rel=0.1)
    assert merged["p50"][0] is None


def test_budgets_of_several_processes() -> None:
    """Each process spends of a budget of its own: both sums are shown."""
    budget = {"owner": "router", "per": "day", "usd": 5.0, "spent": 2.0, "ends_in": 60.0}
    merged = state.merged_budgets([[budget], [budget | {"spent": 1.0}, budget | {"per": "hour"}]])
    assert [(b["per"], b["usd"], b["spent"]) for b in merged] == [
        ("day", 10.0, 3.0),
        ("hour", 5.0, 2.0),
    ]


def test_a_budget_of_a_fleet_is_one() -> None:
    """Its processes know the same spending, some later than others."""
    budget = {"owner": "router", "per": "day", "usd": 5.0, "spent": 2.0, "ends_in": 60.0}
    shared = budget | {"shared": True}
    (merged,) = state.merged_budgets([[shared], [shared | {"spent": 2.5}], [shared]])
    assert (merged["usd"], merged["spent"]) == (5.0, 2.5)


def test_learned_limits_of_several_processes() -> None:
    """Rates add up; of what headers report, the reading with the least left is shown."""

    def limit(
        source: str, name: str, size: float, left: float | None = None, model: str | None = None
    ) -> dict[str, Any]:
        return {"source": source, "name": name, "model": model, "limit": size, "remaining": left}

    one = [limit("headers", "x", 100, 40), limit("headers", "y", 100)]
    two = [limit("headers", "x", 100, 9), limit("headers", "y", 100, 3)]
    other = limit("headers", "x", 100, 0, "of another model")
    rates = [limit("429s", "requests_per_minute", rate) for rate in (12.0, 30.0)]
    assert state.merged_limits([[*one, rates[0]], [*two, rates[1]], [*one, other]]) == [
        limit("headers", "x", 100, 9),
        limit("headers", "y", 100, 3),
        limit("429s", "requests_per_minute", 42.0),
        other,
    ]
