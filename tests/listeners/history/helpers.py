"""Routers with a history, rows of a history file, and a writer without a router."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import anyio
from prometheus_client import CollectorRegistry

from multirouter import CircuitPolicy, MultiProviderRouter, Provider
from multirouter.listeners.history import schema
from multirouter.listeners.history.history import History
from multirouter.listeners.history.writer import Writer

ROOT = Path(__file__).parents[3]
"""Directory of the project."""

BASE = 1_790_000_000.0
"""Wall clock at loop time 0."""


def history(file: Path, offset: float = 0.0, **settings: Any) -> History:
    """A History whose wall clock follows the loop's clock, from `BASE + offset` on."""
    first: list[float] = []

    def wall() -> float:
        try:
            now = anyio.current_time()
        except Exception:  # no loop yet: the router is being created
            return BASE + offset
        first.append(now)
        return BASE + offset + now - first[0]

    return History(file, wall=wall, **settings)


def router(
    history: History | str | Path | None, *providers: Provider[Any, Any], **settings: Any
) -> MultiProviderRouter[Any, Any, Any]:
    """A router with a history and a metrics registry of its own."""
    settings.setdefault("registry", CollectorRegistry())
    settings.setdefault("circuit", CircuitPolicy(failures=3, open_duration=60.0, jitter=0.0))
    return MultiProviderRouter(providers, history=history, **settings)


def rows(file: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table, in the order in which they were inserted."""
    connection = sqlite3.connect(file)
    connection.row_factory = sqlite3.Row
    try:
        order = "" if table == "spending" else " ORDER BY rowid"
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}{order}")]
    finally:
        connection.close()


def attempt_row(at: float = 1.0, **changes: object) -> tuple[object, ...]:
    """The values of one row of `attempts`."""
    values = dict.fromkeys(schema.ATTEMPTS) | {
        "at": at,
        "router": "r",
        "route": "default",
        "provider": "a",
        "role": "call",
        "kind": "success",
        "elapsed": 1.0,
        "late": False,
        "stalled": False,
    }
    return tuple((values | changes).values())


def make_writer(file: Path, dropped: list[int], errors: list[str], **settings: float) -> Writer:
    """A writer with such a long interval that only `flush` and `close` write.

    Args:
        file: the history file.
        dropped: gets the number of rows of each drop.
        errors: gets the description of each reported error.
        settings: replace the default settings.
    """
    settings = {"max_queued": 100, "interval": 60.0, "retention": 1e9} | settings
    return Writer(
        file,
        on_dropped=dropped.append,
        on_error=lambda description, _error: errors.append(description),
        **settings,
    )
