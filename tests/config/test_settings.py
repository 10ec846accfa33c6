"""From a file to a router: what is served, by which names, and what a reload changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, MultiProviderRouter, StreamPolicy
from multirouter.config import Settings, discover, load
from multirouter.config.provider_builder import provider_of
from multirouter.providers import chat, text_of
from tests.config.files import KEY, loaded, written

HOUSE = """
server: {port: "${PORT:-9000}", host: "$${x}"}
providers:
  openai: {model: gpt-5, models: ["gpt-*"], api_key: "${KEY}", weight: 3, limits: {in_flight: 9}}
  claude: {kind: anthropic, model: claude-opus-5, price: {input: 5, output: 25}, drops: [top_p]}
  local: {kind: ollama, tags: [cheap]}
  echo: {quality: 1, limits: {tokens_per_minute: 1000}}
routes:
  coding:
    tiers: [openai, [claude, "tag:cheap"], echo]
    strategy: fastest
    models: ["code-*", helper]
    on: [429, server]
    retries_per_provider: 1
    weights: {claude: 5}
    stream: {on_interrupt: continue, idle: .inf}
    rules: {not_found: {retry: never, failover: never, circuit: neutral, side_effects_possible: false}}
policies: {timeout: 60, retry: {attempts: 2}, circuit: {failures: 3}, latency: {adaptive: false}}
limits: {in_flight: 100}
budget: [{usd: 5, per: day}, {usd: 50, per: month}]
prices: {gpt-5: {input: 1.25, output: 10}}
shadow: {providers: [echo], share: 0.5}
alarms:
  webhooks: [{url: "https://example.com/hook"}]
  provider_failing: {providers: [openai], over: 0.1}
  all_open: {}
