"""Error messages of invalid configurations: their text, and that they show no secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.files import KEY, config_error, load_config

ONE = "providers: {echo: {}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "providers: is required"),
        ("", "providers: is required"),
        ("providers: {}", "providers: must not be empty"),
        ("providers: 3", "providers: must be a mapping, got 3"),
        ("- 1", "must be a mapping, got a list"),
        ("polices: {}\n" + ONE, "polices: unknown setting 'polices'; did you mean 'policies'?"),
        ("providers: {echo: {wieght: 1}}", ("providers.echo.wieght: unknown setting 'wieght'; "
         "did you mean 'weight'?")),
        ("providers: {echo: {weight: x}}", "providers.echo.weight: must be a number, got 'x'"),
        ("providers: {echo: {weight: true}}", "providers.echo.weight: must be a number, got True"),
        ("providers: {echo: {weight: -1}}", "providers.echo.weight: must be a finite number >= 0"),
        ("providers: {a: {kind: antropic}}", "providers.a.kind: must be one of 'openai', "),
        ("providers: {a: {}}", "providers.a.kind: is required, since 'a' is not one of "),
        ("providers: {openai: {}}", ("providers.openai.api_key: is required: set it here, or set "
         "OPENAI_API_KEY")),
        ("providers: {gemini: {}}", "set GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("providers: {ollama: {base_url: 'ftp://x'}}", ("providers.ollama.base_url: must be an "
         "http:// or https:// URL")),
        ("providers: {echo: {version: v1}}", ("providers.echo.version: is only valid for kind "
         "gemini, got kind echo")),
        ("providers: {echo: {budget: {usd: 3}}}", "providers.echo.budget: requires price="),
        ("providers: {echo: {circuit: {windw: 1}}}", ("providers.echo.circuit.windw: unknown "
         "setting 'windw'; did you mean 'window'?")),
        ("providers: {echo: {circuit: {failures: 0}}}", ("providers.echo.circuit.failures: must be "
         "an integer >= 1, got 0")),
        ("server: {port: 70000}\n" + ONE, "server.port: must be <= 65535, got 70000"),
        ("server: {cors_origins: x}\n" + ONE, "server.cors_origins: must be a list, got 'x'"),
        ("routes: {a: {tiers: [ehco]}}\n" + ONE, ("routes.a.tiers: unknown provider 'ehco'; did "
         "you mean 'echo'?")),
        ("policies: {timeout: 0}\n" + ONE, ("policies.timeout: must be a finite number of seconds "
         ">= 1e-6 and <= 1e9, or inf, got 0.0")),
        ("routes: {a: {tiers: []}}\n" + ONE, "routes.a.tiers: must not be empty"),
        ("routes: {a: {tiers: ['route:b']}}\n" + ONE, "routes.a.tiers: "),
        (
            "routes: {a: {tiers: [echo], hedge: {after: 1, percentile: 0.9}}}\n" + ONE,
            "routes.a.hedge: must set only one",
        ),
        ("routes: {a: {tiers: [echo], on: [429, sever]}}\n" + ONE, ("routes.a.on[1]: must be an "
         "HTTP status or one of success, rate_limit, ")),
        ("routes: {a: {tiers: [echo], on: [true]}}\n" + ONE, "cancelled, unknown, got True"),
        ("routes: {a: {tiers: [echo], on: [99]}}\n" + ONE, "routes.a.on: HTTP statuses must be"),
        ("prices: {gpt-4.1: {input: x, output: 1}}\n" + ONE, ('prices["gpt-4.1"].input: must be a '
         "number, got 'x'")),
        ("alarms: {provider_failing: {over: 3}}\n" + ONE, ("alarms.provider_failing.over: must be "
         "a finite number >= 0 and <= 1, got 3")),
        ("shadow: {providers: [ehco]}\n" + ONE, "shadow.providers: unknown provider 'ehco'"),
        ("history: {file: x.db, retention: -1}\n" + ONE, "history.retention: must be > 0, got -1"),
        ("keys: {file: gone.json}\n" + ONE, ("does not exist; create it with `multirouter keys new "
         "NAME`")),
        ("history: {file: gone/x.db}\n" + ONE, "history: the directory "),
        ("a: \0", "invalid YAML: "),
        ("a: {b: 1\n", "invalid YAML: line 2"),
        ("providers: {echo: {}, echo: {}}", ("invalid YAML: line 1, column 23: duplicate key "
         "'echo'")),
        ("1: 2\n" + ONE, "key 1 must be a string: quote it"),
        ("server: {host: '${HOST}'}\n" + ONE, "server.host: environment variable HOST is not set"),
        ("server: {host: '${9}'}\n" + ONE, "server.host: invalid reference: must be ${NAME}"),
    ],
)  # fmt: skip
def test_error_has_path_and_expectation(text: str, message: str, tmp_path: Path) -> None:
    """Each error has the path of the setting and what is allowed there."""
    assert message in config_error(tmp_path, text)


def test_all_errors_are_reported(tmp_path: Path) -> None:
    """All errors are reported, one per line, after a line with their number."""
    text = "server: {port: x}\nproviders: {a: {weight: y, kind: z}}\nextra: 1"
    first, *lines = config_error(tmp_path, text).splitlines()
    assert first == "4 errors"
    paths = {line.partition(": ")[0] for line in lines}
    assert paths == {"server.port", "providers.a.weight", "providers.a.kind", "extra"}


def test_missing_variable_is_one_error(tmp_path: Path) -> None:
    """A reference to an unset variable is not reported as an invalid value too."""
    assert config_error(tmp_path, "server: {port: '${PORT}'}\n" + ONE) == (
        "server.port: environment variable PORT is not set"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"providers: {{openai: {{api_key: {KEY}, weight: x}}}}",
        f"providers: {{openai: {{api_kee: {KEY}}}}}",
        f"providers: {{openai: {{api_key: [{KEY}]}}}}",
        f"providers: {{openai: {{api_key: '{KEY} {KEY}'}}}}",
        f"providers: {{openai: {{api_key: a, headers: {{X: [{KEY}]}}}}}}",
        "providers: {echo: {weight: '${SECRET}'}}",
        "providers: {echo: {kind: '${SECRET}'}}",
        "providers: {echo: {kind: 'x-${SECRET}'}}",
        "providers: {openai: {api_key: 'a ${SECRET}'}}",
        "providers: {echo: {tags: [' ${SECRET}']}}",
        "providers: {echo: {}}\nroutes: {a: {tiers: ['${SECRET}']}}",
        f"providers: {{echo: {{}}}}\nalarms: {{webhooks: [{{url: [{KEY}]}}]}}",
    ],
)
def test_messages_show_no_secrets(text: str, tmp_path: Path) -> None:
    """Messages show neither keys of the file nor values of the environment."""
    message = config_error(tmp_path, text, SECRET="hunter2-hunter2")
    assert KEY not in message
    assert "hunter2" not in message


def test_repr_shows_no_secrets(tmp_path: Path) -> None:
    """The repr of settings and document shows no key."""
    settings = load_config(tmp_path, f"providers: {{openai: {{api_key: {KEY}, model: m}}}}")
    assert KEY not in f"{settings!r} {settings.document!r}"


def test_invalid_files(tmp_path: Path) -> None:
    """Other file extensions, invalid TOML and invalid UTF-8 are errors."""
    from multirouter import ConfigurationError
    from multirouter.config import load

    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "a.toml").write_text("a = ")
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xff")
    for name, message in (("a.json", ".yaml, .yml or .toml"), ("a.toml", "invalid TOML"),
                       ("a.yaml", "invalid UTF-8")):  # fmt: skip
        with pytest.raises(ConfigurationError, match=message):
            load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "gone.yaml")
