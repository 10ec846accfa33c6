"""The command line: what every command has in common, and that each is wired to its room."""

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
from multirouter.demo.plain_view import Lines, Silence
from multirouter.testing import virtual_clock

ROOT = Path(__file__).parents[1]
QUICK = ["demo", "--calls", "60", "--outage", "0"]


@pytest.fixture
def in_virtual_time(monkeypatch):
    """Programs that a command starts run in virtual time."""
    monkeypatch.setattr(asyncio, "run", lambda main: virtual_clock.run(lambda: main))


def command(*arguments: str, **settings) -> subprocess.Popen[str]:
    """The command in a process of its own, with its output to read."""
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    line = [sys.executable, "-m", "multirouter", *arguments]
    return subprocess.Popen(line, cwd=ROOT, text=True, **settings)


# ── what all have in common ─────────────────────────────────────────────────────────────────────


def test_without_a_command_it_helps(capsys):
    """`multirouter` alone shows every command with what it does, and counts as misuse."""
    assert cli.main([]) == 2
    told = capsys.readouterr().out
    for name, each in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(each.SUMMARY)}$", told, re.MULTILINE)


@pytest.mark.parametrize("line", ["demo --no-such", "config schema --no-such", "keys list spare"])
def test_an_unknown_option_is_answered_by_its_command(line, capsys):
    """What a command does not know is refused with that command's usage, not with the program's."""
    *command, unknown = line.split()
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, unknown])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"usage: multirouter {' '.join(command)} [-h]")
    assert told.endswith(
        f"multirouter {' '.join(command)}: error: unrecognized arguments: {unknown}\n"
    )


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_help(name, capsys):
    """`--help` of each command describes it and every option, on lines that fit a terminal."""
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert cli.COMMANDS[name].DESCRIPTION.splitlines()[0] in told
    assert max(map(len, told.splitlines())) <= 100


def test_the_version_is_that_of_the_package(capsys, monkeypatch):
    """`--version` tells the installed version, and says so where nothing is installed."""
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
    """A command that ends in the way it is told to."""

    SUMMARY = DESCRIPTION = EPILOG = ""

    def __init__(self, ending) -> None:
        self._ending = ending

    def add_arguments(self, parser) -> None:
        pass

    def run(self, arguments) -> int:
        if isinstance(self._ending, int):
            return self._ending
        raise self._ending


@pytest.mark.parametrize(
    ("ending", "status", "said"),
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
def test_endings(ending, status, said, monkeypatch, capsys):
    """Errors of the user's making are one line on stderr and status 2; Ctrl-C is 130."""
    monkeypatch.setattr(cli, "COMMANDS", {"stub": Stub(ending)})
    assert cli.main(["stub"]) == status
    assert capsys.readouterr().err == said


def test_a_reader_who_leaves_is_no_error():
    """Output into a closed pipe ends the command quietly, as `| head` expects."""
    with command("fake-provider", "--port", "0", stdin=subprocess.DEVNULL) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


# ── multirouter demo ────────────────────────────────────────────────────────────────────────────


def test_the_demo_in_plain_lines(in_virtual_time, capsys):
    """Without a terminal: lines, then the summary; every call was answered, so status 0."""
    assert cli.main(QUICK) == 0
    told = capsys.readouterr()
    assert "60/60 calls, errors 0" in told.out
    assert re.search(r"^60 calls in [\d.]+ s", told.out, re.MULTILINE)
    assert "errors seen by the caller  0" in told.out
    assert told.err == ""


def test_the_demo_as_json(in_virtual_time, capsys):
    """`--json`: standard output is one JSON document and nothing else."""
    assert cli.main([*QUICK, "--json", "--seed", "3"]) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert (document["calls"], document["errors"]) == (60, 0)
    assert document["settings"]["seed"] == 3
    assert told.err == ""


def test_errors_of_callers_show_in_the_status(in_virtual_time, monkeypatch, capsys):
    """When a caller saw an error the status is 1."""
    monkeypatch.setattr(demo, "Scenario", lambda **s: Scenario(**s, hiccups=1.0))
    from multirouter.demo.scenario import Scenario

    arguments = Namespace(
        calls=3, concurrency=1, seed=1, outage=0.0, metrics_port=0, plain=True, json=False
    )
    assert demo.run(arguments) == 1
    assert "errors seen by the caller  3" in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--calls", "0"], ["--concurrency", "201"]])
def test_the_demo_refuses_in_one_line(option, capsys):
    """An option out of its range is named on stderr, and nothing is started."""
    assert cli.main(["demo", *option]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"multirouter demo: error: {option[0][2:]}: must be at ")
    assert told.out == ""


class Terminal(io.StringIO):
    """Standard output on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "err", "options", "expected"),
    [
        (Terminal, io.StringIO, {}, LiveTable),
        (Terminal, io.StringIO, {"plain": True}, Lines),
        (io.StringIO, Terminal, {}, Lines),
        (io.StringIO, Terminal, {"json": True}, LiveTable),
        (io.StringIO, io.StringIO, {"json": True}, Silence),
    ],
)
def test_the_view_suits_where_it_goes(out, err, options, expected, monkeypatch):
    """A table for terminals, lines for the rest; with --json on stderr, and only if watched."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", out())
    monkeypatch.setattr(sys, "stderr", err())
    arguments = Namespace(**{"plain": False, "json": False, **options})
    with demo._view(arguments) as view:
        assert type(view) is expected


@pytest.mark.parametrize("reason", ["no rich", "dumb terminal"])
def test_terminals_without_a_table_get_lines(reason, monkeypatch):
    """Without rich there is a hint how to get the table; a dumb terminal gets lines alone."""
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    if reason == "no rich":
        monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with demo._view(Namespace(plain=False, json=False)) as view:
        assert type(view) is Lines
    assert ("multirouter[cli]" in sys.stdout.getvalue()) == (reason == "no rich")


def test_ctrl_c_ends_the_demo_with_the_summary_so_far():
    """SIGINT while calls run: the summary of what was done, no traceback, status 130."""
    with command("demo", "--plain") as process:
        began = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert began[0].startswith("Three HTTP providers")
    assert re.search(r"^Stopped after \d+ of 4000 calls", rest, re.MULTILINE)
    assert "errors seen by the caller  0" in rest
    assert errors == ""
    assert process.returncode == 130


# ── multirouter fake-provider ───────────────────────────────────────────────────────────────────


def test_the_fake_provider_serves_until_ctrl_c():
    """It says where it listens, answers there, and Ctrl-C is its ordinary end."""
    with command("fake-provider", "--port", "0") as process:
        url = re.search(r"http://[\d.:]+/v1", process.stdout.readline())[0]
        with urllib.request.urlopen(f"{url}/models") as response:
            assert json.load(response)["object"] == "list"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert errors == ""
    assert process.returncode == 0


def test_a_port_that_is_none_is_refused(capsys):
    """A port out of range is told as one line, and nothing is served."""
    assert cli.main(["fake-provider", "--port", "65536"]) == 2
    told = "multirouter fake-provider: error: port: must be at most 65535, not 65536\n"
    assert capsys.readouterr().err == told


def test_the_fake_provider_refuses_unknown_faults(capsys):
    """A fault that does not exist is refused with the list of those that do."""
    assert cli.main(["fake-provider", "--fault", "fail-often"]) == 2
    assert "'fail-often' is none of fail-N, " in capsys.readouterr().err