"""
ENVIRON = {"KEY": KEY, "ANTHROPIC_API_KEY": KEY}

TWO = "providers: {a: {kind: echo, model: one}, b: {kind: echo}}"


@pytest.fixture(name="house")
def house_of_four(tmp_path: Path) -> Settings:
    return loaded(tmp_path, HOUSE, **ENVIRON)


def built(settings: Settings) -> MultiProviderRouter:
    """A router with a registry of its own."""
    return settings.build(registry=CollectorRegistry())


def test_the_names_of_models(house: Settings) -> None:
    """Exact names come before wildcards, and of those the one with more letters first."""
    models = list(house.models.items())
    exact = [(name, route) for name, route in models if "*" not in name]
    assert exact == [
        ("coding", "coding"),
        ("helper", "coding"),
        ("openai/gpt-5", "openai/gpt-5"),
        ("claude/claude-opus-5", "claude/claude-opus-5"),
        ("echo/echo", "echo/echo"),
        ("gpt-5", "gpt-5"),
        ("claude-opus-5", "claude-opus-5"),
        ("echo", "echo"),
        ("auto", "default"),
        ("auto-cheap", "auto-cheap"),
        ("auto-fast", "auto-fast"),
        ("auto-best", "auto-best"),
    ]
    wild = [name for name, _ in models[len(exact) :]]
    assert wild == ["openai/gpt-*", "local/*", "code-*", "gpt-*"]


def test_every_name_has_a_route(house: Settings) -> None:
    """The router knows whatever the names lead to."""
    known = built(house).snapshot()["routes"]
    assert set(house.models.values()) <= set(known)


def test_auto_asks_those_who_need_no_name(house: Settings) -> None:
    """A provider that takes whatever model the client names is not asked for `auto`."""
    tiers = built(house).snapshot()["routes"]["default"]["tiers"]
    assert [[seat["provider"] for seat in tier] for tier in tiers] == [["openai", "claude", "echo"]]


def test_the_settings_reach_the_router(house: Settings) -> None:
    """Weights, limits, prices, policies and references stand where they were written."""
    router = built(house)
    openai, claude, local, echo = router.providers
    assert (openai.weight, openai.limits.in_flight) == (3, 9)
    assert (openai.price.input, claude.price.output, local.price) == (1.25, 25, None)
    assert echo.limits.size(chat("a word or two")) > 0
    assert (router._defaults.timeout, router._defaults.retry.attempts) == (60, 2)
    assert (router._defaults.circuit.failures, router._defaults.latency.adaptive) == (3, False)
    assert [budget.per for budget in router._defaults.budget] == ["day", "month"]
    assert router._defaults.shadow.share == 0.5
    assert router._limits.in_flight == 100
    assert (house.server.port, house.server.host) == (9000, "${x}")
    route = house._routes()[0]
    assert route.stream == StreamPolicy(on_interrupt="continue", idle=float("inf"))
    assert (route.retries_per_provider, route.weights) == (1, {"claude": 5})


def test_toml_says_the_same(tmp_path: Path) -> None:
    """A TOML file and a YAML file with the same settings are the same configuration."""
    text = '[providers.echo]\nweight = "${W}"\n[routes.r]\ntiers = [["echo"]]\n'
    toml = load(written(tmp_path, text, "a.toml"), {"W": "2"})
    yaml = loaded(tmp_path, "providers: {echo: {weight: 2}}\nroutes: {r: {tiers: [[echo]]}}")
    assert toml.document == yaml.document
    assert toml.models == yaml.models


def test_a_broken_stream_goes_on_elsewhere_unless_told_otherwise(tmp_path: Path) -> None:
    """So it is without a word, beside other words, and on a route; `raise` can be asked for."""
    said = ("", "{idle: 5}", "{on_interrupt: raise}")
    for words, expected in zip(said, ("continue", "continue", "raise"), strict=True):
        policies = f"policies: {{stream: {words}}}" if words else ""
        settings = loaded(tmp_path, f"providers: {{echo: {{}}}}\n{policies}")
        assert built(settings)._defaults.stream.on_interrupt == expected
    route = "routes: {r: {tiers: [echo], stream: {idle: 5}}}"
    settings = loaded(tmp_path, f"providers: {{echo: {{}}}}\n{route}")
    assert settings._routes()[0].stream.on_interrupt == "continue"


def test_yaml_may_repeat_itself_by_anchors(tmp_path: Path) -> None:
    """A section can be written once and merged into others."""
    text = """
    providers:
      a: &base {kind: echo, weight: 3}
      b: {<<: *base, weight: 2}
    """
    providers = loaded(tmp_path, text).document.providers
    assert (providers["a"].weight, providers["b"].weight, providers["b"].kind) == (3, 2, "echo")


def test_a_route_named_auto_wins(tmp_path: Path) -> None:
    """Whatever a file names is not replaced by what would be there without it."""
    text = "routes: {auto: {tiers: [a]}, auto-fast: {tiers: [b]}, default: {tiers: [b]}}"
    settings = loaded(tmp_path, f"{TWO}\n{text}")
    assert settings.models["auto"] == "auto"
    assert settings.models["auto-fast"] == "auto-fast"
    tiers = built(settings).snapshot()["routes"]["default"]["tiers"]
    assert [[seat["provider"] for seat in tier] for tier in tiers] == [["b"]]


def test_an_alarm_rule_belongs_to_one_router(house: Settings) -> None:
    """The same settings make as many routers as are wanted."""
    assert built(house).name == built(house).name == "default"


def test_history_is_kept_beside_the_configuration(tmp_path: Path) -> None:
    """A relative path begins in the configuration's folder; checking opens no file."""
    settings = loaded(tmp_path, "providers: {echo: {}}\nhistory: {file: h.db, keep: 60}")
    assert not (tmp_path / "h.db").exists()
    router = built(settings)
    assert router._engine._history.path == tmp_path / "h.db"


# -- the environment -----------------------------------------------------------------------------


def test_without_any_key_there_is_the_echo() -> None:
    """So that a fresh machine has something to answer."""
    settings = discover({})
    assert list(settings.document.providers) == ["echo"]
    assert settings.keys is None
    assert settings.source == "the environment"


