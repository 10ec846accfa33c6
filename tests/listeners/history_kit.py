"""A router with a history, and the rows of its file."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import anyio
from prometheus_client import CollectorRegistry

from multirouter import CircuitPolicy, MultiProviderRouter, Provider
from multirouter.listeners.history.history import History

BASE = 1_790_000_000.0
"""The wall clock when a loop's time is 0."""


def history(file: Path, offset: float = 0.0, **settings: Any) -> History:
    """A History whose wall clock goes with the loop's, from `BASE + offset` on."""
    began: list[float] = []

    def wall() -> float:
        try:
            now = anyio.current_time()
        except Exception:  # no loop yet: the router is being made
            return BASE + offset
        began.append(now)
        return BASE + offset + now - began[0]

    return History(file, wall=wall, **settings)


def router(kept: History | str | Path | None, *providers: Provider[Any, Any], **settings: Any):
    """A router with a registry and a silent logger of its own."""
    settings.setdefault("registry", CollectorRegistry())
    settings.setdefault("circuit", CircuitPolicy(failures=3, open_duration=60.0, jitter=0.0))
    return MultiProviderRouter(providers, history=kept, **settings)


def rows(file: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table, in the order in which they came."""
    connection = sqlite3.connect(file)
    connection.row_factory = sqlite3.Row
    try:
        order = "" if table == "spending" else " ORDER BY rowid"
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}{order}")]
    finally:
        connection.close()
