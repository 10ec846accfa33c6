"""A new router restores circuits, windows, health, latencies and budgets from its history."""

from __future__ import annotations

import sqlite3

import anyio
import pytest

from multirouter import CircuitPolicy, Provider, Route
from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price
from multirouter.listeners.history import file as history_file
from multirouter.testing import ScriptedProvider, virtual_clock
from tests.listeners.history.helpers import BASE, history, router

WINDOW = CircuitPolicy(failures=50, window=60.0)


def fill(file, table: str, *new_rows: dict[str, object]) -> None:
    """Inserts rows as an earlier run would have done."""
    connection = history_file.open_to_write(file)
    defaults = {
        "attempts": {
            "role": "call",
            "kind": "success",
            "elapsed": 1.0,
            "late": 0,
            "route": "default",
        },
        "circuits": {
            "run": "earlier",
            "old": "closed",
            "new": "open",
            "reason": "failures",
            "open_duration": 60.0,
        },
        "spending": {"route": "default", "provider": "a"},
    }[table]
    for row in new_rows:
        values = {"router": "default", **defaults, **row}
        if table != "spending":
            values = {"provider": "a", **values}
        placeholders = ", ".join("?" * len(values))
        connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({placeholders})",
            tuple(values.values()),
        )
    connection.close()


def restarted(file, offset: float = 0.0, **settings):
    """A new router at `BASE + offset` by the wall clock."""
    providers = [Provider(name, ScriptedProvider(name)) for name in "ab"]
    return router(history(file, offset), *providers, **settings)


def gate(r, name: str = "a"):
    return r._engine.states.gates[name]


async def test_an_open_circuit_keeps_its_remaining_duration(tmp_path):
    """Opened for 60 s and restored after 20 s: open for 40 s, then half-open, then closed."""
    file = tmp_path / "h.db"
    fill(file, "circuits", {"at": BASE - 20.0})
    async with restarted(file) as r:
        assert "open (failures; last failure: in an earlier run), half-open in" in repr(r)
        await r.call("q")
        await anyio.sleep(39.9)
        assert r.circuit_state("a") == "open"
        await anyio.sleep(0.2)
        assert r.circuit_state("a") == "half_open"
        for _ in range(20):
            await r.call("q")
        assert r.circuit_state("a") == "closed"


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ([{"at": BASE - 90.0}], "half_open"),
        (
            [{"at": BASE - 90.0}, {"at": BASE - 30.0, "old": "open", "new": "half_open"}],
            "half_open",
        ),
        ([{"at": BASE - 90.0}, {"at": BASE - 20.0, "old": "half_open", "new": "closed"}], "closed"),
        ([{"at": BASE - 1.0, "reason": "held", "open_duration": float("inf")}], "closed"),
        ([{"at": BASE + 500.0}], "open"),
        ([{"at": BASE - 1.0, "router": "another"}], "closed"),
        ([{"at": BASE - 1.0, "provider": "removed"}], "closed"),
    ],
    ids=[
        "expired",
        "half-open",
        "recovered",
        "held",
        "clock set back",
        "other router",
        "removed provider",
    ],
)
def test_circuits_are_restored(changes, state, tmp_path):
    """An expired open circuit is half-open; a hold is not restored."""
    fill(tmp_path / "h.db", "circuits", *changes)
    r = restarted(tmp_path / "h.db")
    assert r.circuit_state("a") == state
    if state == "open":
        assert "half-open in 60.0 s" in repr(r), "at most its open duration"


def test_consecutive_openings_are_restored(tmp_path):
    """Consecutive openings are counted within the last process; others recorded the same ones."""
    changes = [
        {"at": BASE - 500.0, "new": "open", "run": "peer"},
        {"at": BASE - 400.0, "new": "open"},
        {"at": BASE - 390.0, "old": "half_open", "new": "closed"},
        {"at": BASE - 300.0, "new": "open"},
        {"at": BASE - 240.0, "old": "half_open", "new": "closed"},
        {"at": BASE - 220.0, "new": "open"},
        {"at": BASE - 160.0, "old": "open", "new": "half_open"},
        {"at": BASE - 10.0, "old": "half_open", "new": "open", "reason": "trial_failed"},
    ]
    fill(tmp_path / "h.db", "circuits", *changes)
    assert gate(restarted(tmp_path / "h.db", circuit=WINDOW)).circuit.consecutive_openings == 3


