"""Factories of providers over HTTP. Each returns a `Provider` that uses an adapter."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Never, TypeAlias

from typing_extensions import Unpack

from multirouter.core import validation as check
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.provider import Provider, ProviderSettings
from multirouter.providers.adapter import Adapter, Wire
from multirouter.providers.anthropic import wire as anthropic
from multirouter.providers.anthropic.request import ModelSettings, ThinkingStyle
from multirouter.providers.canonical import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
)
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.gemini import wire as gemini
from multirouter.providers.gemini.embeddings import GeminiEmbeddingsWire
from multirouter.providers.http import Http, check_base_url
from multirouter.providers.openai.operations import operations_of
from multirouter.providers.openai.presets import PRESETS, Preset, PresetName
from multirouter.providers.openai.wire import OpenAIEmbeddingsWire, OpenAIWire
from multirouter.providers.secret import KeySource, Secret
from multirouter.providers.vendors import vendor_of

ChatProvider: TypeAlias = Provider[ChatRequest, ChatCompletion, ChatCompletionChunk]
EmbeddingProvider: TypeAlias = Provider[EmbeddingRequest, EmbeddingResponse, Never]


def OpenAI(  # noqa: N802 - a factory that is used like a class
    name: str,
    *,
    model: str | None = None,
    preset: PresetName = "openai",
    api_key: KeySource = None,
    base_url: str | None = None,
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    http: Http | None = None,
    **settings: Unpack[ProviderSettings],
) -> ChatProvider:
    """A provider that speaks OpenAI Chat Completions.

    Args:
        name: the provider's name in the router.
        model: the model of every request, whatever the request names. None uses the request's.
        preset: a service by name (`deepseek`, `glm`, `kimi`, `qwen`, `mistral`, `groq`,
            `openrouter`, `ollama`, `vllm`): its address, its key's environment variable, and the
            differences of its API.
        api_key: the key, or a function that returns the current one. None reads the preset's
            environment variable.
        base_url: an address instead of the preset's, without `/chat/completions`.
        headers: sent with each request (`{"OpenAI-Organization": ...}`).
        options: fields set in each request; they override the caller's
            (`{"service_tier": "flex"}`).
        http: connections to share with other providers. None opens connections of its own.
        **settings: see `Provider`. The vendor (`openai`, `deepseek`, ...; of an unknown address
            its host) is a failure domain in addition to `domains`.

    Raises:
        ConfigurationError: for a missing key, an invalid address or an unknown preset.
    """
    label = f"OpenAI({name!r})"
    service = _preset(label, preset)
    key = _key(label, api_key, service)
    errors = ErrorFactory(name, key)
    made = _openai(label, service, model, key, base_url, headers, options, errors)
    chat = Adapter(OpenAIWire(**made), errors, http or Http())
    return _chat(name, chat, made, operations_of(chat, made), settings)


def OpenAIEmbeddings(  # noqa: N802 - see OpenAI
    name: str,
    *,
    model: str | None = None,
    preset: PresetName = "openai",
    api_key: KeySource = None,
    base_url: str | None = None,
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    http: Http | None = None,
    **settings: Unpack[ProviderSettings],
) -> EmbeddingProvider:
    """A provider of embeddings that speaks OpenAI's `/embeddings`; arguments as for `OpenAI`.

    Vectors of different models cannot be compared: route only among providers of one model.
    """
    label = f"OpenAIEmbeddings({name!r})"
    service = _preset(label, preset)
    key = _key(label, api_key, service)
    errors = ErrorFactory(name, key)
    made = _openai(label, service, model, key, base_url, headers, options, errors)
    return _embeddings(name, OpenAIEmbeddingsWire(**made), made, http, settings)


def Anthropic(  # noqa: N802 - see OpenAI
    name: str,
    *,
    model: str | None = None,
    api_key: KeySource = None,
    base_url: str = anthropic.BASE_URL,
    max_tokens: int = 4096,
    thinking: ThinkingStyle = "adaptive",
    drops: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    http: Http | None = None,
    **settings: Unpack[ProviderSettings],
) -> ChatProvider:
    """A provider that speaks Anthropic Messages. Requests and responses are translated.

    Args:
        name: the provider's name in the router.
        model: the model of every request, whatever the request names. None uses the request's.
        api_key: the key, or a function that returns the current one. None reads
            `ANTHROPIC_API_KEY`.
        base_url: the address before `/v1/messages`.
        max_tokens: sent when a request has no limit, because the API requires one. At least 1.
        thinking: how `reasoning_effort` is translated: `adaptive`, or a token `budget` for older
            models.
        drops: request fields that are left out because this model rejects them
            (`("temperature", "top_p")`).
        headers: sent with each request (`{"anthropic-beta": ...}`).
        options: fields set in each request after translation (`{"top_k": 40}`).
        http: connections to share with other providers. None opens connections of its own.
        **settings: see `Provider`; the vendor is a failure domain, as for `OpenAI`.

    Raises:
        ConfigurationError: for a missing key, an invalid address or an invalid setting.
    """
    label = f"Anthropic({name!r})"
    key = Secret(f"{label}.api_key", api_key, variable="ANTHROPIC_API_KEY")
    made: dict[str, Any] = {
        "base_url": check_base_url(f"{label}.base_url", base_url),
        "model": _model(label, model),
        "key": key,
        "headers": headers or {},
        "options": options or {},
        "model_settings": ModelSettings(
            max_tokens=max_tokens, thinking=thinking, drops=frozenset(drops)
        ),
        "errors": ErrorFactory(name, key),
        "wall": time.time,
    }
    chat = Adapter(anthropic.AnthropicWire(**made), made["errors"], http or Http())
    return _chat(name, chat, made, {}, settings)


def Gemini(  # noqa: N802 - see OpenAI
    name: str,
    *,
    model: str | None = None,
    api_key: KeySource = None,
    base_url: str = gemini.BASE_URL,
    version: str = "v1beta",
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    http: Http | None = None,
    **settings: Unpack[ProviderSettings],
) -> ChatProvider:
    """A provider that speaks Gemini's generateContent. Requests and responses are translated.

    Args:
        name: the provider's name in the router.
        model: the model of every request, whatever the request names. None uses the request's.
        api_key: the key, or a function that returns the current one. None reads
            `GEMINI_API_KEY`.
        base_url: the address before `/{version}/models/...`.
        version: the version of the API.
        headers: sent with each request.
        options: fields merged into each request after translation
            (`{"safetySettings": [...], "generationConfig": {"topK": 40}}`).
        http: connections to share with other providers. None opens connections of its own.
        **settings: see `Provider`; the vendor is a failure domain, as for `OpenAI`.

    Raises:
        ConfigurationError: for a missing key or an invalid address.
    """
    label = f"Gemini({name!r})"
    made = _gemini(label, name, model, api_key, base_url, version, headers, options)
    chat = Adapter(gemini.GeminiWire(**made), made["errors"], http or Http())
    plain: dict[str, Any] = {**made, "options": {}}  # the provider's are for generateContent
    embeddings = chat.sharing_connections(GeminiEmbeddingsWire(**plain))
    operations = {"embeddings": Operation(embeddings.call)}
    return _chat(name, chat, made, operations, settings)


def GeminiEmbeddings(  # noqa: N802 - see OpenAI
    name: str,
    *,
    model: str | None = None,
    api_key: KeySource = None,
    base_url: str = gemini.BASE_URL,
    version: str = "v1beta",
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    http: Http | None = None,
    **settings: Unpack[ProviderSettings],
) -> EmbeddingProvider:
    """A provider of embeddings by Gemini's batchEmbedContents; arguments as for `Gemini`."""
    label = f"GeminiEmbeddings({name!r})"
    made = _gemini(label, name, model, api_key, base_url, version, headers, options)
    return _embeddings(name, GeminiEmbeddingsWire(**made), made, http, settings)


