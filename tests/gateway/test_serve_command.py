"""The command `multirouter serve`: processes, signals, reloads, and the address check."""

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
from multirouter.gateway.auth.loopback import is_loopback
from multirouter.gateway.process import ServeOptions
from multirouter.gateway.server import bind
from multirouter.gateway.startup_message import curl, startup_message

CONFIG = "providers:\n  echo: {kind: echo}\nroutes:\n  %s: {tiers: [echo]}\n"


def get(url: str, body: Any = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether a condition becomes true in time; processes use the real clock."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return True
        except OSError:
            pass
        time.sleep(0.02)
    return False


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs the command without provider keys; yields its process and URL."""
    environment = {
        name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "multirouter", "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].removesuffix("/v1")
        yield process, url
    finally:
        process.terminate()
        process.communicate(timeout=20)


def workers_of(pid: int) -> list[int]:
    """The process ids of a process' children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def models(url: str) -> list[str]:
    return [model["id"] for model in json.loads(get(f"{url}/v1/models")[1])["data"]]


def test_single_process(tmp_path: Path) -> None:
    """It answers, reloads on SIGHUP, rejects an invalid file, and drains on SIGTERM."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with serving(str(file)) as (process, url):
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
    assert events.count("configuration reloaded") == 1
    assert "configuration reload rejected" in events


def test_several_workers(tmp_path: Path) -> None:
    """Workers share port and metrics, a lost one is replaced, and SIGTERM ends all."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with serving(str(file), "--workers", "2", "--reload") as (process, url):
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


def test_lost_worker_is_replaced_despite_an_invalid_file(tmp_path: Path) -> None:
    """New workers keep the settings in force if the file has become invalid, which is logged."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with serving(str(file), "--workers", "2") as (process, url):
        file.write_text("providers: nonsense")
        lost, kept = workers_of(process.pid)
        os.kill(lost, signal.SIGKILL)
        assert eventually(lambda: len(set(workers_of(process.pid)) - {lost}) == 2)
        os.kill(kept, signal.SIGKILL)  # the last worker that read the file when it was valid
        assert eventually(lambda: len(set(workers_of(process.pid)) - {lost, kept}) == 2)
        assert eventually(lambda: "one" in models(url))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
    assert errors.count("configuration reload rejected for new workers") == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "gateway.example"])
def test_other_machines_need_keys(host: str, tmp_path: Path) -> None:
    """Without keys only loopback is bound, unless `--allow-anyone` is given."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    options = ServeOptions(config=str(file), host=host)
    with pytest.raises(ConfigurationError, match="no keys are configured"):
        options.address(options.load_settings())
    open_to_all = ServeOptions(config=str(file), host=host, port=1, allow_anyone=True)
    assert open_to_all.address(open_to_all.load_settings()) == (host, 1)


def test_is_loopback() -> None:
    """Loopback addresses and localhost are, and names that resemble them are not."""
    assert all(map(is_loopback, ["127.0.0.1", "::1", "localhost", "a.localhost", "127.9.9.9"]))
    assert not any(map(is_loopback, ["", "0.0.0.0", "::", "127.0.0.1.evil.example", "10.0.0.1"]))


def test_port_in_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A port in use ends the command with status 2 and a message."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", str(file), "--port", port, "--workers", "2"]) == 2
    assert "cannot listen on" in capsys.readouterr().err


def test_startup_message() -> None:
    """It says that only the echo model answers, and has a curl command."""
    text = startup_message(ServeOptions().load_settings(), "http://127.0.0.1:1")
    assert "curl http://127.0.0.1:1/v1/chat/completions" in text
    assert "YOUR_KEY" in curl("http://x", "m", keyed=True)
