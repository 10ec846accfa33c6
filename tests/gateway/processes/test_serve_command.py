"""The command `multirouter serve`: processes, signals, reloads, and the address check."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from multirouter import ConfigurationError
from multirouter.cli import main
from multirouter.config.client_keys.loopback import is_loopback
from multirouter.gateway.process import ServeOptions
from multirouter.gateway.server import bind
from multirouter.gateway.startup_message import curl, report_start, startup_message
from tests.gateway.processes.fake_upstream import hanging_provider, in_background, upstream
from tests.gateway.processes.serving import (
    CHAT,
    CONFIG,
    TIMEOUT,
    WAIT_LIMIT,
    command,
    end,
    environment,
    eventually,
    get,
    models,
    runs,
    serving,
    started,
    url_of,
    workers_of,
)

pytestmark = pytest.mark.timeout(TIMEOUT)

WORKERS = pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "two"])


def test_single_process(tmp_path: Path) -> None:
    """It answers, reloads on SIGHUP, rejects an invalid file, and drains on SIGTERM."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with serving(str(file)) as (process, url):
        status, text = get(f"{url}/v1/chat/completions", CHAT)
        assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (200, "Hello")
        file.write_text(CONFIG % "two")
        process.send_signal(signal.SIGHUP)
        assert eventually(lambda: "two" in models(url))
        file.write_text("providers: nonsense")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=WAIT_LIMIT)
        assert process.returncode == 0
    events = [json.loads(line)["event"] for line in errors.splitlines()]
    assert events.count("configuration reloaded") == 1
    assert "configuration reload rejected" in events


@WORKERS
def test_reload_during_the_start_is_done_after_it(workers: tuple[str, ...], tmp_path: Path) -> None:
    """SIGHUP before the gateway listens does not end it, and the newer settings come into force."""
    file = tmp_path / "gateway.yaml"
    os.mkfifo(file)
    with started(str(file), *workers) as process:
        with file.open("w") as pipe:  # opens when the process reads its settings
            file.unlink()
            file.write_text(CONFIG % "two")
            process.send_signal(signal.SIGHUP)
            pipe.write(CONFIG % "one")
        url = url_of(process)
        assert eventually(lambda: "two" in models(url))
        assert end(process)[0] == 0


@WORKERS
def test_ctrl_c_ends_it_quietly(workers: tuple[str, ...], tmp_path: Path) -> None:
    """A terminal sends SIGINT to all processes of the group; none prints a traceback."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one" + "history: {file: history.db}\n")
    with serving(str(file), *workers) as (process, url):
        assert get(f"{url}/v1/chat/completions", CHAT)[0] == 200
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_LIMIT)
        assert process.returncode == 0
        assert "Traceback" not in errors


@WORKERS
def test_second_ctrl_c_ends_it_at_once(workers: tuple[str, ...], tmp_path: Path) -> None:
    """Requests under way are not waited for, however long the drain; no traceback is printed."""
    with hanging_provider() as (address, requests):
        file = tmp_path / "gateway.yaml"
        file.write_text(upstream(address) + "server: {drain_timeout: 1.0e+9}\n")
        with serving(str(file), *workers) as (process, url):
            in_background(lambda: get(f"{url}/v1/chat/completions", CHAT))
            assert eventually(lambda: len(requests) == 1)
            os.killpg(process.pid, signal.SIGINT)
            assert eventually(lambda: not accepts(url))
            os.killpg(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=WAIT_LIMIT)
            assert process.returncode == 130
            assert "Traceback" not in errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@WORKERS
def test_full_disk_loses_log_lines_only(workers: tuple[str, ...], tmp_path: Path) -> None:
    """Requests are answered when their log lines cannot be written."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with (
        Path("/dev/full").open("w") as full,
        started(str(file), *workers, stderr=full.fileno()) as process,
    ):
        url = url_of(process)
        assert get(f"{url}/v1/chat/completions", CHAT)[0] == 200
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_LIMIT)


@WORKERS
def test_closing_the_terminal_ends_it(workers: tuple[str, ...], tmp_path: Path) -> None:
    """The SIGHUP of a closed terminal is no reload, also when stderr can no longer be written."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - the other process
        # Tests that run under `nohup` ignore the signal, and their processes inherit that.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        arguments = command(str(file), *workers)
        os.execve(arguments[0], arguments, environment())
    output = b""
    while b"/chat/completions" not in output:
        output += os.read(terminal, 4096)
    children = workers_of(pid)
    os.close(terminal)
    try:
        assert eventually(lambda: not runs(pid))
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == 0
    assert eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def accepts(url: str) -> bool:
    """Whether a gateway accepts connections."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), WAIT_LIMIT).close()
    except OSError:
        return False
    return True


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


@pytest.mark.parametrize("abstract", [False, True])
def test_service_manager_is_notified(
    abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service manager learns that the gateway serves, over either kind of socket."""
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        report_start(ServeOptions().load_settings(), "http://127.0.0.1:1")
        assert manager.recv(100) == b"READY=1"


def test_startup_message() -> None:
    """It says that only the echo model answers, and has a curl command."""
    text = startup_message(ServeOptions().load_settings(), "http://127.0.0.1:1")
    assert "curl http://127.0.0.1:1/v1/chat/completions" in text
    assert "YOUR_KEY" in curl("http://x", "m", keyed=True)
