"""The command line: help, errors, exit statuses, and the commands `demo` and `fake-provider`."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import subprocess
import sys
import urllib.request
from argparse import Namespace
from pathlib import Path

import pytest

from multirouter import ConfigurationError, cli
from multirouter.demo import command as demo
from multirouter.demo.live_view import LiveTable
from multirouter.demo.plain_view import NullView, PlainView
from multirouter.testing import virtual_clock

ROOT = Path(__file__).parents[1]
QUICK = ["demo", "--calls", "60", "--outage", "0"]


@pytest.fixture
def in_virtual_time(monkeypatch):
    """`asyncio.run` runs in virtual time."""
    monkeypatch.setattr(asyncio, "run", lambda main: virtual_clock.run(lambda: main))


def command(*arguments: str, **settings) -> subprocess.Popen[str]:
    """Starts a command in a process, with pipes for its output. SIGINT interrupts it."""
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    line = [sys.executable, "-m", "multirouter", *arguments]
    # Tests in a background job ignore the signal, and their processes would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(line, cwd=ROOT, text=True, **settings)
    finally:
        signal.signal(signal.SIGINT, before)


# ── all commands ────────────────────────────────────────────────────────────────────────────────


def test_without_a_command_prints_help(capsys):
    """`multirouter` alone lists every command with its summary, and exits with 2."""
    assert cli.main([]) == 2
    output = capsys.readouterr().out
    for name, each in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(each.SUMMARY)}$", output, re.MULTILINE)


@pytest.mark.parametrize("line", ["demo --no-such", "config schema --no-such", "keys list spare"])
def test_unknown_argument_prints_usage_of_the_command(line, capsys):
    """An unknown argument is an error with the usage of its command, not of the program."""
    *command, unknown = line.split()
    with pytest.raises(SystemExit) as caught:
        cli.main([*command, unknown])
    assert caught.value.code == 2
    output = capsys.readouterr().err
    assert output.startswith(f"usage: multirouter {' '.join(command)} [-h]")
    assert output.endswith(
        f"multirouter {' '.join(command)}: error: unrecognized arguments: {unknown}\n"
    )


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_help(name, capsys):
    """`--help` of each command describes it, in lines of at most 100 characters."""
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert cli.COMMANDS[name].DESCRIPTION.splitlines()[0] in output
    assert max(map(len, output.splitlines())) <= 100


def test_version(capsys, monkeypatch):
    """`--version` prints the installed version, or that the package is not installed."""
    monkeypatch.setattr(cli, "version", lambda name: "1.2.3")
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == "multirouter 1.2.3\n"

    def missing(name):
        raise cli.PackageNotFoundError(name)

    monkeypatch.setattr(cli, "version", missing)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == "multirouter (not installed)\n"


class Stub:
    """A command that returns a status or raises an error."""

    SUMMARY = DESCRIPTION = EPILOG = ""

    def __init__(self, result) -> None:
        self._result = result

    def add_arguments(self, parser) -> None:
        pass

    def run(self, arguments) -> int:
        if isinstance(self._result, int):
            return self._result
        raise self._result


@pytest.mark.parametrize(
    ("result", "status", "message"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (ConfigurationError("port", "is odd"), 2, "multirouter stub: error: port: is odd\n"),
        (OSError(98, "In use"), 2, "multirouter stub: error: in use\n"),
        (OSError(2, "Not there", "a.yaml"), 2, "multirouter stub: error: a.yaml: not there\n"),
        (OSError("of another sort"), 2, "multirouter stub: error: of another sort\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_exit_statuses(result, status, message, monkeypatch, capsys):
    """Errors are one line on standard error and status 2; Ctrl-C is status 130."""
    monkeypatch.setattr(cli, "COMMANDS", {"stub": Stub(result)})
    assert cli.main(["stub"]) == status
    assert capsys.readouterr().err == message


class Writer(Stub):
    """A command that writes a character which ASCII lacks, and fails."""

    def run(self, arguments) -> int:
        sys.stdout.write("1 → 2")
        sys.stdout.flush()
        return super().run(arguments)


def test_closed_output_is_no_error(monkeypatch):
    """A process that was started without its output streams drops what it would write there."""
    monkeypatch.setattr(cli, "COMMANDS", {"stub": Writer(ConfigurationError("port", "is odd"))})
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    try:
        assert cli.main(["stub"]) == 2
    finally:
        sys.stdout.close()
        sys.stderr.close()


def test_output_in_ascii_is_no_error(monkeypatch):
    """A character that the encoding of the output lacks is written as a question mark."""
    monkeypatch.setattr(cli, "COMMANDS", {"stub": Writer(0)})
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert cli.main(["stub"]) == 0
    assert written.getvalue() == b"1 ? 2"


def test_closed_pipe_is_no_error():
    """Output to a closed pipe ends the command without an error, as `| head` expects."""
    with command("fake-provider", "--port", "0", stdin=subprocess.DEVNULL) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


# ── multirouter demo ────────────────────────────────────────────────────────────────────────────


def test_demo_in_plain_lines(in_virtual_time, capsys):
    """Without a terminal the demo prints lines and the summary, and exits with 0."""
    assert cli.main(QUICK) == 0
    output = capsys.readouterr()
    assert "60/60 calls, errors 0" in output.out
    assert re.search(r"^60 calls in [\d.]+ s", output.out, re.MULTILINE)
    assert "errors seen by callers  0" in output.out
    assert output.err == ""


def test_demo_as_json(in_virtual_time, capsys):
    """With `--json` standard output is one JSON document and nothing else."""
    assert cli.main([*QUICK, "--json", "--seed", "3"]) == 0
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert (document["calls"], document["errors"]) == (60, 0)
    assert document["settings"]["seed"] == 3
    assert output.err == ""


def test_demo_with_errors_exits_with_1(in_virtual_time, monkeypatch, capsys):
    """If a caller saw an error the exit status is 1."""
    monkeypatch.setattr(demo, "Scenario", lambda **s: Scenario(**s, error_rate=1.0))
    from multirouter.demo.scenario import Scenario

    arguments = Namespace(
        calls=3,
        concurrency=1,
        seed=1,
        outage=0.0,
        metrics_port=0,
        plain=True,
        json=False,
        console=False,
    )
    assert demo.run(arguments) == 1
    assert "errors seen by callers  3" in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--calls", "0"], ["--concurrency", "201"]])
def test_demo_option_out_of_range(option, capsys):
    """An option out of range is one line on standard error, and nothing is started."""
    assert cli.main(["demo", *option]) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"multirouter demo: error: {option[0][2:]}: must be ")
    assert output.out == ""


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "err", "options", "expected"),
    [
        (Terminal, io.StringIO, {}, LiveTable),
        (Terminal, io.StringIO, {"plain": True}, PlainView),
        (io.StringIO, Terminal, {}, PlainView),
        (io.StringIO, Terminal, {"json": True}, LiveTable),
        (io.StringIO, io.StringIO, {"json": True}, NullView),
    ],
)
def test_choice_of_the_view(out, err, options, expected, monkeypatch):
    """Terminals get the table, other outputs lines; with --json stderr decides."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", out())
    monkeypatch.setattr(sys, "stderr", err())
    arguments = Namespace(**{"plain": False, "json": False, **options})
    with demo._view(arguments) as view:
        assert type(view) is expected