def test_restored_state_causes_no_events(tmp_path):
    """A restored open circuit is not a state change, so it is not written again."""
    fill(tmp_path / "h.db", "circuits", {"at": BASE - 20.0})
    restarted(tmp_path / "h.db")._engine._history.close()
    connection = sqlite3.connect(tmp_path / "h.db")
    assert connection.execute("SELECT count(*) FROM circuits").fetchone() == (1,)
    connection.close()


def test_the_circuit_window_is_restored(tmp_path):
    """Failures count by kind and age, and leave the window when they are too old."""
    kinds = [
        "server",
        "success",
        "timeout",
        "rate_limit",
        "request",
        "credentials",
        "unknown_to_this_version",
    ]
    old = [{"at": BASE - 50.0 + n, "kind": kind} for n, kind in enumerate(kinds)]
    more = [{"at": BASE - 70.0, "kind": "server"}, {"at": BASE - 1.0, "kind": "server", "late": 1}]
    shadow = {"at": BASE - 1.0, "kind": "server", "role": "shadow"}
    fill(tmp_path / "h.db", "attempts", *old, *more, shadow)
    window = gate(restarted(tmp_path / "h.db", circuit=WINDOW)).circuit.window
    assert (window.calls, window.failures) == (4, 3)
    window.settle(5.0)
    assert (window.calls, window.failures) == (4, 3)
    window.settle(20.0)
    assert (window.calls, window.failures) == (0, 0)


def test_health_is_restored(tmp_path):
    """A degraded provider is degraded after a restart; shadow copies count."""
    file = tmp_path / "h.db"
    fill(file, "attempts", *({"at": BASE - 90.0 + n} for n in range(15)))
    copies = {"kind": "server", "role": "shadow"}
    fill(file, "attempts", *({"at": BASE - 70.0 + n, **copies} for n in range(10)))
    fill(file, "attempts", *({"at": BASE - 400.0 + n, "kind": "server"} for n in range(20)))
    r = restarted(file)
    health = {member.name: member.health for member in r._engine.registry.route(None).members}
    assert (health["a"].calls, health["a"].failures, health["a"].degraded) == (25, 10, True)
    assert (health["b"].calls, health["b"].degraded) == (0, False)
    assert gate(r).circuit.window.failures == 0
    health["a"].refresh(300.0, 0)
    assert not health["a"].degraded


def test_attempts_before_a_recovery_do_not_count(tmp_path):
    """Attempts before the last closing of the circuit are not in its window."""
    file = tmp_path / "h.db"
    fill(file, "attempts", *({"at": BASE - 50.0 + n, "kind": "server"} for n in range(10)))
    fill(file, "circuits", {"at": BASE - 45.5, "old": "half_open", "new": "closed"})
    window = gate(restarted(file, circuit=WINDOW)).circuit.window
    assert (window.calls, window.failures) == (5, 5)


def test_attempts_during_a_stall_of_the_loop_are_not_restored(tmp_path):
    """Neither their durations nor their timeouts are the provider's; their other failures are."""
    file = tmp_path / "h.db"
    stalled = {"stalled": 1, "elapsed": 9.0}
    fill(file, "attempts", *({"at": BASE - 50.0 + n, **stalled} for n in range(4)))
    for number, kind in enumerate(["timeout", "transport", "interrupted", "server"]):
        fill(file, "attempts", {"at": BASE - 40.0 + number, "kind": kind, **stalled})
    r = restarted(file, circuit=WINDOW)
    (member, _) = r._engine.registry.route(None).members
    assert member.latency.latencies.samples == 0
    window = gate(r).circuit.window
    assert (window.calls, window.failures) == (5, 1)


