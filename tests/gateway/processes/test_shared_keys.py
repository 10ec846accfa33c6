"""Gateways of several workers that share the limits of their keys in a real Redis."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from multirouter import Budget
from multirouter.config import KeyBook
from multirouter.config.client_keys.key_file import save_keys
from tests.gateway.processes.serving import CHAT, TIMEOUT, eventually, get, serving, workers_of
from tests.sharing.servers import running

pytestmark = pytest.mark.timeout(TIMEOUT)

CONFIG = """
providers:
  echo: {kind: echo, price: {input: 1000000, output: 1000000}}
routes:
  one: {tiers: [echo]}
keys: {file: keys.json}
sharing: {url: "%s", host: "%s", interval: 0.2}
"""


def test_a_budget_and_a_revoked_key_are_those_of_all_gateways(tmp_path: Path) -> None:
    """Also after the workers of one were replaced, which hold nothing of it."""
    book, spender = KeyBook().new("spender", budget=Budget(50.0, per="month"))
    book, other = book.new("other")
    with running("redis", tmp_path) as server, ExitStack() as stack:
        urls, processes = [], []
        for host in ("x", "y"):
            folder = tmp_path / host
            folder.mkdir()
            save_keys(folder / "keys.json", book)
            (folder / "gateway.yaml").write_text(CONFIG % (server.url, host))
            process, url = stack.enter_context(
                serving(str(folder / "gateway.yaml"), "--workers", "2", "--reload")
            )
            urls.append(url)
            processes.append(process)

        def chat(url: str, token: str) -> tuple[int, str]:
            status, body = get(f"{url}/v1/chat/completions", CHAT, token)
            return status, json.loads(body)["error"]["code"] if status != 200 else ""

        assert chat(urls[1], spender)[0] == 200
        used_up = (429, "insufficient_quota")
        assert eventually(lambda: chat(urls[0], spender) == used_up)
        assert eventually(lambda: chat(urls[1], spender) == used_up)
        for lost in workers_of(processes[0].pid):
            os.kill(lost, signal.SIGKILL)
        assert eventually(lambda: chat(urls[0], spender) == used_up)
        assert [chat(url, other)[0] for url in urls] == [200, 200]
        save_keys(tmp_path / "x" / "keys.json", book.revoke("other"))
        assert eventually(lambda: [chat(url, other)[0] for url in urls] == [401, 401])