@pytest.mark.parametrize("reason", ["no rich", "dumb terminal"])
def test_terminal_without_table_gets_lines(reason, monkeypatch):
    """Without rich a hint says how to install it; a dumb terminal gets lines only."""
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    if reason == "no rich":
        monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with demo._view(Namespace(plain=False, json=False)) as view:
        assert type(view) is PlainView
    assert ("multirouter[cli]" in sys.stdout.getvalue()) == (reason == "no rich")


def test_ctrl_c_prints_the_summary_so_far():
    """SIGINT during the calls prints the summary, no traceback, and exits with 130."""
    with command("demo", "--plain") as process:
        first_lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    assert first_lines[0].startswith("Three HTTP providers")
    assert re.search(r"^Stopped after \d+ of 4000 calls", output, re.MULTILINE)
    assert "errors seen by callers  0" in output
    assert errors == ""
    assert process.returncode == 130


# ── multirouter fake-provider ───────────────────────────────────────────────────────────────────


def test_fake_provider_serves_until_ctrl_c():
    """It prints its URL, answers requests, and exits with 0 after Ctrl-C."""
    with command("fake-provider", "--port", "0") as process:
        url = re.search(r"http://[\d.:]+/v1", process.stdout.readline())[0]
        with urllib.request.urlopen(f"{url}/models") as response:
            assert json.load(response)["object"] == "list"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert errors == ""
    assert process.returncode == 0


def test_fake_provider_port_out_of_range(capsys):
    """A port out of range is one line on standard error, and nothing is served."""
    assert cli.main(["fake-provider", "--port", "65536"]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("multirouter fake-provider: error: port: must be ")
    assert errors.endswith("got 65536\n")


def test_fake_provider_unknown_fault(capsys):
    """An unknown fault is an error with the list of the known ones."""
    assert cli.main(["fake-provider", "--fault", "fail-often"]) == 2
    errors = capsys.readouterr().err
    assert "fault: must be one of fail-N, " in errors
    assert errors.endswith("got 'fail-often'\n")


def test_without_extras_commands_run_or_name_the_extra(tmp_path: Path) -> None:
    """`pip install multirouter` alone has no pydantic, YAML or Redis client."""
    (tmp_path / "multirouter.yaml").write_text("routes: {}")
    script = (
        "import sys\n"
        "for name in ('pydantic', 'pydantic_core', 'yaml', 'redis', 'orjson', 'rich', 'uvloop'):\n"
        "    sys.modules[name] = None\n"
        "from multirouter.cli import main\n"
        "results = [main([*words.split(), sys.argv[1]]) for words in ('check', 'serve', 'bench')]\n"
        "print(*results, main(['config', 'schema']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "multirouter.yaml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("2 2 2 0\n")
    assert done.stderr.count("requires PyYAML: pip install 'multirouter[gateway]'\n") == 3
