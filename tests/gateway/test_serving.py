"""The command itself: processes, signals, files that change, and who may be served."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from multirouter import ConfigurationError
from multirouter.cli import main
from multirouter.gateway import startup_message as greeting
from multirouter.gateway.auth.access_control import is_loopback
from multirouter.gateway.process import Wish

CONFIG = "providers:\n  echo: {kind: echo}\nroutes:\n  %s: {tiers: [echo]}\n"


def get(url: str, body: Any = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def eventually(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether it becomes true in time; processes live by the real clock."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if true():
                return True
        except OSError:
            pass
        time.sleep(0.02)
    return False


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as people run it; ends with the process gone."""
    keys = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    process = subprocess.Popen(
        [sys.executable, "-m", "multirouter", "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=keys,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].removesuffix("/v1")
        yield process, url
    finally:
        process.terminate()
        process.communicate(timeout=20)


def workers_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def models(url: str) -> list[str]:
    return [model["id"] for model in json.loads(get(f"{url}/v1/models")[1])["data"]]


def test_one_process(tmp_path: Path) -> None:
    """It answers, reads its file again on SIGHUP, keeps the old one when refused, and drains."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with served(str(file)) as (process, url):
        body = {"model": "one", "messages": [{"role": "user", "content": "Hello"}]}
        status, text = get(f"{url}/v1/chat/completions", body)
        assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (200, "Hello")
        file.write_text(CONFIG % "two")
        process.send_signal(signal.SIGHUP)
        assert eventually(lambda: "two" in models(url))
        file.write_text("providers: nonsense")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert eventually(lambda: get(f"{url}/readyz")[0] == 503)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
    events = [json.loads(line)["event"] for line in errors.splitlines()]
    assert events.count("reloaded") == 1
    assert "reload refused" in events


def test_several_processes(tmp_path: Path) -> None:
    """Workers share the port and their metrics, a lost one is replaced, and all end together."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with served(str(file), "--workers", "2", "--reload") as (process, url):
        body = {"model": "one", "messages": [{"role": "user", "content": "Hello"}]}
        assert eventually(lambda: get(f"{url}/healthz")[0] == 200)
        for _ in range(8):
            assert get(f"{url}/v1/chat/completions", body)[0] == 200
        counted = 'multirouter_calls_total{outcome="success",route="one",router="default"} 8.0'
        assert eventually(lambda: counted in get(f"{url}/metrics")[1])
        lost, kept = workers_of(process.pid)
        os.kill(lost, signal.SIGKILL)
        assert eventually(lambda: len(set(workers_of(process.pid)) - {lost}) == 2)
        assert kept in workers_of(process.pid)
        file.write_text(CONFIG % "two")
        assert eventually(lambda: "two" in models(url))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_a_lost_worker_is_replaced_whatever_the_file_holds_now(tmp_path: Path) -> None:
    """A bad file leaves the settings in force to new processes too, and the log says so."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with served(str(file), "--workers", "2") as (process, url):
        file.write_text("providers: nonsense")
        lost, kept = workers_of(process.pid)
        os.kill(lost, signal.SIGKILL)
        assert eventually(lambda: len(set(workers_of(process.pid)) - {lost}) == 2)
        os.kill(kept, signal.SIGKILL)  # nobody is left who knew the file when it was good
        assert eventually(lambda: "one" in models(url))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
    assert errors.count("new workers serve as before") == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "gateway.example"])
def test_other_machines_need_keys(host: str, tmp_path: Path) -> None:
    """Without keys only loopback is bound, unless a flag says what it does."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    wish = Wish(config=str(file), host=host)
    with pytest.raises(ConfigurationError, match="no keys are configured"):
        wish.place(wish.settings())
    anyone = Wish(config=str(file), host=host, port=1, anyone=True)
    assert anyone.place(anyone.settings()) == (host, 1)


def test_what_is_this_machine() -> None:
    """Loopback addresses and localhost; nothing that only looks like them."""
    assert all(map(is_loopback, ["127.0.0.1", "::1", "localhost", "a.localhost", "127.9.9.9"]))
    assert not any(map(is_loopback, ["", "0.0.0.0", "::", "127.0.0.1.evil.example", "10.0.0.1"]))


def test_a_taken_port_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A port that is taken ends the command with a line that says so."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    from multirouter.gateway.server import listen

    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", str(file), "--port", port, "--workers", "2"]) == 2
    assert "cannot listen on" in capsys.readouterr().err


def test_the_greeting() -> None:
    """It says that nothing but an echo answers, and gives a line to paste."""
    text = greeting.text(Wish().settings(), "http://127.0.0.1:1")
    assert "curl http://127.0.0.1:1/v1/chat/completions" in text
    assert "YOUR_KEY" in greeting.curl("http://x", "m", keyed=True)