def _gemini(
    label: str,
    name: str,
    model: str | None,
    api_key: KeySource,
    base_url: str,
    version: str,
    headers: Mapping[str, str] | None,
    options: Mapping[str, Any] | None,
) -> dict[str, Any]:
    key = Secret(f"{label}.api_key", api_key, variable="GEMINI_API_KEY")
    return {
        "base_url": check_base_url(f"{label}.base_url", base_url),
        "version": check.name(f"{label}.version", version),
        "model": _model(label, model),
        "key": key,
        "headers": headers or {},
        "options": options or {},
        "errors": ErrorFactory(name, key),
        "wall": time.time,
    }


def _preset(label: str, preset: PresetName) -> Preset:
    check.one_of(f"{label}.preset", preset, PRESETS)
    return PRESETS[preset]


def _key(label: str, api_key: KeySource, preset: Preset) -> Secret:
    return Secret(f"{label}.api_key", api_key, variable=preset.variable, required=preset.needs_key)


def _openai(
    label: str,
    preset: Preset,
    model: str | None,
    key: Secret,
    base_url: str | None,
    headers: Mapping[str, str] | None,
    options: Mapping[str, Any] | None,
    errors: ErrorFactory,
) -> dict[str, Any]:
    return {
        "base_url": check_base_url(f"{label}.base_url", base_url or preset.base_url),
        "preset": preset,
        "model": _model(label, model),
        "key": key,
        "headers": headers or {},
        "options": options or {},
        "errors": errors,
    }


def _model(label: str, model: str | None) -> str | None:
    return model if model is None else check.name(f"{label}.model", model)


def _chat(
    name: str,
    adapter: Adapter[ChatRequest, ChatCompletion],
    made: Mapping[str, Any],
    operations: Mapping[str, Operation],
    settings: ProviderSettings,
) -> ChatProvider:
    settings = {"operations": operations, **settings}
    return Provider(
        name,
        adapter.call,
        stream=adapter.stream,
        aclose=adapter.aclose,
        model=_sent_model(made),
        **_with_vendor(settings, made),
    )


def _embeddings(
    name: str,
    wire: Wire[EmbeddingRequest, EmbeddingResponse],
    made: Mapping[str, Any],
    http: Http | None,
    settings: ProviderSettings,
) -> EmbeddingProvider:
    adapter = Adapter(wire, made["errors"], http or Http())
    return Provider(
        name,
        adapter.call,
        aclose=adapter.aclose,
        model=_sent_model(made),
        **_with_vendor(settings, made),
    )


def _sent_model(made: Mapping[str, Any]) -> str | None:
    """The model of every request; None when the request names it."""
    model = made["options"].get("model") or made["model"]
    return model if isinstance(model, str) else None


def _with_vendor(settings: ProviderSettings, made: Mapping[str, Any]) -> ProviderSettings:
    """The settings with the vendor as the first failure domain."""
    given = settings.get("domains", ())
    if isinstance(given, str):  # which `Provider` rejects
        return settings
    domains = dict.fromkeys((vendor_of(made["base_url"]), *given))
    return {**settings, "domains": tuple(domains)}
