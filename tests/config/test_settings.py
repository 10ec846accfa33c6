"""Settings: model names, the router that they build, discovery, and reloads."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, MultiProviderRouter, Price, StreamPolicy
from multirouter.config import Settings, discover, load
from multirouter.config.building.configured_provider import configured_provider
from multirouter.config.settings import make_route
from multirouter.providers import chat, text_of
from tests.config.files import KEY, load_config, write_config

FOUR_PROVIDERS = """
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
    rules:
      not_found: {retry: never, failover: never, circuit: neutral, side_effects_possible: false}
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


@pytest.fixture(name="four_providers")
def four_providers_fixture(tmp_path: Path) -> Settings:
    return load_config(tmp_path, FOUR_PROVIDERS, **ENVIRON)


def build_router(settings: Settings) -> MultiProviderRouter:
    """A router with its own metrics registry."""
    return settings.build(registry=CollectorRegistry())


def test_model_names_are_in_order_of_precedence(four_providers: Settings) -> None:
    """Exact names come before wildcards, longer wildcards before shorter ones."""
    models = list(four_providers.models.items())
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


def test_every_model_name_has_a_route(four_providers: Settings) -> None:
    """The router has the route of every model name."""
    known = build_router(four_providers).snapshot()["routes"]
    assert set(four_providers.models.values()) <= set(known)


def test_auto_uses_providers_with_a_default_model(four_providers: Settings) -> None:
    """A provider without a default model does not serve `auto`."""
    tiers = build_router(four_providers).snapshot()["routes"]["default"]["tiers"]
    assert [[seat["provider"] for seat in tier] for tier in tiers] == [["openai", "claude", "echo"]]


def test_settings_are_applied_to_the_router(four_providers: Settings) -> None:
    """Weights, limits, prices, policies and resolved references are those of the router."""
    router = build_router(four_providers)
    openai, claude, local, echo = router.providers
    assert (openai.weight, openai.limits.in_flight) == (3, 9)
    assert openai.price == {"gpt-5": Price(1.25, 10)}
    assert (claude.price.output, local.price) == (25, openai.price)
    assert echo.limits.size(chat("a word or two")) > 0
    assert (router._defaults.timeout, router._defaults.retry.attempts) == (60, 2)
    assert (router._defaults.circuit.failures, router._defaults.latency.adaptive) == (3, False)
    assert [budget.per for budget in router._defaults.budget] == ["day", "month"]
    assert router._defaults.shadow.share == 0.5
    assert router._limits.in_flight == 100
    assert (four_providers.server.port, four_providers.server.host) == (9000, "${x}")
    route = four_providers._routes()[0]
    assert route.stream == StreamPolicy(on_interrupt="continue", idle=float("inf"), total=3600)
    assert (route.retries_per_provider, route.weights) == (1, {"claude": 5})


def test_toml_and_yaml_are_equivalent(tmp_path: Path) -> None:
    """A TOML file and a YAML file with the same settings give equal documents."""
    text = '[providers.echo]\nweight = "${W}"\n[routes.r]\ntiers = [["echo"]]\n'
    toml = load(write_config(tmp_path, text, "a.toml"), {"W": "2"})
    yaml = load_config(tmp_path, "providers: {echo: {weight: 2}}\nroutes: {r: {tiers: [[echo]]}}")
    assert toml.document == yaml.document
    assert toml.models == yaml.models


def test_on_interrupt_defaults_to_continue(tmp_path: Path) -> None:
    """The default holds without a stream section, beside other settings, and on routes."""
    message = ("", "{idle: 5}", "{on_interrupt: raise}")
    for words, expected in zip(message, ("continue", "continue", "raise"), strict=True):
        policies = f"policies: {{stream: {words}}}" if words else ""
        settings = load_config(tmp_path, f"providers: {{echo: {{}}}}\n{policies}")
        assert build_router(settings)._defaults.stream.on_interrupt == expected
    route = "routes: {r: {tiers: [echo], stream: {idle: 5}}}"
    settings = load_config(tmp_path, f"providers: {{echo: {{}}}}\n{route}")
    assert settings._routes()[0].stream.on_interrupt == "continue"


def test_yaml_anchors_and_merge_keys(tmp_path: Path) -> None:
    """A section can be merged into others by anchors."""
    text = """
    providers:
      a: &base {kind: echo, weight: 3}
      b: {<<: *base, weight: 2}
    """
    providers = load_config(tmp_path, text).document.providers
    assert (providers["a"].weight, providers["b"].weight, providers["b"].kind) == (3, 2, "echo")