def test_each_key_makes_a_provider() -> None:
    """By its well-known name, with the models of that service; another variable names one."""
    settings = discover(
        {"OPENAI_API_KEY": KEY, "GOOGLE_API_KEY": KEY, "MISTRAL_API_KEY": "", "OPENAI_MODEL": "m"}
    )
    providers = settings.document.providers
    assert list(providers) == ["openai", "gemini"]
    assert providers["openai"].model == "m"
    assert settings.models["gemini-*"] == "gemini-*"
    assert [p.name for p in built(settings).providers] == ["openai", "gemini"]


def test_every_discovered_service_can_be_built() -> None:
    """The table of services holds nothing that the adapters refuse."""
    from multirouter.config.discovery import SERVICES
    from multirouter.config.provider_builder import KEY_VARIABLES

    every = {variable: KEY for names in KEY_VARIABLES.values() for variable in names}
    assert list(discover(every).document.providers) == list(SERVICES)


def test_a_value_of_the_environment_is_no_reference() -> None:
    """A model's name that looks like a reference is taken as it is."""
    settings = discover({"OPENAI_API_KEY": KEY, "OPENAI_MODEL": "gpt"})
    assert settings.document.providers["openai"].model == "gpt"


# -- which model is asked for --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "asked", "wanted"),
    [
        ("openai", "gpt-5-mini", "gpt-5-mini"),
        ("openai", "openai/gpt-5-mini", "gpt-5-mini"),
        ("openai", "auto", "gpt-5"),
        ("openai", None, "gpt-5"),
        ("claude", "gpt-5", "claude-opus-5"),
        ("local", "local/llama", "llama"),
        ("local", "llama", "llama"),
        ("local", None, None),
    ],
)
def test_the_model_that_is_asked_for(
    house: Settings, provider: str, asked: str | None, wanted: str | None
) -> None:
    """A provider's own models by the client's name, anything else as its default model."""
    behind = {p.name: provider_of(p) for p in built(house).providers}
    assert behind[provider].model_for(asked) == wanted


# -- reload --------------------------------------------------------------------------------------


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_reload_while_calls_are_made(tmp_path: Path) -> None:
    """Who stayed the same stays himself, others come and go; the new names answer at once."""
    before = loaded(tmp_path, TWO)
    async with built(before) as router:
        old = {p.name: p for p in router.providers}
        router.hold("b", "open")
        after = loaded(
            tmp_path,
            "providers: {a: {kind: echo, model: one}, b: {kind: echo, weight: 2}, c: {kind: echo}}"
            "\nroutes: {new: {tiers: [c]}}\npolicies: {timeout: 7}",
        )
        after.apply(router)
        new = {p.name: p for p in router.providers}
        assert new["a"] is old["a"]
        assert new["b"] is not old["b"]
        assert router.snapshot()["providers"]["b"]["hold"] == "open"
        assert router._defaults.timeout == 7
        assert text_of(await router.call(chat("hi"), route=after.models["new"])) == "hi"
        before.apply(router)
        assert [p.name for p in router.providers] == ["a", "b"]
        assert router._defaults.timeout == 120


@pytest.mark.backends("asyncio")
async def test_connections_outlive_a_reload(tmp_path: Path) -> None:
    """New providers share the connections of the old ones, which close with the router."""
    settings = loaded(tmp_path, "providers: {ollama: {model: a}}")
    async with built(settings) as router:
        (before,) = map(provider_of, router.providers)
        session = await before.http.session()
        loaded(tmp_path, "providers: {ollama: {model: b}, vllm: {}}").apply(router)
        assert {provider_of(p).http for p in router.providers} == {before.http}
        assert not session.closed
    assert session.closed


def test_a_router_that_came_from_elsewhere_can_be_brought_to_settings(tmp_path: Path) -> None:
    """Providers that nobody configured are replaced like any others."""
    router = MultiProviderRouter(registry=CollectorRegistry())
    loaded(tmp_path, TWO).apply(router)
    assert [p.name for p in router.providers] == ["a", "b"]


def test_settings_without_the_library_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    import sys

    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'multirouter\[gateway\]'"):
        discover({})


def test_they_show_what_they_are(house: Settings) -> None:
    """Source and providers, in a line."""
    assert repr(house).endswith("multirouter.yaml: openai, claude, local, echo>")
