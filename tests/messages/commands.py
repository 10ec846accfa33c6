"""Output of each command of `multirouter`, as a terminal would show it."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any
from unittest import mock

import anyio
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, cli
from multirouter.config import load
from multirouter.core.cost.price import Price
from multirouter.demo import plain_view
from multirouter.demo.counters import Counters, DemoEvent
from multirouter.demo.metrics_endpoint import Scrape
from multirouter.demo.plain_view import PlainView
from multirouter.demo.provider_rows import ProviderRow
from multirouter.demo.scenario import Scenario
from multirouter.demo.summary import Summary
from multirouter.gateway.startup_message import startup_message
from multirouter.listeners.history.history import History
from multirouter.testing import ScriptedProvider, VirtualClock
from multirouter.testing.faults import Fault
from tests.messages.normalize import normalized
from tests.report.simulation import SilentLogger

URL = "http://127.0.0.1:8080"

MISTAKES = """\
servr: {port: 8080}
server:
  host: "${NO_SUCH_HOST}"
  port: 80800
  cors_origins: "*"
providers:
  openai: {model: gpt-5}
  claude: {model: claude-opus-5}
  ollama: {base_url: "ftp://localhost", wieght: 2}
  echo:
    weight: -1
    version: v1
    attempt_timeout: 30s
    budget: {usd: 10, per: week}
    circuit: {failures: 0, open_duration: 0}
policies:
  timeout: 0
  retry: {attempts: many}
  stream: {on_interrupt: contine}
routes:
  coding: {tiers: [echo, ehco], on: [429, sever]}
  empty: {tiers: []}
  fast: {tiers: [[echo]], hedge: {after: 1, percentile: 0.9}}
prices:
  gpt-5: {input: free, output: 1}
alarms:
  provider_failing: {over: 3}
history: {file: no/such/history.db}
keys: {file: no-such-keys.json}
"""

FEWER_MISTAKES = """\
providers:
  openai: {model: gpt-5}
  claude: {model: claude-opus-5}
  ollama: {base_url: "ftp://localhost"}
  echo: {weight: -1, version: v1, budget: {usd: 10}}
policies: {timeout: 0}
routes:
  coding: {tiers: [echo, ehco]}
  nested: {tiers: [[echo, "route:coding"]]}
history: {file: no/such/history.db}
keys: {file: no-such-keys.json}
"""
"""Mistakes that are found once the types are correct."""

VALID = """\
providers:
  echo: {models: [small, large]}
  ollama: {model: llama3}
routes:
  coding: {tiers: [echo, ollama], models: [coding, "code-*"]}
