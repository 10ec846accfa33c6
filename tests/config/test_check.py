"""`multirouter check` finds all mistakes at once, with their lines, and agrees with `serve`."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from multirouter import ConfigurationError, cli
from multirouter.config import load
from multirouter.config.discovery import default_file
from multirouter.config.reading.line_numbers import line_numbers
from multirouter.gateway.process import ServeOptions
from tests.config.files import KEY, write_config

MIXED = f"""\
providers:
  one:
    kind: openai
    api_key: {KEY}
    wieght: 3
  two: {{kind: echo, weight: x}}
  three: 7
routes:
  a:
    tiers: [one, two, three, four]
  b: {{tiers: [], timeout: 5}}
  c: {{tiers: [two], timeout: soon}}
policies:
  panic: 7
unknown_route: nowhere
"""

BROKEN = [
    "providers: 7",
    "providers: {}",
    "providers: {a: {kind: openai}}",
    "providers: {a: {kind: nope}}",
    "providers: {a: {kind: echo}}\nroutes: {r: {tiers: [b]}}",
    "providers: {a: {kind: echo}}\nserver: {host: 0.0.0.0}",
    "providers: {a: {kind: echo}}\nkeys: {file: missing.json}",
    "providers: {a: {kind: echo}}\npolicies: {retry: {attempts: 0}}",
    "providers: {a: {kind: echo}}\nunknown_route: b",
    "providers: [",
    MIXED,
]


def error_of(action: Any) -> str:
    """The message of the configuration error that something raises."""
    with pytest.raises(ConfigurationError) as caught:
        action()
    return str(caught.value)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Wrong names, types, references and values are found together, each with its line."""
    file = write_config(tmp_path, MIXED)
    lines = error_of(lambda: load(file, {})).replace(str(file), "F").splitlines()
    assert lines[0].endswith("8 errors")
    found = {line.partition(": ")[0]: line for line in lines[1:]}
    assert "F:5: providers.one.wieght: unknown setting" in found["F:5"]
    assert "F:6: providers.two.weight: must be a number" in found["F:6"]
    assert "F:7: providers.three: must be a mapping" in found["F:7"]
    assert "F:10: routes.a.tiers: unknown provider 'four'" in found["F:10"]
    assert "F:11: routes.b.tiers" in found["F:11"]
    assert "F:12: routes.c.timeout: must be a number" in found["F:12"]
    assert "F:14: policies.panic: must be" in found["F:14"]
    assert "F:15: unknown_route: unknown route" in found["F:15"]


def test_consequences_are_not_reported(tmp_path: Path) -> None:
    """A route that names a provider with a mistake has none of its own."""
    text = "providers: {a: 7, b: {kind: echo, weight: x}}\nroutes: {r: {tiers: [a, b]}}"
    file = write_config(tmp_path, text)
    message = error_of(lambda: load(file, {}))
    assert "2 errors" in message
    assert "routes" not in message


MANY = """
providers:
  a:
    kind: openai
    api_key: secret
    weight: -1
    attempt_timeout: -3
    circuit: {failures: 0, window: -2, open_duration: 400, max_open_duration: -1}
    limits: {in_flight: 0, requests_per_minute: -1}
    price: {input: -1, output: -2}
    budget: {usd: 1, per: day}
routes:
  r: {tiers: [a, nope], timeout: -1, retry: {attempts: 0, budget: 3}, on: [99]}
policies: {retry: {attempts: 0, budget: 7}, timeout: -1}
"""


def test_all_mistakes_of_a_section_are_found_together(tmp_path: Path) -> None:
    """Also where a class reports its first one alone; what follows from another one is none."""
    file = write_config(tmp_path, MANY)
    lines = error_of(lambda: load(file, {})).splitlines()[1:]
    assert sorted(line.split(": ")[1] for line in lines) == [
        "policies.retry.attempts",
        "policies.retry.budget",
        "policies.timeout",
        "providers.a.attempt_timeout",
        "providers.a.circuit.failures",
        "providers.a.circuit.max_open_duration",
        "providers.a.circuit.window",
        "providers.a.limits.in_flight",
        "providers.a.limits.requests_per_minute",
        "providers.a.price.input",
        "providers.a.weight",
        "routes.r.on",
        "routes.r.retry.attempts",
        "routes.r.retry.budget",
        "routes.r.tiers",
        "routes.r.timeout",
    ]


@pytest.mark.parametrize("text", BROKEN)
def test_check_agrees_with_serve(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What one of them rejects the other rejects, with the same message."""
    file = write_config(tmp_path, text)

    def serve() -> None:
        options = ServeOptions(config=str(file))
        options.address(options.load_settings())

    assert cli.main(["check", str(file)]) == 2
    printed = capsys.readouterr().err
    assert error_of(serve).strip() in printed


def test_options_of_both(tmp_path: Path) -> None:
    """A host without keys is valid where anyone is allowed."""
    file = write_config(tmp_path, "providers: {a: {kind: echo}}\nserver: {host: 0.0.0.0}")
    assert cli.main(["check", str(file), "--quiet"]) == 2
    assert cli.main(["check", str(file), "--quiet", "--allow-anyone"]) == 0
    assert cli.main(["check", str(file), "--quiet", "--host", "127.0.0.1"]) == 0


def test_the_file_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a file, ./multirouter.yaml is read; without it, the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    assert default_file() is None
    assert cli.main(["check"]) == 0
    assert "the environment: valid" in capsys.readouterr().out
    write_config(tmp_path, "providers: {mine: {kind: echo}}")
    assert default_file() == "multirouter.yaml"
    assert cli.main(["check"]) == 0
    assert "mine/echo" in capsys.readouterr().out


def test_lines_of_toml(tmp_path: Path) -> None:
    """Tables and keys have their lines; errors in them, too."""
    text = '# c\n[providers.a]\nkind = "echo"\nweight = "x"\n[routes."r.1"]\ntiers = ["b"]\n'
    file = write_config(tmp_path, text, "c.toml")
    message = error_of(lambda: load(file, {}))
    assert "c.toml:4: providers.a.weight" in message
    assert "c.toml:6: routes" in message
    write_config(tmp_path, "[a]\nb.c = 1\n[x\n", "c.toml")
    assert line_numbers(file)["a", "b", "c"] == 2


def test_aliases_that_multiply(tmp_path: Path) -> None:
    """Nine lines may stand for billions of values: that is found without reading them all."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in itertools.pairwise("abcdefghi"):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    file = write_config(tmp_path, "\n".join(lines))
    assert "must have at most 1000000 values" in error_of(lambda: load(file, {}))
    file = write_config(tmp_path, "a: &a [*a]")
    assert "an alias that contains itself" in error_of(lambda: load(file, {}))


def test_lines_of_other_files(tmp_path: Path) -> None:
    """A file that is gone or invalid has none; an alias that contains itself ends."""
    assert line_numbers(tmp_path / "none.yaml") == {}
    assert line_numbers(write_config(tmp_path, "a: [")) == {}
    lines = line_numbers(write_config(tmp_path, "a: &x\n  - 1\n  - *x\n? [b]\n: 2\n"))
    assert lines == {("a",): 1, ("a", 0): 2, ("a", 1): 1}
