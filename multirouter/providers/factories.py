"""The factories: each makes a `Provider` whose slots an adapter fills."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Never, TypeAlias

from typing_extensions import Unpack

from multirouter.core import validation as check
from multirouter.core.settings.provider import Provider, ProviderSettings
from multirouter.errors import ConfigurationError
from multirouter.providers.adapter import Adapter, Wire
from multirouter.providers.anthropic import wire as anthropic
from multirouter.providers.anthropic.request import Accent, ThinkingStyle
from multirouter.providers.canonical import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
)
from multirouter.providers.failures import Failures
from multirouter.providers.gemini import wire as gemini
from multirouter.providers.gemini.embeddings import GeminiEmbeddingsWire
from multirouter.providers.http import Http, checked_base_url
from multirouter.providers.openai.presets import PRESETS, Preset, PresetName
from multirouter.providers.openai.wire import OpenAIEmbeddingsWire, OpenAIWire
from multirouter.providers.secret import KeySource, Secret

ChatProvider: TypeAlias = Provider[ChatRequest, ChatCompletion, ChatCompletionChunk]
EmbeddingProvider: TypeAlias = Provider[EmbeddingRequest, EmbeddingResponse, Never]


def OpenAI(  # noqa: N802 - it makes a provider and reads as one
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
        model: the model to ask for, whatever the request names; None takes the request's.
        preset: a service by name (`deepseek`, `glm`, `kimi`, `qwen`, `mistral`, `groq`,
            `openrouter`, `ollama`, `vllm`): its address, its key's variable, its accents.
        api_key: the key, or a function that returns the current one; None reads the preset's
            environment variable.
        base_url: another address than the preset's, without `/chat/completions`.
        headers: sent with each request (`{"OpenAI-Organization": ...}`).
        options: fields put into each request, over the caller's (`{"service_tier": "flex"}`).
        http: connections to share with other providers; None makes its own.
        **settings: see `Provider`.

    Raises:
        ConfigurationError: for a missing key, a bad address or an unknown preset.
    """
    me = f"OpenAI({name!r})"
    known = _preset(me, preset)
    key = _key(me, api_key, known)
    failures = Failures(name, key)
    wire = OpenAIWire(**_openai(me, known, model, key, base_url, headers, options, failures))
    return _chat(name, wire, failures, http, settings)


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
    """A provider of embeddings that speaks OpenAI's `/embeddings`; the arguments are OpenAI's.

    Vectors of different models do not compare: route among providers of one model only.
    """
    me = f"OpenAIEmbeddings({name!r})"
    known = _preset(me, preset)
    key = _key(me, api_key, known)
    failures = Failures(name, key)
    wire = OpenAIEmbeddingsWire(
        **_openai(me, known, model, key, base_url, headers, options, failures)
    )
    return _embeddings(name, wire, failures, http, settings)


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
    """A provider that speaks Anthropic Messages; requests and answers are translated.

    Args:
        name: the provider's name in the router.
        model: the model to ask for, whatever the request names; None takes the request's.
        api_key: the key, or a function that returns the current one; None reads
            `ANTHROPIC_API_KEY`.
        base_url: what `/v1/messages` is appended to.
        max_tokens: sent when a request names none, because the API wants one; at least 1.
        thinking: how `reasoning_effort` is said: `adaptive`, or a `budget` for older models.
        drops: request fields this model refuses (`("temperature", "top_p")`).
        headers: sent with each request (`{"anthropic-beta": ...}`).
        options: fields put into each request after translation (`{"top_k": 40}`).
        http: connections to share with other providers; None makes its own.
        **settings: see `Provider`.

    Raises:
        ConfigurationError: for a missing key, a bad address or a bad setting.
    """
    me = f"Anthropic({name!r})"
    key = Secret(f"{me}.api_key", api_key, variable="ANTHROPIC_API_KEY")
    failures = Failures(name, key)
    wire = anthropic.AnthropicWire(
        base_url=checked_base_url(f"{me}.base_url", base_url),
        model=_model(me, model),
        key=key,
        headers=headers or {},
        options=options or {},
        accent=Accent(max_tokens=max_tokens, thinking=thinking, drops=frozenset(drops)),
        failures=failures,
        wall=time.time,
    )
    return _chat(name, wire, failures, http, settings)


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
    """A provider that speaks Gemini's generateContent; requests and answers are translated.

    Args:
        name: the provider's name in the router.
        model: the model to ask for, whatever the request names; None takes the request's.
        api_key: the key, or a function that returns the current one; None reads
            `GEMINI_API_KEY`.
        base_url: what `/{version}/models/...` is appended to.
        version: the API's version.
        headers: sent with each request.
        options: fields merged into each request after translation
            (`{"safetySettings": [...], "generationConfig": {"topK": 40}}`).
        http: connections to share with other providers; None makes its own.
        **settings: see `Provider`.

    Raises:
        ConfigurationError: for a missing key or a bad address.
    """
    me = f"Gemini({name!r})"
    made = _gemini(me, name, model, api_key, base_url, version, headers, options)
    return _chat(name, gemini.GeminiWire(**made), made["failures"], http, settings)


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
    """A provider of embeddings by Gemini's batchEmbedContents; the arguments are Gemini's."""
    me = f"GeminiEmbeddings({name!r})"
    made = _gemini(me, name, model, api_key, base_url, version, headers, options)
    return _embeddings(name, GeminiEmbeddingsWire(**made), made["failures"], http, settings)