"""


class Terminal:
    """Runs commands in an empty folder and collects what they print.

    Args:
        folder: the folder; its path is shown as FOLDER.
    """

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self._folder = folder

    def write_file(self, name: str, text: str) -> None:
        (self._folder / name).write_text(dedent(text), encoding="utf-8")

    def run(self, line: str, shorten: Callable[[str], str] = str) -> None:
        """Runs `multirouter ...`; arguments with a `.` or `/` are files of the folder."""
        arguments = [
            str(self._folder / word) if re.search(r"\.(ya?ml|toml|db|json|txt)$", word) else word
            for word in line.split()
        ]
        output = io.StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            try:
                status = cli.main(arguments)
            except SystemExit as end:
                status = int(end.code or 0)
        self.add(f"$ multirouter {line}", shorten(output.getvalue()))
        self.lines[-1] = f"(exit status {status})\n"

    def add(self, heading: str, text: str) -> None:
        """Adds a text below a heading."""
        shown = normalized(text, self._folder).rstrip("\n")
        self.lines += [heading, shown, ""]


def _help(out: Terminal) -> None:
    out.run("--help")
    for name in cli.COMMANDS:
        out.run(f"{name} --help")
    for line in ("keys new --help", "config init --help"):
        out.run(line)


def _wrong_arguments(out: Terminal) -> None:
    for line in (
        "serve --prt 80",
        "demo --calls many",
        "demo --calls 0",
        "demo --concurrency 500",
        "demo --outage -1",
        "report --since yesterday history.db",
        "report gone.db",
        "report notes.txt",
        "fake-provider --fault fail",
        "serve gone.yaml",
        "serve open.yaml",
        "serve --workers 0",
    ):
        out.run(line)


def _configuration(out: Terminal) -> None:
    for line in (
        "check mistakes.yaml",
        "check fewer-mistakes.yaml",
        "check broken.yaml",
        "check notes.txt",
        "check valid.yaml",
        "config init gateway.toml",
        "config init gateway.yaml",
        "config init gateway.yaml",
        "check gateway.yaml",
    ):
        out.run(line)


def _keys(out: Terminal) -> None:
    def hide(text: str) -> str:
        return re.sub(r"\bmr-\S+", "KEY", re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+", "TIME", text))

    def hide_ids(text: str) -> str:
        return re.sub(r"^\S+(?=  \w+ +)", "ID", hide(text), flags=re.MULTILINE)

    for line in (
        "keys list --file gone.json",
        "keys new alice --file keys.json --route coding --requests-per-minute 60 --budget 10",
        "keys new root --file keys.json --admin",
        "keys new alice --file keys.json",
        "keys new bob --file keys.json --concurrent 0",
        "keys revoke alicia --file keys.json",
        "keys revoke alice --file keys.json",
        "keys list --file keys.json",
        "keys list --file damaged.json",
    ):
        out.run(line, hide_ids if " list " in line else hide)


def _start_messages(out: Terminal, folder: Path) -> None:
    out.add("(multirouter serve valid.yaml)", startup_message(load(folder / "valid.yaml"), URL))
    echo = folder / "gateway.yaml"
    out.add("(multirouter serve, without a key)", startup_message(load(echo), URL))


def _demo(out: Terminal) -> None:
    counters = Counters()
    counters.durations = [0.08] * 3900 + [1.1] * 100
    counters.failover_durations = [1.1] * 100
    counters.answered.update(alpha=1500, beta=1600, gamma=900)
    failures = {("alpha", "timeout"): 3, ("alpha", "server"): 7, ("beta", "server"): 1}
    counters.failures.update(failures)
    counters.events = [
        DemoEvent(2.0, "alpha", "down", duration=12),
        DemoEvent(2.1, "alpha", "circuit", "closed", "open", "failures", 5.3),
        DemoEvent(7.4, "alpha", "circuit", "open", "half_open", "timer"),
        DemoEvent(14.0, "alpha", "up"),
    ]
    scenario = Scenario()
    rows = [
        ProviderRow("alpha", "open", 4.2, 0.0, 0, 1500, 10, 0.08, 0.2),
        ProviderRow("beta", "closed", None, 0.67, 9, 1600, 1, 0.1, 0.25),
        ProviderRow("gamma", "closed", None, 0.33, 5, 900, 0, None, None),
    ]
    url = "http://127.0.0.1:9464/metrics"
    text = io.StringIO()
    view = PlainView(text)
    demo = SimpleNamespace(
        scenario=scenario,
        metrics=SimpleNamespace(url=url),
        counters=counters,
        elapsed=lambda: 9.0,
        router=None,
    )
    with mock.patch.object(plain_view, "provider_rows", return_value=rows):
        view.show(demo)  # type: ignore[arg-type] # all that it reads
        view.show(demo)  # type: ignore[arg-type] # all that it reads
    shown: dict[str, Any] = {
        "counters": counters,
        "provider_rows": rows,
        "metrics_url": url,
        "scrape": Scrape(samples=200, answered=4000, failed_attempts=11),
    }
    summary = Summary(scenario, 20.0, interrupted=False, **shown)
    out.add("(multirouter demo --plain)", f"{text.getvalue()}\n{summary.as_text()}")
    counters.record_error(ConnectionError("connection refused"))
    stopped = Summary(scenario, 9.0, interrupted=True, **shown)
    out.add("(multirouter demo, after Ctrl-C)", stopped.as_text())


def _report(out: Terminal, folder: Path) -> None:
    _record_history(folder / "history.db")
    with mock.patch("time.time", return_value=ENDED):
        out.run("report history.db")
        out.run("report history.db --router defualt")


ENDED = 1_790_000_000.0
"""Seconds since 1970 at which the recorded history ends."""


def _record_history(path: Path) -> None:
    """Records an hour with an outage of the first provider."""

    async def main() -> None:
        started = anyio.current_time()
        wall = ENDED - 3600.0
        history = History(path, wall=lambda: wall + anyio.current_time() - started)
        down = ScriptedProvider("a", latency=1.0, answer=_answer)
        up = ScriptedProvider("b", latency=2.0, answer=_answer)
        providers = [Provider("a", down, price=Price(1, 2)), Provider("b", up, price=Price(2, 4))]
        router = MultiProviderRouter(
            providers, history=history, registry=CollectorRegistry(), logger=SilentLogger()
        )
        async with router:
            for number in range(60):
                if 20 <= number < 30:
                    down.then(Fault("error", status=503))
                await router.call("q", route=["a", "b"])
                await anyio.sleep(30)

    VirtualClock().run(main)


def _answer(_: object) -> dict[str, object]:
    return {"usage": {"prompt_tokens": 1000, "completion_tokens": 500}}


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """An environment without API keys, with a wide terminal, in the folder."""
    hidden = {name for name in os.environ if name.endswith("_API_KEY")} | {"COLUMNS"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    before = Path.cwd()
    with mock.patch.dict(os.environ, kept | {"COLUMNS": "100"}, clear=True):
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def render(folder: Path) -> str:
    """Returns the output of all commands.

    Args:
        folder: an empty folder for their files.
    """
    out = Terminal(folder)
    out.write_file("mistakes.yaml", MISTAKES)
    out.write_file("fewer-mistakes.yaml", FEWER_MISTAKES)
    out.write_file("broken.yaml", "providers:\n  echo: {weight: 1\n")
    out.write_file("valid.yaml", VALID)
    out.write_file("open.yaml", "server: {host: 0.0.0.0}\nproviders: {echo: {}}\n")
    out.write_file("notes.txt", "not a configuration")
    out.write_file("damaged.json", '{"keys": [{"name": "alice"}]}')
    with _environment(folder):
        for heading, part in (
            ("Help", lambda: _help(out)),
            ("Wrong arguments", lambda: _wrong_arguments(out)),
            ("Configuration", lambda: _configuration(out)),
            ("Keys", lambda: _keys(out)),
            ("Start of the gateway", lambda: _start_messages(out, folder)),
            ("Demo", lambda: _demo(out)),
            ("Report", lambda: _report(out, folder)),
        ):
            out.lines.append(f"## {heading}\n")
            part()
    return "\n".join(out.lines) + "\n"
