"""Makes providers from sections of the configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from multirouter.config.echo import Echo
from multirouter.core.cost.price import Prices
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError
from multirouter.providers import (
    PRESETS,
    Anthropic,
    ChatCompletion,
    ChatCompletionChunk,
    ChatProvider,
    ChatRequest,
    Gemini,
    Http,
    OpenAI,
)
from multirouter.providers.anthropic import wire as anthropic
from multirouter.providers.gemini import wire as gemini

if TYPE_CHECKING:
    from multirouter.config.document import ProviderSection

KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    **{name: (preset.variable,) for name, preset in PRESETS.items()},
}
"""Environment variables of API keys by kind, in order of precedence."""

KINDS = ("echo", *KEY_VARIABLES)
"""All kinds of providers: wire formats and services."""

KEY_OPTIONAL_KINDS = frozenset(
    {"echo", *(name for name, preset in PRESETS.items() if not preset.needs_key)}
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

KIND_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("max_tokens", "thinking", "drops"),
    "gemini": ("version",),
}
"""Settings of one kind only."""


class ConfiguredProvider:
    """Callable of a configured provider: sets the model, then delegates to the adapter.

    Args:
        name: the provider's name.
        inputs: everything it is made from; providers with equal inputs are interchangeable.
        adapter: sends requests to the service.
        model: the model of requests whose model is not one of `models`, or None.
        models: models that clients may request by name; `*` is a wildcard.
        http: the shared connections.
    """

    __slots__ = ("_adapter", "_model", "_models", "_prefix", "http", "inputs")

    def __init__(
        self,
        name: str,
        inputs: object,
        adapter: Any,
        model: str | None,
        models: tuple[str, ...],
        http: Http,
    ) -> None:
        self._prefix = f"{name}/"
        self._adapter = adapter
        self._model = model
        self._models = models
        self.inputs: object = inputs
        self.http: Http = http

    def call(self, request: ChatRequest) -> Awaitable[ChatCompletion]:
        """Sends a request and returns the complete answer."""
        answer: Awaitable[ChatCompletion] = self._adapter.call(self._with_model(request))
        return answer

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatCompletionChunk]:
        """Sends a request and streams the answer."""
        chunks: AsyncIterator[ChatCompletionChunk] = self._adapter.stream(self._with_model(request))
        return chunks

    @property
    def operations(self) -> dict[str, Operation]:
        """The operations of the service, with model names as for chat."""
        return {
            name: Operation(
                _of_model(self._with_model, operation.call),
                stream=_of_model(self._with_model, operation.stream),
            )
            for name, operation in getattr(self._adapter, "operations", {}).items()
        }

    def _with_model(self, request: ChatRequest) -> ChatRequest:
        """The request with the model name to send to the service."""
        requested = request.get("model")
        model = self.model_for(requested)
        return request if model is None or model == requested else {**request, "model": model}

    def model_for(self, requested: str | None) -> str | None:
        """The model name to send for the requested one; None if neither side names a model."""
        requested = requested.removeprefix(self._prefix) if requested else None
        known = requested and any(fnmatchcase(requested, model) for model in self._models)
        return requested if known or self._model is None else self._model

    def model_of(self, request: ChatRequest) -> str | None:
        """The model name of a request, as it is sent."""
        return self.model_for(request.get("model"))

    def __repr__(self) -> str:
        return f"<ConfiguredProvider {self._prefix[:-1]}>"


def _of_model(
    with_model: Callable[[Any], Any], function: Callable[[Any], Any] | None
) -> Callable[[Any], Any] | None:
    """A function of a service, called with the request that names the service's model."""
    return None if function is None else lambda request: function(with_model(request))


def configured_provider(provider: Provider[Any, Any, Any]) -> ConfiguredProvider | None:
    """The `ConfiguredProvider` of a provider, or None if it comes from elsewhere."""
    owner = getattr(provider.call, "__self__", None)
    return owner if isinstance(owner, ConfiguredProvider) else None


def default_model(section: ProviderSection) -> str | None:
    """The model of requests for other models: `model`, else the first of `models` without `*`."""
    exact = (model for model in section.models if "*" not in model)
    return section.model or next(exact, None)


def models_of(section: ProviderSection) -> tuple[str, ...]:
    """The models of a provider, without duplicates; none when it takes any."""
    return tuple(dict.fromkeys(filter(None, (*section.models, section.model))))


def base_url_of(section: ProviderSection) -> str | None:
    """The base URL of a provider; None for the echo."""
    if section.base_url is not None or section.kind in {None, "echo"}:
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
    for other, settings in KIND_SETTINGS.items():
        for setting in settings:
            if other != kind and getattr(section, setting) is not None:
                raise ConfigurationError(
                    setting, f"is only valid for kind {other}, got kind {kind}"
                )
    key = _key(kind, section, environ)
    adapter = _make_adapter(name, kind, section, key, http)
    configured = ConfiguredProvider(
        name,
        (section, kind, key, prices),
        adapter,
        default_model(section),
        section.models,
        http,
    )
    common = {setting: getattr(section, setting) for setting in COMMON_SETTINGS}
    common["domains"] = (*getattr(adapter, "domains", ()), *section.domains)
    return Provider(
        name,
        configured.call,
        stream=configured.stream,
        model=configured.model_of,
        operations=configured.operations,
        price=prices,
        aclose=http.aclose,
        **common,
    )


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
    if section.base_url is not None:
        settings["base_url"] = section.base_url
    for setting in KIND_SETTINGS.get(kind, ()):
        if getattr(section, setting) is not None:
            settings[setting] = getattr(section, setting)
    if kind == "anthropic":
        return Anthropic(name, **settings)
    if kind == "gemini":
        return Gemini(name, **settings)
    return OpenAI(name, preset=kind, **settings)  # type: ignore[arg-type] # every other kind is the name of a preset
