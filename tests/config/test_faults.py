"""What a configuration is refused for, in which words, and what those never show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.files import KEY, loaded, refused

ONE = "providers: {echo: {}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "providers: is needed"),
        ("", "providers: is needed"),
        ("providers: {}", "providers: must not be empty"),
        ("providers: 3", "providers: must be a section of settings, not 3"),
        ("- 1", "must be a section of settings, not a list"),
        ("polices: {}\n" + ONE, "polices: unknown setting 'polices'; did you mean 'policies'?"),
        ("providers: {echo: {wieght: 1}}", ("providers.echo.wieght: unknown setting 'wieght'; "
         "did you mean 'weight'?")),
        ("providers: {echo: {weight: x}}", "providers.echo.weight: must be a number, not 'x'"),
        ("providers: {echo: {weight: true}}", "providers.echo.weight: must be a number, not True"),
        ("providers: {echo: {weight: -1}}", "providers.echo.weight: must be at least 0, not -1"),
        ("providers: {a: {kind: antropic}}", "providers.a.kind: must be one of 'openai', "),
        ("providers: {a: {}}", "providers.a.kind: is needed, because 'a' is none itself"),
        ("providers: {openai: {}}", ("providers.openai.api_key: is needed: write it here, or set "
         "OPENAI_API_KEY")),
        ("providers: {gemini: {}}", "set GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("providers: {ollama: {base_url: 'ftp://x'}}", ("providers.ollama.base_url: must be an "
         "http:// or https:// URL")),
        ("providers: {echo: {version: v1}}", "providers.echo.version: is a setting of kind gemini"),
        ("providers: {echo: {budget: {usd: 3}}}", "providers.echo.budget: needs price="),
        ("providers: {echo: {circuit: {windw: 1}}}", ("providers.echo.circuit.windw: unknown "
         "setting 'windw'; did you mean 'window'?")),
        ("providers: {echo: {circuit: {failures: 0}}}", ("providers.echo.circuit.failures: must be "
         "at least 1, not 0")),
        ("server: {port: 70000}\n" + ONE, "server.port: must be at most 65535, not 70000"),
        ("server: {cors_origins: x}\n" + ONE, "server.cors_origins: must be a list, not 'x'"),
        ("routes: {a: {tiers: [ehco]}}\n" + ONE, ("routes.a.tiers: unknown provider 'ehco'; did "
         "you mean 'echo'?")),
        ("routes: {a: {tiers: []}}\n" + ONE, "routes.a.tiers: must not be empty"),
        ("routes: {a: {tiers: ['route:b']}}\n" + ONE, "routes.a.tiers: "),
        (
            "routes: {a: {tiers: [echo], hedge: {after: 1, percentile: 0.9}}}\n" + ONE,
            "routes.a.hedge: takes only one",
        ),
        ("routes: {a: {tiers: [echo], on: [429, sever]}}\n" + ONE, "routes.a.on[1]"),
        ("prices: {gpt-4.1: {input: x, output: 1}}\n" + ONE, ('prices["gpt-4.1"].input: must be a '
         "number, not 'x'")),
        ("alarms: {provider_failing: {over: 3}}\n" + ONE, ("alarms.provider_failing.over: must be "
         "at most 1, not 3")),
        ("shadow: {providers: [nobody]}\n" + ONE, "unknown provider 'nobody'"),
        ("history: {file: x.db, keep: -1}\n" + ONE, "history.keep: must be greater than 0"),
        ("keys: {file: gone.json}\n" + ONE, "is not there: make it by `multirouter keys new NAME`"),
        ("history: {file: gone/x.db}\n" + ONE, "history"),
        ("a: \0", "is no YAML: "),
        ("a: {b: 1\n", "is no YAML: line 2"),
        ("providers: {echo: {}, echo: {}}", "is no YAML: line 1, column 23: 'echo' is there twice"),
        ("1: 2\n" + ONE, "the name 1 must be a text: put it in quotes"),
        ("server: {host: '${HOST}'}\n" + ONE, ("server.host: the environment variable HOST is not "
         "set")),
        ("server: {host: '${9}'}\n" + ONE, "server.host: has a ${ that is no ${NAME}"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_path_and_expectation(text: str, said: str, tmp_path: Path) -> None:
    """Each mistake names where it stands and what was expected there."""
    assert said in refused(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """One line each, after a line that counts them; a mistake does not hide another."""
    text = "server: {port: x}\nproviders: {a: {weight: y, kind: z}}\nextra: 1"
    first, *lines = refused(tmp_path, text).splitlines()
    assert first == "4 things are wrong"
    where = {line.partition(": ")[0] for line in lines}
    assert where == {"server.port", "providers.a.weight", "providers.a.kind", "extra"}


def test_a_missing_variable_is_told_once(tmp_path: Path) -> None:
    """What follows from a reference that leads nowhere is not told as a second mistake."""
    assert refused(tmp_path, "server: {port: '${PORT}'}\n" + ONE) == (
        "server.port: the environment variable PORT is not set"
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
def test_no_secret_is_shown(text: str, tmp_path: Path) -> None:
    """Neither a key that stands in the file nor a value of the environment is in a message."""
    said = refused(tmp_path, text, SECRET="hunter2-hunter2")
    assert KEY not in said
    assert "hunter2" not in said


def test_no_secret_in_what_can_be_printed(tmp_path: Path) -> None:
    """Neither settings nor their document show a key."""
    settings = loaded(tmp_path, f"providers: {{openai: {{api_key: {KEY}, model: m}}}}")
    assert KEY not in f"{settings!r} {settings.document!r}"


def test_what_is_no_configuration_file(tmp_path: Path) -> None:
    """Other endings, broken TOML and bytes that are no text are refused by name."""
    from multirouter import ConfigurationError
    from multirouter.config import load

    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "a.toml").write_text("a = ")
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xff")
    for name, said in (("a.json", ".yaml, .yml or .toml"), ("a.toml", "is no TOML"),
                       ("a.yaml", "is no UTF-8")):  # fmt: skip
        with pytest.raises(ConfigurationError, match=said):
            load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "gone.yaml")
