"""Makes providers from sections of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from multirouter.config.building.configured_provider import ConfiguredProvider, configured_provider
from multirouter.config.building.health_checks import ChatCheck, UrlCheck
from multirouter.config.building.transforms import make_transform
from multirouter.config.echo import Echo
from multirouter.core.cost.price import Prices
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError
from multirouter.providers import (
    PRESETS,
    Anthropic,
    Azure,
    Bedrock,
    ChatProvider,
    Gemini,
    Http,
    OpenAI,
    Vertex,
)
from multirouter.providers.anthropic import wire as anthropic
from multirouter.providers.cloud.factories import AZURE_KEY, BEDROCK_KEY
from multirouter.providers.gemini import wire as gemini

if TYPE_CHECKING:
    from multirouter.config.sections.provider import ProviderSection

KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "azure": (AZURE_KEY,),
    "bedrock": (BEDROCK_KEY,),
    "vertex": (),
    **{name: (preset.variable,) for name, preset in PRESETS.items()},
}
"""Environment variables of API keys by kind, in order of precedence."""

KINDS = ("echo", *KEY_VARIABLES)
"""All kinds of providers: wire formats and services."""

KEY_OPTIONAL_KINDS = frozenset(
    {"echo", "azure", "bedrock", "vertex"}
    | {*(name for name, preset in PRESETS.items() if not preset.needs_key)}
)
"""Kinds that work without an API key."""

COMMON_SETTINGS = (
    "weight",
    "attempt_timeout",
    "first_token",
    "idle",
    "retries",
    "backoff",
    "circuit",
    "limits",
    "budget",
    "domains",
    "tags",
    "capabilities",
    "context_window",
    "max_output",
    "quality",
)
"""Settings of all kinds, passed to `Provider`."""

_CLAUDE = ("max_tokens", "thinking", "drops")
KIND_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "anthropic": _CLAUDE,
    "gemini": ("version",),
    "openai": ("api",),
    "azure": ("api_version",),
    "bedrock": (*_CLAUDE, "profile"),
    "vertex": (*_CLAUDE, "project"),
}
"""Settings of some kinds only."""


def default_model(section: ProviderSection) -> str | None:
    """The model of requests for other models: `model`, else the first of `models` without `*`."""
    exact = (model for model in section.models if "*" not in model)
    return section.model or next(exact, None)


def models_of(section: ProviderSection) -> tuple[str, ...]:
    """The models of a provider, without duplicates; none when it takes any."""
    return tuple(dict.fromkeys(filter(None, (*section.models, section.model))))


def base_url_of(section: ProviderSection) -> str | None:
    """The base URL of a provider; None for the echo."""
    if section.base_url is not None or section.kind in {None, "echo", *_CLOUDS}:
        return section.base_url
    if section.kind == "anthropic":
        return anthropic.BASE_URL
    return gemini.BASE_URL if section.kind == "gemini" else PRESETS[section.kind].base_url  # type: ignore[index] # every other kind is the name of a preset


def make_provider(
    name: str,
    section: ProviderSection,
    environ: Mapping[str, str],
    http: Http,
    prices: Prices | None,
) -> ChatProvider:
    """Makes the provider of a section.

    Args:
        name: the provider's name.
        section: its settings.
        environ: the variables with API keys.
        http: the shared connections.
        prices: its prices; see `prices_of`.

    Raises:
        ConfigurationError: a missing key, an invalid URL, or a setting of another kind.
    """
    kind = section.kind
    if kind is None:
        kinds = ", ".join(KINDS)
        raise ConfigurationError("kind", f"is required, since {name!r} is not one of {kinds}")
    own = KIND_SETTINGS.get(_format_of(kind), ())
    for setting in dict.fromkeys(name for names in KIND_SETTINGS.values() for name in names):
        if setting not in own and getattr(section, setting) is not None:
            kinds = " or ".join(one for one, names in KIND_SETTINGS.items() if setting in names)
            raise ConfigurationError(setting, f"is only valid for kind {kinds}, got kind {kind}")
    key = _key(kind, section, environ)
    adapter = _make_adapter(name, kind, section, key, http)
    configured = ConfiguredProvider(
        name,
        _inputs_of(section, environ, prices),
        adapter,
        default_model(section),
        section.models,
        http,
    )
    common = {setting: getattr(section, setting) for setting in COMMON_SETTINGS}
    region = () if section.region is None else (section.region,)
    domains = (*getattr(adapter, "domains", ()), *section.domains, *region)
    common["domains"] = tuple(dict.fromkeys(domains))
    return Provider(
        name,
        configured.call,
        stream=configured.stream,
        model=configured.model_of,
        operations=configured.operations,
        lacks=getattr(adapter, "lacks", None),
        transform=make_transform(section.transform),
        health_check=_health_check(section, configured, http),
        price=prices,
        aclose=adapter.aclose if kind in _CLOUDS else http.aclose,
        **common,
    )


def unchanged(
    old: ChatProvider | None,
    section: ProviderSection,
    environ: Mapping[str, str],
    prices: Prices | None,
) -> ChatProvider | None:
    """The old provider if one that is made of the section now had equal inputs, else None.

    Its weight may have been changed since it was made: that of the section applies again.
    """
    before = None if old is None else configured_provider(old)
    if old is None or before is None or before.inputs != _inputs_of(section, environ, prices):
        return None
    return old if old.weight == section.weight else old.replace(weight=section.weight)


def _inputs_of(
    section: ProviderSection, environ: Mapping[str, str], prices: Prices | None
) -> object:
    """All that the provider of a valid section is made from: equal for providers that are alike."""
    key = None if section.kind is None else _key(section.kind, section, environ)
    return section, key, prices


def _format_of(kind: str) -> str:
    """The format of a kind: that of OpenAI for all services of its presets."""
    return "openai" if kind in PRESETS else kind


def _health_check(
    section: ProviderSection, configured: ConfiguredProvider, http: Http
) -> ChatCheck | UrlCheck | None:
    check = section.health_check
    if check is None:
        return None
    if check.url is None:
        return ChatCheck(configured.call, default_model(section))
    return UrlCheck(http, check.url)


def _key(kind: str, section: ProviderSection, environ: Mapping[str, str]) -> str | None:
    if section.api_key is not None:
        return section.api_key.get_secret_value()
    found = (environ.get(variable) for variable in KEY_VARIABLES.get(kind, ()))
    key = next((key for key in found if key), None)
    if key is None and kind not in KEY_OPTIONAL_KINDS:
        variables = " or ".join(KEY_VARIABLES[kind])
        raise ConfigurationError("api_key", f"is required: set it here, or set {variables}")
    return key


def _make_adapter(
    name: str, kind: str, section: ProviderSection, key: str | None, http: Http
) -> Any:
    """The adapter that sends requests: a provider of `multirouter.providers`, or the echo."""
    if kind == "echo":
        return Echo(default_model(section) or name)
    settings: dict[str, Any] = {
        "http": http,
        "api_key": key,
        "headers": {field: value.get_secret_value() for field, value in section.headers.items()},
        "options": dict(section.options),
    }
    longest = {} if section.max_output is None else {"*": {"max_output": section.max_output}}
    settings["quirks"] = {**longest, **section.quirks}
    if section.base_url is not None:
        settings["base_url"] = section.base_url
    for setting in KIND_SETTINGS.get(_format_of(kind), ()):
        if getattr(section, setting) is not None:
            settings[setting] = getattr(section, setting)
    if kind == "anthropic":
        return Anthropic(name, **settings)
    if kind == "gemini":
        return Gemini(name, **settings)
    if kind in _CLOUDS:
        return _cloud(name, kind, section, settings)
    return OpenAI(name, preset=kind, **settings)  # type: ignore[arg-type] # every other kind is the name of a preset


_CLOUDS = frozenset({"azure", "bedrock", "vertex"})


def _cloud(
    name: str, kind: str, section: ProviderSection, settings: dict[str, Any]
) -> ChatProvider:
    """A provider of a cloud; its model, or one of `models`, decides about its format."""
    model = default_model(section)
    if kind == "azure":
        if section.base_url is None:
            raise ConfigurationError("base_url", "is required: the endpoint of the resource")
        return Azure(name, **settings)
    if model is None:
        raise ConfigurationError("model", f"is required for kind {kind}")
    if section.region is not None:
        settings["region"] = section.region
    if kind == "vertex":
        del settings["api_key"]
        return Vertex(name, model=model, **settings)
    return Bedrock(name, model=model, **settings)