def test_configured_routes_replace_generated_ones(tmp_path: Path) -> None:
    """Routes named auto, auto-fast or default replace the generated ones."""
    text = "routes: {auto: {tiers: [a]}, auto-fast: {tiers: [b]}, default: {tiers: [b]}}"
    settings = load_config(tmp_path, f"{TWO}\n{text}")
    assert settings.models["auto"] == "auto"
    assert settings.models["auto-fast"] == "auto-fast"
    tiers = build_router(settings).snapshot()["routes"]["default"]["tiers"]
    assert [[seat["provider"] for seat in tier] for tier in tiers] == [["b"]]


def test_settings_build_several_routers(four_providers: Settings) -> None:
    """Each router gets its own alarm rules, so the same settings can build several."""
    assert build_router(four_providers).name == build_router(four_providers).name == "default"


def test_history_path_is_relative_to_the_configuration(tmp_path: Path) -> None:
    """A relative path begins in the configuration's folder; validation opens no file."""
    settings = load_config(tmp_path, "providers: {echo: {}}\nhistory: {file: h.db, retention: 60}")
    assert not (tmp_path / "h.db").exists()
    router = build_router(settings)
    assert router._engine._history.path == tmp_path / "h.db"


# -- the environment -----------------------------------------------------------------------------


def test_discovery_without_keys_uses_the_echo() -> None:
    """Without any key the echo is the only provider."""
    settings = discover({})
    assert list(settings.document.providers) == ["echo"]
    assert settings.keys is None
    assert settings.source == "the environment"


def test_discovery_makes_a_provider_per_key() -> None:
    """Each set key gives a provider with the models of its service; `*_MODEL` sets the default."""
    settings = discover(
        {"OPENAI_API_KEY": KEY, "GOOGLE_API_KEY": KEY, "MISTRAL_API_KEY": "", "OPENAI_MODEL": "m"}
    )
    providers = settings.document.providers
    assert list(providers) == ["openai", "gemini"]
    assert providers["openai"].model == "m"
    assert settings.models["gemini-*"] == "gemini-*"
    assert [p.name for p in build_router(settings).providers] == ["openai", "gemini"]


def test_every_discovered_service_can_be_built() -> None:
    """A provider can be built for every service of the table."""
    from multirouter.config.discovery import SERVICES
    from multirouter.config.provider_builder import KEY_VARIABLES

    every = {variable: KEY for names in KEY_VARIABLES.values() for variable in names}
    assert list(discover(every).document.providers) == list(SERVICES)


def test_an_unusable_proxy_of_the_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable: nothing in the file is wrong."""
    for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ConfigurationError, match=r"providers.openai: .* variable ALL_PROXY must"):
        load_config(tmp_path, "providers: {openai: {api_key: key}}")


def test_discovered_values_are_not_references() -> None:
    """The value of `*_MODEL` is used unchanged."""
    settings = discover({"OPENAI_API_KEY": KEY, "OPENAI_MODEL": "gpt"})
    assert settings.document.providers["openai"].model == "gpt"


# -- the model of a request ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "requested", "expected"),
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
def test_model_of_a_request(
    four_providers: Settings, provider: str, requested: str | None, expected: str | None
) -> None:
    """A provider's own models are sent as requested, other models as its default model."""
    configured = {p.name: configured_provider(p) for p in build_router(four_providers).providers}
    assert configured[provider].model_for(requested) == expected


# -- reload --------------------------------------------------------------------------------------


