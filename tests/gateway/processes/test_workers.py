"""Several workers are one gateway: changes reach all, keys' limits are exact, and none is left."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multirouter import Budget
from multirouter.config import KeyBook
from multirouter.config.client_keys.key_file import save_keys
from tests.gateway.processes import serving as serving_module
from tests.gateway.processes.fake_upstream import hanging_provider, in_background, upstream
from tests.gateway.processes.serving import (
    CHAT,
    CONFIG,
    TIMEOUT,
    WAIT_LIMIT,
    command,
    end,
    eventually,
    get,
    models,
    runs,
    serving,
    started,
    workers_of,
)

pytestmark = pytest.mark.timeout(TIMEOUT)

SHORT_OPERATIONS = """
from multirouter import cli
from multirouter.gateway.workers import operations_under_way

operations_under_way.OPERATION_TIMEOUT = 1.0
raise SystemExit(cli.main())
"""
"""The program of a gateway that does not wait ten seconds for a worker."""

KEYED = CONFIG % "one" + "keys: {file: keys.json}\n"

EACH = 24
"""Requests on connections of their own: that one of two workers gets none of them is as likely as
24 coins that fall on the same side."""


def keyed(folder: Path, text: str = KEYED, **limits: Any) -> tuple[Path, KeyBook, str, str]:
    """A file with keys; also its keys, the token of a client with limits, and an admin's."""
    book, client = KeyBook().new("alice", **limits)
    book, admin = book.new("root", admin=True)
    save_keys(folder / "keys.json", book)
    file = folder / "gateway.yaml"
    file.write_text(text)
    return file, book, client, admin


def statuses(url: str, token: str, count: int = EACH) -> Counter[int]:
    return Counter(get(f"{url}/v1/chat/completions", CHAT, token)[0] for _ in range(count))


def on_each_worker(url: str, path: str, admin: str) -> list[Any]:
    """The answers of all workers to a request to read their state."""
    answers: list[Any] = json.loads(get(f"{url}/admin/{path}", token=admin)[1])["workers"]
    return answers


def after_a_replacement(pid: int, lost: int) -> Callable[[], bool]:
    """Whether a worker has been replaced by another."""
    return lambda: len(set(workers_of(pid)) - {lost}) == 2


def test_lost_worker_is_replaced(tmp_path: Path) -> None:
    """Workers share port and metrics, a lost one is replaced, and a changed file reaches both."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with serving(str(file), "--workers", "2", "--reload") as (process, url):
        for _ in range(8):
            assert get(f"{url}/v1/chat/completions", CHAT)[0] == 200
        labels = 'operation="chat",outcome="success",route="one",router="default"'
        counted = f"multirouter_calls_total{{{labels}}} 8.0"
        assert eventually(lambda: counted in get(f"{url}/metrics")[1])
        lost, kept = workers_of(process.pid)
        os.kill(lost, signal.SIGKILL)
        assert eventually(after_a_replacement(process.pid, lost))
        assert kept in workers_of(process.pid)
        file.write_text(CONFIG % "two")
        assert eventually(lambda: all("two" in models(url) for _ in range(EACH)))
        status, errors = end(process, signal.SIGTERM)
        assert status == 0
    events = Counter(json.loads(line)["event"] for line in errors)
    assert events["configuration reloaded"] == 1  # one gateway: one reload
    assert events["worker ended and is replaced"] == 1


def test_replaced_worker_has_the_settings_of_the_others(tmp_path: Path) -> None:
    """A new worker gets the settings in force, whatever the file has become since."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with serving(str(file), "--workers", "2") as (process, url):
        for text in ("providers: nonsense", CONFIG % "two"):
            file.write_text(text)
            lost = workers_of(process.pid)[0]
            os.kill(lost, signal.SIGKILL)
            assert eventually(after_a_replacement(process.pid, lost))
            assert eventually(lambda: "one" in models(url))
            assert not any("two" in models(url) for _ in range(EACH))
        assert end(process)[0] == 0


def test_reload_reaches_all_before_it_is_answered(tmp_path: Path) -> None:
    """When it has answered, a revoked key is invalid; an invalid file changes nothing."""
    file, book, client, admin = keyed(tmp_path)
    with serving(str(file), "--workers", "2") as (process, url):
        assert statuses(url, client) == {200: EACH}
        save_keys(tmp_path / "keys.json", book.revoke("alice"))
        assert get(f"{url}/admin/reload", {}, admin) == (200, '{"ok":true}')
        assert statuses(url, client) == {401: EACH}
        file.write_text("providers: nonsense")
        status, text = get(f"{url}/admin/reload", {}, admin)
        assert (status, json.loads(text)["error"]["code"]) == (400, "invalid_configuration")
        assert end(process)[0] == 0


