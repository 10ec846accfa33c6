"""Factories of providers over HTTP. Each returns a `Provider` that uses an adapter."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Never, TypeAlias

from typing_extensions import Unpack

from multirouter.core import validation as check
from multirouter.core.request_transform import Lacks
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.provider import Provider, ProviderSettings
from multirouter.providers.adapter import Adapter, Wire
from multirouter.providers.anthropic import wire as anthropic
from multirouter.providers.anthropic.claude import make_claude
from multirouter.providers.api_keys.secret import KeySource, Secret
from multirouter.providers.canonical import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
)
from multirouter.providers.counting.counter import counting
from multirouter.providers.counting.wires import (
    AnthropicCountWire,
    GeminiCountWire,
    OpenAICountWire,
)
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.gemini import wire as gemini
from multirouter.providers.gemini.embeddings import GeminiEmbeddingsWire
from multirouter.providers.gemini.request import GeminiLacks
from multirouter.providers.openai.api_choice import (
    APIS,
    Api,
    OpenAILacks,
    OpenAIService,
    needs_responses,
)
from multirouter.providers.openai.operations import operations_of
from multirouter.providers.openai.presets import PRESETS, Preset, PresetName
from multirouter.providers.openai.responses.wire import ResponsesWire
from multirouter.providers.openai.wire import OpenAIEmbeddingsWire, OpenAIWire
from multirouter.providers.quirks.model_quirks import Overrides, ThinkingStyle, quirk_table
from multirouter.providers.transport.http import Http, check_base_url, checked_pool
from multirouter.providers.vendors import sent_model, with_vendor

ChatProvider: TypeAlias = Provider[ChatRequest, ChatCompletion, ChatCompletionChunk]
EmbeddingProvider: TypeAlias = Provider[EmbeddingRequest, EmbeddingResponse, Never]


def OpenAI(  # noqa: N802 - a factory that is used like a class
    name: str,
    *,
    model: str | None = None,
    preset: PresetName = "openai",
    api: Api = "auto",
    api_key: KeySource = None,
    base_url: str | None = None,
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    quirks: Overrides | None = None,
    http: Http | None = None,
    **settings: Unpack[ProviderSettings],
) -> ChatProvider:
    """A provider that speaks OpenAI Chat Completions, or Responses.

    Args:
        name: the provider's name in the router.
        model: the model of every request, whatever the request names. None uses the request's.
        preset: a service by name (`deepseek`, `glm`, `kimi`, `qwen`, `mistral`, `groq`,
            `openrouter`, `ollama`, `vllm`): its address, its key's environment variable, and the
            differences of its API.
        api: `chat` sends chat completions, `responses` sends responses. `auto` sends chat
            completions, except for models that the service serves by responses alone, and for
            requests that clients of the gateway make in that format.
        api_key: the key, or a function that returns the current one. None reads the preset's
            environment variable.
        base_url: an address instead of the preset's, without `/chat/completions`.
        headers: sent with each request (`{"OpenAI-Organization": ...}`).
        options: fields set in each request; they override the caller's
            (`{"service_tier": "flex"}`).
        quirks: what its models take of a request, by name or pattern, where the built-in table is
            wrong or silent (`{"my-model*": {"drops": ["temperature"]}}`); see `Quirks`.
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
    made["quirks"] = quirk_table(label, preset, quirks, settings.get("max_output"))
    chat = Adapter(OpenAIWire(**made), errors, checked_pool(http, made["base_url"]))
    responses = chat.sharing_connections(ResponsesWire(**made))
    check.one_of(f"{label}.api", api, APIS)
    needs = needs_responses(made["quirks"], sent_model(made))
    adapter = OpenAIService(chat, responses, api, has_responses=service.responses, needs=needs)
    lacks = OpenAILacks(api, has_responses=service.responses)
    operations = operations_of(chat, made)
    if service.responses:
        operations.update(counting(chat, OpenAICountWire(**made)))
    return _chat(name, adapter, made, operations, settings, lacks)


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
    thinking: ThinkingStyle | None = None,
    drops: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    quirks: Overrides | None = None,
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
            models. None is as the model takes it.
        drops: request fields that are left out because this model rejects them
            (`("temperature", "top_p")`).
        headers: sent with each request (`{"anthropic-beta": ...}`).
        options: fields set in each request after translation (`{"top_k": 40}`).
        quirks: as for `OpenAI`.
        http: connections to share with other providers. None opens connections of its own.
        **settings: see `Provider`; the vendor is a failure domain, as for `OpenAI`.

    Raises:
        ConfigurationError: for a missing key, an invalid address or an invalid setting.
    """
    label = f"Anthropic({name!r})"
    key = Secret(f"{label}.api_key", api_key, variable="ANTHROPIC_API_KEY")
    address: dict[str, Any] = {
        "base_url": check_base_url(f"{label}.base_url", base_url),
        "model": _model(label, model),
        "key": key,
        "headers": headers or {},
        "options": options or {},
        "errors": ErrorFactory(name, key),
    }
    claude = make_claude(
        anthropic.AnthropicWire,
        label,
        address,
        checked_pool(http, address["base_url"]),
        max_tokens=max_tokens,
        thinking=thinking,
        drops=drops,
        quirks=quirks,
        max_output=settings.get("max_output"),
    )
    operations = counting(claude.adapter, AnthropicCountWire(**claude.made))
    return _chat(name, claude.adapter, claude.made, operations, settings, claude.lacks)


def Gemini(  # noqa: N802 - see OpenAI
    name: str,
    *,
    model: str | None = None,
    api_key: KeySource = None,
    base_url: str = gemini.BASE_URL,
    version: str = "v1beta",
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    quirks: Overrides | None = None,
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
        quirks: as for `OpenAI`.
        http: connections to share with other providers. None opens connections of its own.
        **settings: see `Provider`; the vendor is a failure domain, as for `OpenAI`.

    Raises:
        ConfigurationError: for a missing key or an invalid address.
    """
    label = f"Gemini({name!r})"
    made = _gemini(label, name, model, api_key, base_url, version, headers, options)
    made["quirks"] = quirk_table(label, gemini.FORMAT, quirks, settings.get("max_output"))
    chat = Adapter(gemini.GeminiWire(**made), made["errors"], checked_pool(http, made["base_url"]))
    plain: dict[str, Any] = {**made, "options": {}}  # the provider's are for generateContent
    embeddings = chat.sharing_connections(GeminiEmbeddingsWire(**plain))
    operations = {"embeddings": Operation(embeddings.call)}
    operations.update(counting(chat, GeminiCountWire(**plain)))
    return _chat(name, chat, made, operations, settings, GeminiLacks())


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
    adapter: Adapter[ChatRequest, ChatCompletion] | OpenAIService,
    made: Mapping[str, Any],
    operations: Mapping[str, Operation],
    settings: ProviderSettings,
    lacks: Lacks | None = None,
) -> ChatProvider:
    settings = {"operations": operations, "lacks": lacks, **settings}
    return Provider(
        name,
        adapter.call,
        stream=adapter.stream,
        aclose=adapter.aclose,
        model=sent_model(made),
        **with_vendor(settings, made),
    )


def _embeddings(
    name: str,
    wire: Wire[EmbeddingRequest, EmbeddingResponse],
    made: Mapping[str, Any],
    http: Http | None,
    settings: ProviderSettings,
) -> EmbeddingProvider:
    adapter = Adapter(wire, made["errors"], checked_pool(http, made["base_url"]))
    return Provider(
        name,
        adapter.call,
        aclose=adapter.aclose,
        model=sent_model(made),
        **with_vendor(settings, made),
    )
