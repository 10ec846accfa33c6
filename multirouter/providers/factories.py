"""The factories: each makes a `Provider` whose slots an adapter fills."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Never, TypeAlias

from typing_extensions import TypedDict, Unpack

from multirouter.core import validation as check
from multirouter.core.policies import CircuitPolicy, LimitPolicy
from multirouter.core.provider import Provider
from multirouter.errors import ConfigurationError
from multirouter.providers.adapter import Adapter, Wire
from multirouter.providers.canonical import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
)
from multirouter.providers.failures import Failures
from multirouter.providers.http import Http, checked_base_url
from multirouter.providers.openai.presets import PRESETS, Preset, PresetName
from multirouter.providers.openai.wire import OpenAIEmbeddingsWire, OpenAIWire
from multirouter.providers.secret import KeySource, Secret

ChatProvider: TypeAlias = Provider[ChatRequest, ChatCompletion, ChatCompletionChunk]
EmbeddingProvider: TypeAlias = Provider[EmbeddingRequest, EmbeddingResponse, Never]


class ProviderSettings(TypedDict, total=False):
    """What every `Provider` may be told; see there."""

    weight: float
    attempt_timeout: float | None
    circuit: CircuitPolicy | None
    limits: LimitPolicy | None
    domains: Iterable[str]
    tags: Iterable[str]
    probe: Callable[[], Awaitable[object]] | None


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
