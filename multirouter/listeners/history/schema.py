"""What a history file holds: its tables, their versions, and how an old file becomes a new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlite3 import Connection

APPLICATION_ID = 0x6D726869
"""Marks a file as a history (the letters "mrhi"), so that no other database is written to.
Source: https://www.sqlite.org/pragma.html#pragma_application_id"""

ATTEMPTS = (
    "at",
    "router",
    "route",
    "provider",
    "role",
    "kind",
    "status",
    "elapsed",
    "first_content",
    "late",
    "input_tokens",
    "output_tokens",
    "cost",
    "estimated",
)
"""Columns of `attempts`. `at` is the wall clock at the end, seconds since 1970 in UTC; spans are in
seconds, costs in USD; `estimated` is 1 when the usage was not told but estimated."""

CALLS = (
    "at",
    "router",
    "route",
    "result",
    "provider",
    "elapsed",
    "first_content",
    "attempts",
    "failures",
    "failovers",
    "first_provider",
    "first_kind",
    "first_elapsed",
    "diverted",
    "cost",
    "first_cost",
)
"""Columns of `calls`. Those that begin with `first_` speak of the first choice: who it was, what
its attempt came to and took, and what the call would have cost there alone. `diverted` is 1 when
nobody of the route's first tier could be asked, so that the first choice was a makeshift."""

CIRCUITS = ("at", "run", "router", "provider", "old", "new", "reason", "open_duration")
"""Columns of `circuits`, its changes of state; `run` tells the processes apart."""

FAILOVERS = ("at", "router", "route", "provider", "moved_to", "kind")
"""Columns of `failovers`: who failed, how, and who was asked next."""

SPENDING = ("at", "router", "route", "provider", "cost")
"""Columns of `spending`: what attempts cost, summed over `SLOT` seconds from `at` on."""

SLOT = 900.0
"""Seconds of one sum: days begin on a quarter of an hour in every time zone, so that no sum lies
in two of a budget's periods."""

TABLES: dict[str, tuple[str, ...]] = {
    "attempts": ATTEMPTS,
    "calls": CALLS,
    "circuits": CIRCUITS,
    "failovers": FAILOVERS,
}
"""The tables with a row for each thing that happened."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE attempts (
        at REAL NOT NULL, router TEXT NOT NULL, route TEXT NOT NULL, provider TEXT NOT NULL,
        role TEXT NOT NULL, kind TEXT NOT NULL, status INTEGER, elapsed REAL NOT NULL,
        first_content REAL, late INTEGER NOT NULL, input_tokens INTEGER, output_tokens INTEGER,
        cost REAL, estimated INTEGER
    );
    CREATE INDEX attempts_by_provider ON attempts (router, provider, route, at);
    CREATE INDEX attempts_by_time ON attempts (at);
    CREATE TABLE calls (
        at REAL NOT NULL, router TEXT NOT NULL, route TEXT NOT NULL, result TEXT NOT NULL,
        provider TEXT, elapsed REAL NOT NULL, first_content REAL, attempts INTEGER NOT NULL,
        failures INTEGER NOT NULL, failovers INTEGER NOT NULL, first_provider TEXT,
        first_kind TEXT, first_elapsed REAL, diverted INTEGER NOT NULL, cost REAL, first_cost REAL
    );
    CREATE INDEX calls_by_time ON calls (at);
    CREATE TABLE circuits (
        at REAL NOT NULL, run TEXT NOT NULL, router TEXT NOT NULL, provider TEXT NOT NULL,
        old TEXT NOT NULL, new TEXT NOT NULL, reason TEXT NOT NULL, open_duration REAL NOT NULL
    );
    CREATE INDEX circuits_by_provider ON circuits (router, provider, at);
    CREATE INDEX circuits_by_time ON circuits (at);
    CREATE TABLE failovers (
        at REAL NOT NULL, router TEXT NOT NULL, route TEXT NOT NULL, provider TEXT NOT NULL,
        moved_to TEXT NOT NULL, kind TEXT NOT NULL
    );
    CREATE INDEX failovers_by_time ON failovers (at);
    CREATE TABLE spending (
        at REAL NOT NULL, router TEXT NOT NULL, route TEXT NOT NULL, provider TEXT NOT NULL,
        cost REAL NOT NULL, PRIMARY KEY (router, at, route, provider)
    ) WITHOUT ROWID;
    """,
)
"""The steps from an empty file to this version; the number of steps taken is a file's version.
A released step is never changed: a change of the schema is a further step."""


def insertion(table: str) -> str:
    """The statement that adds a row to a table, its values in the order of `TABLES`."""
    columns = TABLES[table]
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - constants


def check(connection: Connection, steps: Sequence[str] = MIGRATIONS) -> int:
    """Returns a file's version, 0 for an empty one.

    Raises:
        ConfigurationError: it belongs to somebody else, or to a newer multirouter.
    """
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (things,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner or version or things):
        raise ConfigurationError("history", "the file is a database of something else")
    if version > len(steps):
        raise ConfigurationError(
            "history", f"the file has version {version}, this multirouter knows {len(steps)}"
        )
    return int(version)


def migrate(connection: Connection, steps: Sequence[str] = MIGRATIONS) -> None:
    """Brings a file to the newest version, in one transaction.

    Args:
        connection: in autocommit mode.
        steps: see `MIGRATIONS`.

    Raises:
        ConfigurationError: see `check`; the file is as it was.
    """
    if check(connection, steps) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")  # from here on, no other process migrates
    try:
        for step in steps[check(connection, steps) :]:
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
