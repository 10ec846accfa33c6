"""The console of a gateway with several workers: one page for all of them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.processes.serving import CHAT, TIMEOUT, WAIT_LIMIT, get, serving
from tests.gateway.processes.test_workers import KEYED, keyed, on_each_worker

pytestmark = pytest.mark.timeout(TIMEOUT)


def sign_in(url: str, token: str) -> str:
    """The cookie of a new session."""
    headers = {"Origin": url, "Content-Type": "application/json"}
    body = json.dumps({"key": token}).encode()
    request = urllib.request.Request(f"{url}/admin/session", body, headers)
    with urllib.request.urlopen(request, timeout=WAIT_LIMIT) as answer:
        return str(answer.headers["Set-Cookie"].partition(";")[0])


def sections(url: str, cookie: str) -> dict[str, Any]:
    """All sections, as a page that is opened now gets them from any of the workers."""

    def pairs() -> Iterator[tuple[str, Any]]:
        request = urllib.request.Request(f"{url}/admin/events", headers={"Cookie": cookie})
        with urllib.request.urlopen(request, timeout=WAIT_LIMIT) as answer:
            name = ""
            for line in answer:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)
                    if name == "problem":
                        return

    return dict(pairs())


def test_one_page_for_all_workers(tmp_path: Path) -> None:
    """Whichever worker serves the page, it shows the calls of all, and changes reach all."""
    file, _, client, admin = keyed(tmp_path, KEYED, concurrent=50)
    with serving(str(file), "--workers", "2") as (_, url):
        for _ in range(12):
            assert get(f"{url}/v1/chat/completions", CHAT, client)[0] == 200
        cookie = sign_in(url, admin)
        for _ in range(6):  # a session of one worker is valid at all of them
            shown = sections(url, cookie)
            assert shown["status"]["processes"] == 2
            assert len(shown["calls"]) == 12
            assert shown["traffic"]["hour"]["counts"] == {"answered": 12}
            used = {key["name"]: key.get("under_way") for key in shown["keys"]}
            assert used == {"alice": 0, "root": None}
        hold = json.dumps({"provider": "echo", "how": "closed"}).encode()
        headers = {"Cookie": cookie, "Origin": url, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/admin/hold", hold, headers)
        with urllib.request.urlopen(request, timeout=WAIT_LIMIT) as answer:
            assert answer.status == 200
        states = on_each_worker(url, "providers", admin)
        assert [state["echo"]["hold"] for state in states] == ["closed", "closed"]
        assert sections(url, cookie)["providers"][0]["hold"] == "closed"
