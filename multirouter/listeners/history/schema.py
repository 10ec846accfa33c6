"""Schema of a history file: tables, versions and migrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlite3 import Connection

APPLICATION_ID = 0x6D726869
"""Marks a file as a history (the letters "mrhi"), so that no other database is modified.
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
    "stalled",
    "model",
    "operation",
)
"""Columns of `attempts`. `at` is the wall clock at the end, seconds since 1970 in UTC; durations
are in seconds, costs in USD; `estimated` is 1 if the token counts are estimated, not reported;
`stalled` is 1 if the event loop stalled meanwhile; `model` as in `AttemptRecord.model`;
`operation` is `chat` for the providers' own functions, and NULL in rows of earlier versions."""

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
    "first_choice_unavailable",
    "cost",
    "first_cost",
    "client_key",
    "input_tokens",
    "output_tokens",
    "operation",
)
"""Columns of `calls`. `first_provider`, `first_kind`, `first_elapsed` and `first_cost` are about
the first choice: its name, the outcome and duration of its attempt, and what the call would have
cost there alone. `first_choice_unavailable` is 1 if no provider of the route's first choice was
available (`CallOutcome.first_choice`), so the first attempt went to another one. `client_key` is
NULL without one; tokens are those of all attempts, NULL when none is known;
`operation` is as in `attempts`."""

CIRCUITS = ("at", "run", "router", "provider", "old", "new", "reason", "open_duration")
"""Columns of `circuits`, the state changes; `run` identifies the process."""

FAILOVERS = ("at", "router", "route", "provider", "to_provider", "kind")
"""Columns of `failovers`: the provider that failed, the next one, and the kind of failure."""

SPENDING = ("at", "router", "route", "provider", "cost")
"""Columns of `spending`: cost of attempts, summed over the `SLOT` seconds that start at `at`."""

SLOT = 900.0
"""Seconds of one sum. In every time zone days begin on a quarter of an hour, so no sum belongs to
two periods of a budget."""

TABLES: dict[str, tuple[str, ...]] = {
    "attempts": ATTEMPTS,
    "calls": CALLS,
    "circuits": CIRCUITS,
    "failovers": FAILOVERS,
}
"""The tables with one row per event."""

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
        first_kind TEXT, first_elapsed REAL, first_tier_unavailable INTEGER NOT NULL,
        cost REAL, first_cost REAL
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
        to_provider TEXT NOT NULL, kind TEXT NOT NULL
    );
    CREATE INDEX failovers_by_time ON failovers (at);
    CREATE TABLE spending (
        at REAL NOT NULL, router TEXT NOT NULL, route TEXT NOT NULL, provider TEXT NOT NULL,
        cost REAL NOT NULL, PRIMARY KEY (router, at, route, provider)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE attempts ADD COLUMN stalled INTEGER NOT NULL DEFAULT 0
    """,
    """
    ALTER TABLE attempts ADD COLUMN model TEXT;
    ALTER TABLE calls RENAME COLUMN first_tier_unavailable TO first_choice_unavailable
    """,
    """
    ALTER TABLE calls ADD COLUMN client_key TEXT;
    ALTER TABLE calls ADD COLUMN input_tokens INTEGER;
    ALTER TABLE calls ADD COLUMN output_tokens INTEGER
    """,
    """
    ALTER TABLE attempts ADD COLUMN operation TEXT;
    ALTER TABLE calls ADD COLUMN operation TEXT
    """,
)
"""Migrations from an empty file to the current schema; a file's version is the number of migrations
applied. A released migration is never changed: a schema change is a further migration."""


def insert_statement(table: str) -> str:
    """The statement that inserts a row into a table, with the values in the order of `TABLES`."""
    columns = TABLES[table]
    placeholders = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({placeholders})"  # noqa: S608 - constants


_IDENTITY = """
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)
FROM pragma_application_id, pragma_user_version
"""


def version_of(connection: Connection, steps: Sequence[str] = MIGRATIONS) -> int:
    """Returns a file's version, 0 for an empty file.

    Raises:
        ConfigurationError: it is another database, or was written by a newer multirouter.
    """
    # One statement, so that what another process migrates meanwhile is seen whole or not at all.
    application_id, version, objects = connection.execute(_IDENTITY).fetchone()
    if application_id != APPLICATION_ID and (application_id or version or objects):
        raise ConfigurationError(
            "history",
            f"{file_of(connection)} is not a multirouter history but another database",
        )
    if version > len(steps):
        raise ConfigurationError(
            "history",
            f"{file_of(connection)} has version {version}, this multirouter supports versions "
            f"<= {len(steps)}",
        )
    return int(version)


def file_of(connection: Connection) -> str:
    """Returns the path of a connection's file, for errors."""
    return str(connection.execute("PRAGMA database_list").fetchone()[2])


def migrate(connection: Connection, steps: Sequence[str] = MIGRATIONS) -> None:
    """Migrates a file to the current version, in one transaction.

    Args:
        connection: must be in autocommit mode.
        steps: see `MIGRATIONS`.

    Raises:
        ConfigurationError: see `version_of`; the file is unchanged.
    """
    if version_of(connection, steps) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")  # from here on no other process can migrate
    try:
        for step in steps[version_of(connection, steps) :]:
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
