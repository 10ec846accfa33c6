"""History files on disk: killed processes, full and read-only disks, shared and invalid files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, Provider
from multirouter.listeners.history import file as history_file
from multirouter.listeners.history import schema
from multirouter.testing import ScriptedProvider
from multirouter.write_ahead import use_write_ahead
from tests.listeners.helpers import attempt
from tests.listeners.history.helpers import ROOT, attempt_row, history, make_writer, router, rows

CALLER = """
import asyncio, sys
from multirouter import MultiProviderRouter, Provider
from multirouter.listeners.history.history import History

async def answer(request):
    await asyncio.sleep(0.002)
    return request

async def main(file, name, calls):
    history = History(file, batch_interval=0.1)
    router = MultiProviderRouter([Provider("a", answer)], name=name, history=history)
    for number in range(calls):
        await router.call("q")
        print(number, flush=True)
    await router.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def start_caller(file: Path, name: str, calls: int) -> subprocess.Popen[str]:
    """A process that makes calls one after the other and prints the number of each."""
    command = [sys.executable, "-c", CALLER, str(file), name, str(calls)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)


def test_a_killed_process_loses_at_most_the_last_batch(tmp_path):
    """After `kill -9` the file is intact and has all rows but those of the last moments."""
    file = tmp_path / "history.db"
    with start_caller(file, "r", 100_000) as process:
        lines = iter(process.stdout)
        while "400" not in next(lines):
            pass
        time.sleep(0.6)  # a real disk, in real time: several batches
        os.kill(process.pid, signal.SIGKILL)
        calls = 1 + int(process.stdout.read().split()[-1])
    assert process.returncode == -signal.SIGKILL
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert calls > 400
    assert calls - 300 <= len(rows(file, "calls")) <= calls + 1
    assert abs(len(rows(file, "attempts")) - len(rows(file, "calls"))) <= 1


def test_two_processes_share_a_file(tmp_path):
    """Rows that two processes write at the same time are all in the file."""
    file = tmp_path / "history.db"
    processes = [start_caller(file, name, 150) for name in ("one", "two")]
    for process in processes:
        process.communicate(timeout=50)
        assert process.returncode == 0
    routers = [call["router"] for call in rows(file, "calls")]
    assert (routers.count("one"), routers.count("two")) == (150, 150)


def test_a_disk_error_fails_no_call(tmp_path, virtual_clock, caplog):
    """While the file cannot be opened, calls succeed; afterwards all rows are written."""
    file = tmp_path / "history.db"
    file.with_name("history.db-wal").mkdir()  # SQLite can neither create nor use its log

    async def main() -> None:
        recorded = history(file, batch_interval=60.0)
        async with router(recorded, Provider("a", ScriptedProvider("a"))) as r:
            for _ in range(3):
                assert await r.call("q") == "a: q"
            assert not recorded.flush()
            file.with_name("history.db-wal").rmdir()
            assert recorded.flush()

    virtual_clock.run(main)
    assert len(rows(file, "calls")) == 3


def test_a_full_disk_loses_no_committed_rows(tmp_path):
    """A batch that does not fit is retried; rows committed before stay."""
    dropped: list[int] = []
    errors: list[str] = []
    writer = make_writer(tmp_path / "h.db", dropped, errors)
    writer.put("attempts", attempt_row())
    assert writer.flush()
    pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
    writer._connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(90):
        writer.put("attempts", attempt_row(number, provider="x" * 4000))
    assert not writer.flush()
    assert "disk is full" in errors[0]
    assert len(rows(tmp_path / "h.db", "attempts")) == 1
    assert writer.flush(), "a new connection has no page limit"
    writer.close()
    assert len(rows(tmp_path / "h.db", "attempts")) == 91
    assert not dropped


