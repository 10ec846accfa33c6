"""History and its disk: sudden death, full and read-only disks, two processes, other files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, Provider
from multirouter.listeners.history import file as history_file
from multirouter.listeners.history import schema as history_schema
from multirouter.listeners.history.writer import Writer
from multirouter.testing import ScriptedProvider
from tests.listeners.doubles import attempt
from tests.listeners.history_kit import history, router, rows

ROOT = Path(__file__).parents[2]

CALLER = """
import asyncio, sys
from multirouter import MultiProviderRouter, Provider
from multirouter.listeners.history.history import History

async def answer(request):
    await asyncio.sleep(0.002)
    return request

async def main(file, name, calls):
    history = History(file, gather=0.1)
    router = MultiProviderRouter([Provider("a", answer)], name=name, history=history)
    for number in range(calls):
        await router.call("q")
        print(number, flush=True)
    await router.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def caller(file: Path, name: str, calls: int) -> subprocess.Popen[str]:
    """A process that makes calls, one after the other, and says so."""
    line = [sys.executable, "-c", CALLER, str(file), name, str(calls)]
    return subprocess.Popen(line, cwd=ROOT, text=True, stdout=subprocess.PIPE)


def row(at: float = 1.0, **changes: object) -> tuple[object, ...]:
    """The values of one attempt."""
    known = dict.fromkeys(history_schema.ATTEMPTS) | {
        "at": at,
        "router": "r",
        "route": "default",
        "provider": "a",
        "role": "call",
        "kind": "success",
        "elapsed": 1.0,
        "late": False,
    }
    return tuple((known | changes).values())


def writer(file: Path, lost: list[int], told: list[str], **settings: float) -> Writer:
    """A writer that gathers for so long that only a flush writes."""
    settings = {"limit": 100, "every": 60.0, "keep": 1e9} | settings
    return Writer(
        file, dropped=lost.append, broken=lambda what, _error: told.append(what), **settings
    )


def test_sudden_death_costs_the_last_batch_at_most(tmp_path):
    """After `kill -9` the file is whole, and all but the last moments are in it."""
    file = tmp_path / "history.db"
    with caller(file, "r", 100_000) as process:
        lines = iter(process.stdout)
        while "400" not in next(lines):
            pass
        time.sleep(0.6)  # a real disk, in real time: several batches
        os.kill(process.pid, signal.SIGKILL)
        made = 1 + int(process.stdout.read().split()[-1])
    assert process.returncode == -signal.SIGKILL
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert made > 400
    assert made - 300 <= len(rows(file, "calls")) <= made + 1
    assert abs(len(rows(file, "attempts")) - len(rows(file, "calls"))) <= 1


def test_two_processes_share_a_file(tmp_path):
    """What two processes write at the same time is all there, each under its own run."""
    file = tmp_path / "history.db"
    both = [caller(file, name, 150) for name in ("one", "two")]
    for process in both:
        process.communicate(timeout=50)
        assert process.returncode == 0
    written = [call["router"] for call in rows(file, "calls")]
    assert (written.count("one"), written.count("two")) == (150, 150)


def test_a_disk_that_fails_costs_history_and_no_call(tmp_path, virtual_clock, caplog):
    """While the file cannot be opened, calls are answered; when it can again, nothing is lost."""
    file = tmp_path / "history.db"
    file.with_name("history.db-wal").mkdir()  # SQLite can neither make nor use its log

    async def main() -> None:
        kept = history(file, gather=60.0)
        async with router(kept, Provider("a", ScriptedProvider("a"))) as r:
            for _ in range(3):
                assert await r.call("q") == "a: q"
            assert not kept.flush()
            file.with_name("history.db-wal").rmdir()
            assert kept.flush()

    virtual_clock.run(main)
    assert len(rows(file, "calls")) == 3


def test_a_full_disk_keeps_what_is_there(tmp_path):
    """A batch that does not fit is tried again; what was committed before stands."""
    lost: list[int] = []
    told: list[str] = []
    keeper = writer(tmp_path / "h.db", lost, told)
    keeper.put("attempts", row())
    assert keeper.flush()
    pages = keeper._connection.execute("PRAGMA page_count").fetchone()[0]
    keeper._connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(90):
        keeper.put("attempts", row(number, provider="x" * 4000))
    assert not keeper.flush()
    assert "disk is full" in told[0]
    assert len(rows(tmp_path / "h.db", "attempts")) == 1
    assert keeper.flush(), "a fresh connection has room again"
    keeper.close()
    assert len(rows(tmp_path / "h.db", "attempts")) == 91
    assert not lost


def test_what_a_dead_disk_never_took_is_counted(tmp_path):
    """Rows that wait when a router closes before a disk that refuses are lost, and counted."""
    lost: list[int] = []
    told: list[str] = []
    file = tmp_path / "h.db"
    (tmp_path / "h.db-wal").mkdir()
    keeper = writer(file, lost, told)
    for _ in range(7):
        keeper.put("attempts", row())
    keeper.close()
    assert sum(lost) == 7
    assert len(told) == 1, "a series of failures is told once"


def test_a_row_that_no_disk_takes_costs_itself_alone(tmp_path):
    """A token count beyond 64 bits is dropped; its neighbours are written."""
    lost: list[int] = []
    told: list[str] = []
    keeper = writer(tmp_path / "h.db", lost, told)
    for tokens in (1, 10**30, 3):
        keeper.put("attempts", row(input_tokens=tokens))
    assert keeper.flush()
    keeper.close()
    assert lost == [1]
    assert [found["input_tokens"] for found in rows(tmp_path / "h.db", "attempts")] == [1, 3]