def test_admin_changes_reach_all_workers(tmp_path: Path) -> None:
    """Also those that start later; a reload ends a changed weight, but no hold."""
    file, _, client, admin = keyed(tmp_path)

    def state(url: str) -> list[tuple[Any, Any]]:
        return [
            (
                snapshot["providers"]["echo"]["hold"],
                snapshot["routes"]["one"]["tiers"][0][0]["weight"],
            )
            for snapshot in on_each_worker(url, "snapshot", admin)
        ]

    with serving(str(file), "--workers", "2") as (process, url):
        assert state(url) == [(None, 1.0)] * 2
        hold = {"provider": "echo", "how": "open"}
        assert get(f"{url}/admin/hold", hold, admin)[0] == 200
        assert get(f"{url}/admin/weight", {"provider": "echo", "weight": 3}, admin)[0] == 200
        unknown = get(f"{url}/admin/hold", {"provider": "ohce", "how": "open"}, admin)
        assert unknown[0] == 400
        assert "ohce" in unknown[1]
        assert state(url) == [("open", 3.0)] * 2
        assert statuses(url, client, 4) == {503: 4}
        lost = workers_of(process.pid)[0]
        os.kill(lost, signal.SIGKILL)
        assert eventually(after_a_replacement(process.pid, lost))
        assert eventually(lambda: state(url) == [("open", 3.0)] * 2)
        assert get(f"{url}/admin/reload", {}, admin)[0] == 200
        assert state(url) == [("open", 1.0)] * 2
        assert get(f"{url}/admin/unhold", {"provider": "echo"}, admin)[0] == 200
        assert statuses(url, client) == {200: EACH}

        def recorded() -> list[int]:
            calls = json.loads(get(f"{url}/admin/calls?limit={EACH}", token=admin)[1])
            return [call["status"] for call in calls]

        assert eventually(lambda: recorded() == [200] * EACH)  # written after its answer
        assert end(process)[0] == 0


def test_rate_of_a_key_is_exact(tmp_path: Path) -> None:
    """What a key may use per minute is counted over all workers, and outlives each of them."""
    file, _, client, _ = keyed(tmp_path, requests_per_minute=0.001)
    with serving(str(file), "--workers", "2") as (process, url):
        assert statuses(url, client) == {200: 1, 429: EACH - 1}
        for lost in workers_of(process.pid):
            os.kill(lost, signal.SIGKILL)
            assert eventually(after_a_replacement(process.pid, lost))
        assert eventually(lambda: statuses(url, client) == {429: EACH})
        assert end(process)[0] == 0


def test_budget_of_a_key_is_exact(tmp_path: Path) -> None:
    """One call of a spent budget is enough for all workers."""
    text = KEYED.replace("kind: echo", "kind: echo, price: {input: 1000000, output: 1000000}")
    file, _, client, _ = keyed(tmp_path, text, budget=Budget(1.0, per="month"))
    with serving(str(file), "--workers", "2") as (process, url):
        assert statuses(url, client) == {200: 1, 429: EACH - 1}
        assert end(process)[0] == 0


def test_concurrency_of_a_key_is_exact(tmp_path: Path) -> None:
    """Requests under way at any worker count; those of a killed worker no longer do."""
    with hanging_provider() as (address, requests):
        text = upstream(address) + "keys: {file: keys.json}\n"
        file, _, client, _ = keyed(tmp_path, text, concurrent=3)
        with serving(str(file), "--workers", "2") as (process, url):
            for number in range(3):
                in_background(lambda: get(f"{url}/v1/chat/completions", CHAT, client))
                assert eventually(lambda due=number + 1: len(requests) >= due)
            assert statuses(url, client) == {429: EACH}
            for worker in workers_of(process.pid):
                os.kill(worker, signal.SIGKILL)
            brief = {**CHAT, "timeout": 1.0}  # a new worker needs a moment for its first attempt
            served = f"{url}/v1/chat/completions"
            assert eventually(lambda: get(served, brief, client)[0] == 504)


def test_storm_of_signals(tmp_path: Path) -> None:
    """A hundred SIGHUPs at intervals of a few hundred microseconds: it serves, and ends."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with serving(str(file), "--workers", "2") as (process, url):
        for _ in range(100):
            process.send_signal(signal.SIGHUP)
        file.write_text(CONFIG % "two")
        process.send_signal(signal.SIGHUP)
        assert eventually(lambda: all("two" in models(url) for _ in range(EACH)))
        assert len(workers_of(process.pid)) == 2
        assert end(process)[0] == 0


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """When it is killed, its workers stop, and another gateway can be started on the port."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with serving(str(file), "--workers", "2") as (process, _):
        workers = workers_of(process.pid)
        assert len(workers) == 2
        os.kill(process.pid, signal.SIGKILL)
        assert eventually(lambda: not any(map(runs, workers)))


def test_stuck_worker_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot apply a change is killed, so that the change reaches all that serve."""
    monkeypatch.setattr(
        serving_module,
        "command",
        lambda *arguments: [sys.executable, "-c", SHORT_OPERATIONS, *command(*arguments)[3:]],
    )
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with serving(str(file), "--workers", "2") as (process, url):
        stuck = workers_of(process.pid)[0]
        os.kill(stuck, signal.SIGSTOP)
        file.write_text(CONFIG % "two")
        process.send_signal(signal.SIGHUP)
        assert eventually(after_a_replacement(process.pid, stuck))
        assert eventually(lambda: all("two" in models(url) for _ in range(EACH)))
        assert end(process)[0] == 0


def test_worker_that_cannot_start_ends_the_gateway(tmp_path: Path) -> None:
    """An error that every worker would meet is reported once they meet it."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one" + "history: {file: history.db}\n")
    (tmp_path / "history.db").write_text("no database, and longer than the header of one" * 10)
    with started(str(file), "--workers", "2") as process:
        _, errors = process.communicate(timeout=WAIT_LIMIT)
    assert process.returncode == 2
    assert "history.db" in errors