def test_rows_that_were_never_written_are_counted(tmp_path):
    """Rows still queued when a writer closes with a failing disk are dropped and counted."""
    dropped: list[int] = []
    errors: list[str] = []
    file = tmp_path / "h.db"
    (tmp_path / "h.db-wal").mkdir()
    writer = make_writer(file, dropped, errors)
    for _ in range(7):
        writer.put("attempts", attempt_row())
    writer.close()
    assert sum(dropped) == 7
    assert len(errors) == 1, "consecutive failures are reported once"


def test_a_row_that_sqlite_rejects_is_dropped_alone(tmp_path):
    """A token count beyond 64 bits is dropped; the other rows of the batch are written."""
    dropped: list[int] = []
    errors: list[str] = []
    writer = make_writer(tmp_path / "h.db", dropped, errors)
    for tokens in (1, 10**30, 3):
        writer.put("attempts", attempt_row(input_tokens=tokens))
    assert writer.flush()
    writer.close()
    assert dropped == [1]
    assert [row["input_tokens"] for row in rows(tmp_path / "h.db", "attempts")] == [1, 3]


def test_the_thread_retries(tmp_path, monkeypatch):
    """The thread writes failed rows once the disk works again, without a further row."""
    monkeypatch.setattr("multirouter.listeners.history.writer.RETRY_DELAY", 0.01)
    (tmp_path / "h.db-wal").mkdir()
    errors: list[str] = []
    writer = make_writer(tmp_path / "h.db", [], errors, interval=0.001)
    writer.put("attempts", attempt_row())
    until = time.monotonic() + 20
    while not errors and time.monotonic() < until:
        time.sleep(0.002)
    (tmp_path / "h.db-wal").rmdir()
    while writer._queue and time.monotonic() < until:
        time.sleep(0.002)
    writer.close()
    assert len(rows(tmp_path / "h.db", "attempts")) == 1


def test_another_database_is_never_modified(tmp_path):
    """Another program's database raises when the router is created, and stays unchanged."""
    file = tmp_path / "other.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE customers (name)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="not a multirouter history but another database"):
        router(file)
    assert file.read_bytes() == before


def test_a_file_that_is_not_a_database_raises(tmp_path):
    """Neither a router nor a report accepts a text file as history."""
    file = tmp_path / "notes.txt"
    file.write_text("milk, eggs, " * 1000)
    for use in (router, history_file.open_to_read):
        with pytest.raises(ConfigurationError, match="not an SQLite database"):
            use(file)
    assert file.read_text().startswith("milk")


def test_a_newer_file_raises(tmp_path):
    """A file with a newer schema version is not opened."""
    file = tmp_path / "h.db"
    connection = history_file.open_to_write(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="has version 99, this multirouter supports"):
        router(file)


def test_a_router_starts_without_a_corrupt_history(tmp_path):
    """A router with a corrupt history file logs the error and starts without a history."""
    file = tmp_path / "h.db"
    connection = history_file.open_to_write(file)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    corrupt = bytearray(file.read_bytes())
    corrupt[4096:] = b"\xff" * (len(corrupt) - 4096)
    file.write_bytes(corrupt)
    errors: list[str] = []

    class Logger:
        def error(self, event, **fields):
            errors.append(f"{event}: {fields['task']}")

        debug = info = warning = error

    providers = [Provider("a", ScriptedProvider("a"))]
    r = router(file, *providers, logger=Logger(), registry=CollectorRegistry())
    assert "a: closed" in repr(r)
    assert errors
    assert "malformed" in errors[0]


def test_migrations_are_applied_once_and_in_order(tmp_path):
    """Missing migrations are applied in one transaction, whatever the version of the file."""
    connection = sqlite3.connect(tmp_path / "h.db", isolation_level=None)
    steps = ["CREATE TABLE one (a); INSERT INTO one VALUES (1)"]
    schema.migrate(connection, steps)
    schema.migrate(connection, steps)
    assert connection.execute("SELECT a FROM one").fetchall() == [(1,)]
    invalid = [*steps, "CREATE TABLE two (b); SELECT nothing FROM missing"]
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, invalid)
    assert schema.version_of(connection, invalid) == 1
    more = [*steps, "ALTER TABLE one ADD COLUMN b DEFAULT 2", "CREATE TABLE three (c)"]
    schema.migrate(connection, more)
    assert connection.execute("SELECT a, b FROM one").fetchall() == [(1, 2)]
    assert schema.version_of(connection, more) == 3
    connection.close()