def test_the_thread_tries_again(tmp_path, monkeypatch):
    """What a disk refused is written by the thread once it can, without more news."""
    monkeypatch.setattr("multirouter.listeners.history.writer.REST", 0.01)
    (tmp_path / "h.db-wal").mkdir()
    told: list[str] = []
    keeper = writer(tmp_path / "h.db", [], told, every=0.001)
    keeper.put("attempts", row())
    until = time.monotonic() + 20
    while not told and time.monotonic() < until:
        time.sleep(0.002)
    (tmp_path / "h.db-wal").rmdir()
    while keeper._queue and time.monotonic() < until:
        time.sleep(0.002)
    keeper.close()
    assert len(rows(tmp_path / "h.db", "attempts")) == 1


def test_another_database_is_never_touched(tmp_path):
    """A file of somebody else's is refused where the router is made, and stays as it was."""
    file = tmp_path / "theirs.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE customers (name)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="database of something else"):
        router(file)
    assert file.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """Neither a router nor a report takes a text file for a history."""
    file = tmp_path / "notes.txt"
    file.write_text("milk, eggs, " * 1000)
    for use in (router, history_file.open_to_read):
        with pytest.raises(ConfigurationError, match="no SQLite database"):
            use(file)
    assert file.read_text().startswith("milk")


def test_a_newer_file_is_refused(tmp_path):
    """A file of a newer version is not guessed at."""
    file = tmp_path / "h.db"
    connection = history_file.open_to_write(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="has version 99, this multirouter knows"):
        router(file)


def test_a_damaged_file_costs_the_past_alone(tmp_path):
    """A router whose history is damaged says so and begins without a past."""
    file = tmp_path / "h.db"
    connection = history_file.open_to_write(file)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    spoilt = bytearray(file.read_bytes())
    spoilt[4096:] = b"\xff" * (len(spoilt) - 4096)
    file.write_bytes(spoilt)
    said: list[str] = []

    class Logger:
        def error(self, event, **fields):
            said.append(f"{event}: {fields['task']}")

    providers = [Provider("a", ScriptedProvider("a"))]
    r = router(file, *providers, logger=Logger(), registry=CollectorRegistry())
    assert "a: closed" in repr(r)
    assert said
    assert "malformed" in said[0]


def test_old_files_are_brought_up_to_date_once(tmp_path):
    """Each step is taken once and in order, all or none, whatever the version it begins with."""
    connection = sqlite3.connect(tmp_path / "h.db", isolation_level=None)
    steps = ["CREATE TABLE one (a); INSERT INTO one VALUES (1)"]
    history_schema.migrate(connection, steps)
    history_schema.migrate(connection, steps)
    assert connection.execute("SELECT a FROM one").fetchall() == [(1,)]
    wrong = [*steps, "CREATE TABLE two (b); SELECT nothing FROM nowhere"]
    with pytest.raises(sqlite3.OperationalError):
        history_schema.migrate(connection, wrong)
    assert history_schema.check(connection, wrong) == 1
    more = [*steps, "ALTER TABLE one ADD COLUMN b DEFAULT 2", "CREATE TABLE three (c)"]
    history_schema.migrate(connection, more)
    assert connection.execute("SELECT a, b FROM one").fetchall() == [(1, 2)]
    assert history_schema.check(connection, more) == 3
    connection.close()


def test_the_statements_name_every_column(tmp_path):
    """The columns that rows are written by are those of the tables, in number and in name."""
    connection = history_file.open_to_write(tmp_path / "h.db")
    tables = {**history_schema.TABLES, "spending": history_schema.SPENDING}
    for table, columns in tables.items():
        found = connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()
        assert {name for (name,) in found} == set(columns)
    connection.close()


def test_an_empty_file_holds_no_report(tmp_path):
    """A file that no router has written yet is told from one that is damaged."""
    (tmp_path / "h.db").touch()
    with pytest.raises(ConfigurationError, match="is empty yet"):
        history_file.open_to_read(tmp_path / "h.db")
    with pytest.raises(sqlite3.OperationalError):
        history_file.open_to_read(tmp_path / "missing.db")


def test_a_file_that_stands_still_is_read_without_its_log(tmp_path, monkeypatch):
    """Where SQLite may not write its log's index (a read-only disk), the file is read as it is."""
    file = tmp_path / "h.db"
    history_file.open_to_write(file).close()
    connected = history_file._connected

    def read_only_disk(address: str):
        if "immutable" not in address:
            raise sqlite3.OperationalError("unable to open database file")
        return connected(address)

    monkeypatch.setattr(history_file, "_connected", read_only_disk)
    connection = history_file.open_to_read(file)
    assert connection.execute("SELECT count(*) FROM calls").fetchone() == (0,)
    connection.close()
    r = router(file, Provider("a", ScriptedProvider("a")))
    assert "a: closed" in repr(r), "the past of a read-only disk is taken up too"


def test_sweeping_goes_by_pieces(tmp_path, monkeypatch):
    """However much is old, no transaction deletes more than a piece of it, and all of it goes."""
    monkeypatch.setattr(history_file, "SWEPT_AT_ONCE", 2)
    connection = history_file.open_to_write(tmp_path / "h.db")
    history_file.add(connection, [("attempts", row(at)) for at in range(7)])
    history_file.sweep(connection, 10.0, 5.0)
    assert connection.execute("SELECT at FROM attempts").fetchall() == [(5.0,), (6.0,)]
    connection.close()


def test_records_can_be_told_from_any_process(tmp_path):
    """An attempt is one row of plain values."""
    kept = history(tmp_path / "h.db")
    router(kept)
    kept.attempt_ended(attempt(seconds=0.25))
    kept.close()
    assert rows(tmp_path / "h.db", "attempts")[0]["elapsed"] == 0.25