def _gemini(
    me: str,
    name: str,
    model: str | None,
    api_key: KeySource,
    base_url: str,
    version: str,
    headers: Mapping[str, str] | None,
    options: Mapping[str, Any] | None,
) -> dict[str, Any]:
    key = Secret(f"{me}.api_key", api_key, variable="GEMINI_API_KEY")
    return {
        "base_url": checked_base_url(f"{me}.base_url", base_url),
        "version": check.name(f"{me}.version", version),
        "model": _model(me, model),
        "key": key,
        "headers": headers or {},
        "options": options or {},
        "failures": Failures(name, key),
        "wall": time.time,
    }


def _preset(me: str, preset: PresetName) -> Preset:
    if preset not in PRESETS:
        raise ConfigurationError(f"{me}.preset", f"must be one of {', '.join(PRESETS)}")
    return PRESETS[preset]


def _key(me: str, api_key: KeySource, preset: Preset) -> Secret:
    return Secret(f"{me}.api_key", api_key, variable=preset.variable, needed=preset.needs_key)


def _openai(
    me: str,
    preset: Preset,
    model: str | None,
    key: Secret,
    base_url: str | None,
    headers: Mapping[str, str] | None,
    options: Mapping[str, Any] | None,
    failures: Failures,
) -> dict[str, Any]:
    return {
        "base_url": checked_base_url(f"{me}.base_url", base_url or preset.base_url),
        "preset": preset,
        "model": _model(me, model),
        "key": key,
        "headers": headers or {},
        "options": options or {},
        "failures": failures,
    }


def _model(me: str, model: str | None) -> str | None:
    return model if model is None else check.name(f"{me}.model", model)


def _chat(
    name: str,
    wire: Wire[ChatRequest, ChatCompletion],
    failures: Failures,
    http: Http | None,
    settings: ProviderSettings,
) -> ChatProvider:
    adapter = Adapter(wire, failures, http or Http())
    return Provider(name, adapter.call, stream=adapter.stream, aclose=adapter.aclose, **settings)


def _embeddings(
    name: str,
    wire: Wire[EmbeddingRequest, EmbeddingResponse],
    failures: Failures,
    http: Http | None,
    settings: ProviderSettings,
) -> EmbeddingProvider:
    adapter = Adapter(wire, failures, http or Http())
    return Provider(name, adapter.call, aclose=adapter.aclose, **settings)