def test_latencies_are_restored(tmp_path):
    """Latencies of answers and of first contents of streams are restored separately."""
    file = tmp_path / "h.db"
    fill(file, "attempts", *({"at": BASE - 900.0 + n, "elapsed": 0.8} for n in range(100)))
    streamed = {"elapsed": 30.0, "first_content": 0.2}
    fill(file, "attempts", *({"at": BASE - 800.0 + n, **streamed} for n in range(100)))
    failed = {"elapsed": 29.0, "kind": "timeout"}
    fill(file, "attempts", *({"at": BASE - 700.0 + n, **failed} for n in range(100)))
    fill(file, "attempts", *({"at": BASE - 10 * 86_400.0 + n, "elapsed": 9.0} for n in range(9)))
    a = ScriptedProvider("a")
    r = router(history(file), Provider("a", a, stream=a.stream))
    (for_calls,) = r._engine.registry.route(None).members
    (for_streams,) = r._engine.registry.route(None, streaming=True).members
    assert for_calls.latency.has_enough_samples
    assert for_calls.latency.latencies.percentile(0.99) == pytest.approx(0.8, rel=0.1)
    assert for_streams.latency.latencies.percentile(0.99) == pytest.approx(0.2, rel=0.1)


def test_the_number_of_rows_read_is_limited(tmp_path, monkeypatch):
    """The limit of attempts read at startup is divided among the providers."""
    monkeypatch.setattr("multirouter.listeners.history.restore.MAX_TOTAL_ATTEMPTS", 80)
    file = tmp_path / "h.db"
    fill(file, "attempts", *({"at": BASE - 900.0 + n} for n in range(100)))
    r = restarted(file)
    latencies = {member.name: member.latency for member in r._engine.registry.route(None).members}
    assert latencies["a"].latencies.samples == 40
    assert latencies["b"].latencies.samples == 0


def test_budgets_are_restored(tmp_path, monkeypatch):
    """Spending in the current period is restored for providers, routes and the router."""
    file = tmp_path / "h.db"
    now = 1_790_002_800.0  # 15:00 UTC
    monkeypatch.setattr("time.time", lambda: now)
    fill(
        file,
        "spending",
        {"at": now - 1800.0, "cost": 2.0},
        {"at": now - 900.0, "cost": 3.0, "provider": "b"},
        {"at": now - 2700.0, "cost": 5.0, "route": "other"},
        {"at": now - 90_000.0, "cost": 100.0},
        {"at": now - 900.0, "cost": 50.0, "router": "another"},
    )
    providers = [
        Provider(name, ScriptedProvider(name), price=Price(1, 1), budget=Budget(1000.0))
        for name in "ab"
    ]
    route = Route("default", [["a", "b"]], budget=Budget(1000.0))
    r = router(history(file, now - BASE), *providers, routes=[route], budget=Budget(1000.0))
    accounts = r._engine.states.accounts.by_owner
    spent = {owner: account.snapshot()[0]["spent"] for owner, account in accounts.items()}
    assert spent == {"provider a": 7.0, "provider b": 3.0, "route default": 5.0, "router": 10.0}


def test_a_missing_file_is_created_by_the_first_batch(tmp_path):
    """Creating a router does not create its history file."""
    r = restarted(tmp_path / "h.db")
    assert not (tmp_path / "h.db").exists()
    assert r.circuit_state("a") == "closed"


def test_a_restart_during_an_outage(tmp_path):
    """A router restarted in an outage makes no attempt at the failed provider."""
    file = tmp_path / "h.db"
    bad = ScriptedProvider("bad", latency=0.5)
    good = ScriptedProvider("good", latency=0.7)

    async def first() -> None:
        recorded = history(file)
        async with router(recorded, Provider("bad", bad, weight=9), Provider("good", good)) as r:
            for _ in range(40):
                await r.call("q")
            bad.error_rate = 1.0
            for _ in range(20):
                await r.call("q")
            assert r.circuit_state("bad") == "open"

    async def second() -> None:
        attempts = bad.count
        recorded = history(file, 60.0)
        async with router(recorded, Provider("bad", bad, weight=9), Provider("good", good)) as r:
            assert r.circuit_state("bad") == "open"
            for _ in range(10):
                await r.call("q")
            assert bad.count == attempts
            (_, healthy) = r._engine.registry.route(None).members
            assert healthy.latency.latencies.samples > 5

    virtual_clock.run(first)
    virtual_clock.run(second)
