"""A provider as the file tells it, made into one that can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from multirouter.config.echo import Echo
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

if TYPE_CHECKING:
    from multirouter.config.document import ProviderSection

KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    **{name: (preset.variable,) for name, preset in PRESETS.items()},
}
"""Where the keys of each kind are looked for in the environment, in this order."""

KINDS = ("echo", *KEY_VARIABLES)
"""What a provider can speak."""

KEYLESS = frozenset({"echo", *(name for name, preset in PRESETS.items() if not preset.needs_key)})
"""What can be asked without a key."""

TERMS = (
    "weight",
    "attempt_timeout",
    "first_token",
    "idle",
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
"""What a section says of a provider whatever its kind."""

OWN: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("max_tokens", "thinking", "drops"),
    "gemini": ("version",),
}
"""What a section may say of one kind alone."""


class ConfiguredProvider:
    """What a configured provider calls: it asks for the right model, and knows what made it.

    Args:
        name: the provider's name.
        made_of: everything it was made of; two that are equal are interchangeable.
        inner: what asks the service.
        model: the model for requests that name none of `models`, or None.
        models: models that are asked for as the client names them.
        http: the connections it shares.
    """

    __slots__ = ("_inner", "_model", "_models", "_prefix", "http", "made_of")

    def __init__(
        self,
        name: str,
        made_of: object,
        inner: Any,
        model: str | None,
        models: tuple[str, ...],
        http: Http,
    ) -> None:
        self._prefix = f"{name}/"
        self._inner = inner
        self._model = model
        self._models = models
        self.made_of: object = made_of
        self.http: Http = http

    def call(self, request: ChatRequest) -> Awaitable[ChatCompletion]:
        """One whole answer."""
        answer: Awaitable[ChatCompletion] = self._inner.call(self._addressed(request))
        return answer

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatCompletionChunk]:
        """One answer in pieces."""
        chunks: AsyncIterator[ChatCompletionChunk] = self._inner.stream(self._addressed(request))
        return chunks

    def _addressed(self, request: ChatRequest) -> ChatRequest:
        """The request with the name that the model has at the service."""
        asked = request.get("model")
        wanted = self.model_for(asked)
        return request if wanted is None or wanted == asked else {**request, "model": wanted}

    def model_for(self, asked: str | None) -> str | None:
        """The model to ask for when the client asks for this one; None leaves it open."""
        asked = asked.removeprefix(self._prefix) if asked else None
        named = asked and any(fnmatchcase(asked, known) for known in self._models)
        return asked if named or self._model is None else self._model

    def __repr__(self) -> str:
        return f"<Upstream {self._prefix[:-1]}>"


def provider_of(provider: Provider[Any, Any, Any]) -> ConfiguredProvider | None:
    """What stands behind a provider that was configured; None for any other."""
    behind = getattr(provider.call, "__self__", None)
    return behind if isinstance(behind, ConfiguredProvider) else None


def default_model(section: ProviderSection) -> str | None:
    """The model for requests that name none of the provider's: `model`, or its first plain one."""
    plain = (model for model in section.models if "*" not in model)
    return section.model or next(plain, None)


def make_provider(
    name: str, section: ProviderSection, environ: Mapping[str, str], http: Http
) -> ChatProvider:
    """The provider that a section describes.

    Raises:
        ConfigurationError: for a missing key, a bad address, a setting of another kind.
    """
    kind = section.kind
    if kind is None:
        known = ", ".join(KINDS)
        raise ConfigurationError("kind", f"is needed, because {name!r} is none itself: {known}")
    for other, settings in OWN.items():
        for setting in settings:
            if other != kind and getattr(section, setting) is not None:
                raise ConfigurationError(setting, f"is a setting of kind {other}, not of {kind}")
    key = _key(kind, section, environ)
    inner = _asked(name, kind, section, key, http)
    upstream = ConfiguredProvider(
        name, (section, kind, key), inner, default_model(section), section.models, http
    )
    terms = {term: getattr(section, term) for term in TERMS}
    return Provider(
        name,
        upstream.call,
        stream=upstream.stream,
        price=section.price,
        aclose=http.aclose,
        **terms,
    )


def _key(kind: str, section: ProviderSection, environ: Mapping[str, str]) -> str | None:
    if section.api_key is not None:
        return section.api_key.get_secret_value()
    found = (environ.get(variable) for variable in KEY_VARIABLES.get(kind, ()))
    key = next((key for key in found if key), None)
    if key is None and kind not in KEYLESS:
        where = " or ".join(KEY_VARIABLES[kind])
        raise ConfigurationError("api_key", f"is needed: write it here, or set {where}")
    return key


def _asked(name: str, kind: str, section: ProviderSection, key: str | None, http: Http) -> Any:
    """What asks the service: the adapter's provider, or the echo."""
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
    for setting in OWN.get(kind, ()):
        if getattr(section, setting) is not None:
            settings[setting] = getattr(section, setting)
    if kind == "anthropic":
        return Anthropic(name, **settings)
    if kind == "gemini":
        return Gemini(name, **settings)
    return OpenAI(name, preset=kind, **settings)  # type: ignore[arg-type] # every other kind is a preset's name
