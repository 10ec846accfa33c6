"""The commands, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from multirouter.cli import main
from multirouter.config import load
from multirouter.config.keyfile import read_keys
from tests.config.files import KEY, written


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from multirouter.config.provider_builder import KEY_VARIABLES

    for names in KEY_VARIABLES.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_check_tells_what_is_served(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Providers, names and keys; `--quiet` tells nothing."""
    path = written(tmp_path, "providers: {echo: {}, ollama: {}}")
    assert main(["check", str(path)]) == 0
    told = capsys.readouterr().out
    for word in (f"{path}: right", "whatever the client names", "ollama/*", "route default"):
        assert word in told
    assert "keys: none is asked for" in told
    assert main(["check", "--quiet", str(path)]) == 0
    assert capsys.readouterr().out == ""


def test_check_tells_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """On standard error, with exit status 2."""
    path = written(tmp_path, "providers: {echo: {wieght: 1}}")
    assert main(["check", str(path)]) == 2
    assert "did you mean 'weight'" in capsys.readouterr().err
    assert main(["check", "gone.yaml"]) == 2
    assert "gone.yaml" in capsys.readouterr().err


def test_check_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """It looks into the environment."""
    assert main(["check"]) == 0
    assert "the environment: right" in capsys.readouterr().out


def test_a_first_configuration_is_right(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the providers that the environment has, as references; written once."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    assert main(["config", "init"]) == 0
    path = tmp_path / "multirouter.yaml"
    text = path.read_text()
    assert KEY not in text
    assert "${GOOGLE_API_KEY}" in text
    assert list(load(path).document.providers) == ["openai", "gemini"]
    assert main(["config", "init"]) == 2
    assert "--force" in capsys.readouterr().err
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("GOOGLE_API_KEY")
    assert main(["config", "init", "--force"]) == 0
    assert list(load(path).document.providers) == ["echo"]
    assert main(["config", "init", "a.toml"]) == 2
    assert "a.yaml" in capsys.readouterr().err


def test_what_it_suggests_is_right_too(tmp_path: Path) -> None:
    """The commented lines, without their marks, are a configuration as well."""
    assert main(["config", "init"]) == 0
    path = tmp_path / "multirouter.yaml"
    text = path.read_text()
    head, routes = text.split("# routes:")
    routes, _ = routes.split("# Keys for clients")
    full = f"{head}routes:{routes.replace(chr(10) + '# ', chr(10))}"
    path.write_text(full)
    assert "code-*" in load(path).models
    assert "routes" in yaml.safe_load(full)


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON and nothing else."""
    assert main(["config", "schema"]) == 0
    assert "providers" in json.loads(capsys.readouterr().out)["properties"]


def test_the_life_of_a_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Made, listed, revoked; the key alone is on standard output, once."""
    assert main(["keys", "new", "anna", "--route", "a", "--requests-per-minute", "60",
                 "--tokens-per-minute", "1000", "--concurrent", "3", "--budget", "5",
                 "--per", "month"]) == 0  # fmt: skip
    made = capsys.readouterr()
    token = made.out.strip()
    assert "anna" in made.err
    assert token not in made.err
    record = read_keys(tmp_path / "keys.json").check(token)
    assert record is not None
    assert (record.routes, record.concurrent) == (("a",), 3)
    assert str(record.budget) == "budget of 5 USD a month"
    assert main(["keys", "new", "root", "--admin"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "routes a, 60 requests/min, 1000 tokens/min, 3 at a time, budget of 5 USD" in listed
    assert "admin" in listed
    assert token not in listed
    assert main(["keys", "revoke", "anna"]) == 0
    assert read_keys(tmp_path / "keys.json").check(token) is None
    assert main(["keys", "list"]) == 0
    assert "revoked 20" in capsys.readouterr().out


def test_keys_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Only `new` makes a file."""
    assert main(["keys", "list"]) == 2
    assert main(["keys", "revoke", "x"]) == 2
    assert "is not there" in capsys.readouterr().err
    assert main(["keys", "new", "x", "--concurrent", "0"]) == 2
    assert main(["keys", "new", "x"]) == 0
    assert main(["keys", "new", "x"]) == 2