def test_column_constants_match_the_tables(tmp_path):
    """The column tuples have exactly the columns of the tables."""
    connection = history_file.open_to_write(tmp_path / "h.db")
    tables = {**schema.TABLES, "spending": schema.SPENDING}
    for table, columns in tables.items():
        found = connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()
        assert {name for (name,) in found} == set(columns)
    connection.close()


def test_an_empty_file_raises(tmp_path):
    """The error for an empty file differs from that for a missing one."""
    (tmp_path / "h.db").touch()
    with pytest.raises(ConfigurationError, match="is empty"):
        history_file.open_to_read(tmp_path / "h.db")
    with pytest.raises(sqlite3.OperationalError):
        history_file.open_to_read(tmp_path / "missing.db")


def test_a_file_on_a_read_only_disk_is_opened_as_immutable(tmp_path, monkeypatch):
    """If SQLite cannot create its log's index, the file is read without it."""
    file = tmp_path / "h.db"
    history_file.open_to_write(file).close()
    connect = history_file._connect

    def read_only_disk(uri: str):
        if "immutable" not in uri:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(uri)

    monkeypatch.setattr(history_file, "_connect", read_only_disk)
    connection = history_file.open_to_read(file)
    assert connection.execute("SELECT count(*) FROM calls").fetchone() == (0,)
    connection.close()
    r = router(file, Provider("a", ScriptedProvider("a")))
    assert "a: closed" in repr(r), "a router restores its state from a read-only disk, too"


def test_old_rows_are_deleted_in_batches(tmp_path, monkeypatch):
    """No transaction deletes more than `DELETE_BATCH` rows, but all old rows are deleted."""
    monkeypatch.setattr(history_file, "DELETE_BATCH", 2)
    connection = history_file.open_to_write(tmp_path / "h.db")
    history_file.insert(connection, [("attempts", attempt_row(at)) for at in range(7)])
    history_file.delete_old(connection, 10.0, 5.0)
    assert connection.execute("SELECT at FROM attempts").fetchall() == [(5.0,), (6.0,)]
    connection.close()


def test_an_attempt_is_written_without_a_running_loop(tmp_path):
    """A History records an attempt outside of an event loop."""
    recorded = history(tmp_path / "h.db")
    router(recorded)
    recorded.attempt_ended(attempt(seconds=0.25))
    recorded.close()
    assert rows(tmp_path / "h.db", "attempts")[0]["elapsed"] == 0.25


def test_a_new_file_is_private(tmp_path: Path) -> None:
    """Only its owner reads a history, whatever the umask; the mode of an existing file stays."""
    file = tmp_path / "h.db"
    old = os.umask(0)
    try:
        connection = history_file.open_to_write(file)
        connection.execute("CREATE TABLE x (y)")
        modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        connection.close()
    finally:
        os.umask(old)
    assert modes == {0o600}
    file.chmod(0o640)
    history_file.open_to_write(file).close()
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_file_that_another_process_creates_is_no_other_database(
    tmp_path: Path, moment: int
) -> None:
    """Workers open a new history at once: one reads what it was before another's change, or after.

    Args:
        tmp_path: the folder of the history.
        moment: the statement of the reading in front of which the other process creates it.
    """
    path = tmp_path / "history.db"
    statements: list[str] = []

    def create(statement: str) -> None:
        statements.append(statement)
        if len(statements) == moment:
            history_file.open_to_write(path).close()

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        use_write_ahead(connection, 0.0)
        connection.set_trace_callback(create)
        assert schema.version_of(connection) in {0, len(schema.MIGRATIONS)}
    assert statements
