"""The commands `check`, `config` and `keys`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from multirouter.cli import main
from multirouter.config import load
from multirouter.config.client_keys.key_file import load_keys
from tests.config.files import KEY, write_config


@pytest.fixture(autouse=True)
def no_keys_in_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from multirouter.config.provider_builder import KEY_VARIABLES

    for names in KEY_VARIABLES.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_check_prints_what_is_served(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`check` prints providers, model names and keys; with `--quiet` nothing."""
    path = write_config(tmp_path, "providers: {echo: {}, ollama: {}}")
    assert main(["check", str(path)]) == 0
    output = capsys.readouterr().out
    for text in (f"{path}: valid", "any model", "ollama/*", "route default"):
        assert text in output
    assert "keys: not required" in output
    assert main(["check", "--quiet", str(path)]) == 0
    assert capsys.readouterr().out == ""


def test_check_prints_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Errors go to standard error, with exit status 2."""
    path = write_config(tmp_path, "providers: {echo: {wieght: 1}}")
    assert main(["check", str(path)]) == 2
    assert "did you mean 'weight'" in capsys.readouterr().err
    assert main(["check", "gone.yaml"]) == 2
    assert "gone.yaml" in capsys.readouterr().err


def test_check_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file the environment is used."""
    assert main(["check"]) == 0
    assert "the environment: valid" in capsys.readouterr().out


def test_config_init_writes_a_valid_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the providers of the environment with references; an existing file is kept."""
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


def test_config_init_comments_are_valid(tmp_path: Path) -> None:
    """The commented settings, uncommented, are a valid configuration too."""
    assert main(["config", "init"]) == 0
    path = tmp_path / "multirouter.yaml"
    text = path.read_text()
    head, routes = text.split("# routes:")
    routes, _ = routes.split("# API keys of clients")
    full = f"{head}routes:{routes.replace(chr(10) + '# ', chr(10))}"
    path.write_text(full)
    assert "code-*" in load(path).models
    assert "routes" in yaml.safe_load(full)


def test_config_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`config schema` prints the schema as JSON and nothing else."""
    assert main(["config", "schema"]) == 0
    assert "providers" in json.loads(capsys.readouterr().out)["properties"]


def test_keys_new_list_revoke(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A key is created, listed and revoked; only `new` prints it, alone on standard output."""
    assert main(["keys", "new", "anna", "--route", "a", "--requests-per-minute", "60",
                 "--tokens-per-minute", "1000", "--concurrent", "3", "--budget", "5",
                 "--per", "month"]) == 0  # fmt: skip
    created = capsys.readouterr()
    token = created.out.strip()
    assert "anna" in created.err
    assert token not in created.err
    record = load_keys(tmp_path / "keys.json").check(token)
    assert record is not None
    assert (record.routes, record.concurrent) == (("a",), 3)
    assert str(record.budget) == "budget of 5 USD per month"
    assert main(["keys", "new", "root", "--admin"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "routes a, 60 requests/min, 1000 tokens/min, 3 concurrent, budget of 5 USD" in listed
    assert "admin" in listed
    assert token not in listed
    assert main(["keys", "revoke", "anna"]) == 0
    assert load_keys(tmp_path / "keys.json").check(token) is None
    assert main(["keys", "list"]) == 0
    assert "revoked 20" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--concurrent", "--requests-per-minute", "--budget", "--route"])
def test_a_mistake_names_the_option(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong has the name that was typed, and no file is created."""
    value = "" if option == "--route" else "0"
    assert main(["keys", "new", "x", option, value]) == 2
    assert f"error: {option}: must be " in capsys.readouterr().err
    assert main(["keys", "new", ""]) == 2
    assert "error: name: must be " in capsys.readouterr().err
    assert not Path("keys.json").exists()


def test_keys_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Only `new` creates the key file."""
    assert main(["keys", "list"]) == 2
    assert main(["keys", "revoke", "x"]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["keys", "new", "x"]) == 0
    assert main(["keys", "new", "x"]) == 2