@pytest.mark.backends("asyncio", "uvloop")
async def test_reload_of_a_running_router(tmp_path: Path) -> None:
    """Unchanged providers are kept, others are replaced, and new model names work at once."""
    before = load_config(tmp_path, TWO)
    async with build_router(before) as router:
        old = {p.name: p for p in router.providers}
        router.hold("b", "open")
        after = load_config(
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
        assert router._defaults.timeout == 600


@pytest.mark.backends("asyncio", "uvloop")
async def test_reload_restores_the_weight_of_an_unchanged_provider(tmp_path: Path) -> None:
    """A weight that was changed at run time is the file's again; its connections are kept."""
    settings = load_config(tmp_path, TWO)
    async with build_router(settings) as router:
        before = configured_provider(router.providers[0])
        router.update("a", weight=5)
        settings.apply(router)
        assert router.providers[0].weight == 1
        assert configured_provider(router.providers[0]) is before


@pytest.mark.backends("asyncio", "uvloop")
async def test_settings_are_sent_to_other_processes(four_providers: Settings) -> None:
    """A pickled copy is equal in effect: no provider is made again."""
    copy: Settings = pickle.loads(pickle.dumps(four_providers))
    assert copy.models == four_providers.models
    assert copy.files == four_providers.files
    async with build_router(four_providers) as router:
        before = list(router.providers)
        copy.apply(router)
        assert list(map(id, router.providers)) == list(map(id, before))


@pytest.mark.backends("asyncio")
async def test_connections_survive_a_reload(tmp_path: Path) -> None:
    """New providers share the connections of the old ones, which close with the router."""
    settings = load_config(tmp_path, "providers: {ollama: {model: a}}")
    async with build_router(settings) as router:
        (before,) = map(configured_provider, router.providers)
        session = await before.http.session()
        load_config(tmp_path, "providers: {ollama: {model: b}, vllm: {}}").apply(router)
        assert {configured_provider(p).http for p in router.providers} == {before.http}
        assert not session.closed
    assert session.closed


@pytest.mark.backends("asyncio")
async def test_calls_do_not_wait_for_connections_of_other_calls(tmp_path: Path) -> None:
    """Hundreds of calls that their provider answers late do not keep another one from its answer.

    The wait for a connection would count as a failure of the provider that was to be called.
    """
    open_, release = asyncio.Semaphore(0), asyncio.Event()
    body = json.dumps(LATE_ANSWER).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'"m"}')
        open_.release()
        await release.wait()
        writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2000)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    config = f"providers: {{a: {{kind: vllm, base_url: '{url}', model: m}}}}"
    async with server, build_router(load_config(tmp_path, config)) as router:
        calls = [asyncio.create_task(router.call(chat("Hello"))) for _ in range(600)]
        for _ in calls:
            await open_.acquire()
        release.set()
        assert {text_of(answer) for answer in await asyncio.gather(*calls)} == {"Hi"}


LATE_ANSWER = {
    "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
}


def test_settings_can_be_applied_to_any_router(tmp_path: Path) -> None:
    """Providers that do not come from a configuration are replaced like others."""
    router = MultiProviderRouter(registry=CollectorRegistry())
    load_config(tmp_path, TWO).apply(router)
    assert [p.name for p in router.providers] == ["a", "b"]


def test_missing_pydantic_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pydantic the error names the extra to install."""
    import sys

    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'multirouter\[gateway\]'"):
        discover({})


def test_repr_of_settings(four_providers: Settings) -> None:
    """The repr shows source and providers."""
    assert repr(four_providers).endswith("multirouter.yaml: openai, claude, local, echo>")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("strategy: sticky", ["when_cheaper", "when_cheaper"]),
        ("sticky: {returns: at_once}", ["at_once", "at_once"]),
        ("strategy: sticky, sticky: {returns: when_idle, cache_ttl: 60}", ["when_idle"] * 2),
        ("strategy: [sticky, fastest], sticky: {leaves: when_cheaper}", ["when_cheaper", None]),
    ],
)
def test_sticky_routes(tmp_path: Path, lines: str, expected: list[str | None]) -> None:
    """The strategy has settings of its own, which imply it where no other is named."""
    file = tmp_path / "c.yaml"
    echo = "providers: {a: {kind: echo}, b: {kind: echo}}"
    file.write_text(f"{echo}\nroutes: {{r: {{tiers: [a, b], {lines}}}}}\n")
    document = load(file).document
    route = make_route("r", document.routes["r"], document.policies)
    found = [getattr(strategy, "returns", None) for strategy in route.strategy]
    assert found == expected


def test_sticky_settings_need_the_strategy(tmp_path: Path) -> None:
    """Settings that would have no effect are an error that names both."""
    file = tmp_path / "c.yaml"
    file.write_text(
        "providers: {a: {kind: echo}}\n"
        "routes: {r: {tiers: [a], strategy: fastest, sticky: {returns: at_once}}}\n"
    )
    with pytest.raises(
        ConfigurationError, match="must be given with `strategy: sticky`, got 'fastest'"
    ):
        load(file)
