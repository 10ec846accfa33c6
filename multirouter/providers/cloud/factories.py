"""Factories of the clouds' providers."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from typing_extensions import Unpack

from multirouter.core import validation as check
from multirouter.core.request_transform import Lacks
from multirouter.core.settings.provider import Provider, ProviderSettings
from multirouter.errors import ConfigurationError
from multirouter.providers.adapter import Adapter
from multirouter.providers.anthropic.claude import make_claude
from multirouter.providers.api_keys.secret import KeySource, Secret
from multirouter.providers.cloud.event_stream import BedrockEvents
from multirouter.providers.cloud.signing import AwsSignature, KeyHeader
from multirouter.providers.cloud.tokens import AzureCredential, AzureTokens, GoogleTokens, Tokens
from multirouter.providers.cloud.wires import (
    AzureDeployments,
    BedrockAnthropicWire,
    VertexAnthropicWire,
)
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.factories import ChatProvider
from multirouter.providers.gemini.request import GeminiLacks
from multirouter.providers.gemini.wire import GeminiWire
from multirouter.providers.openai.api_choice import OpenAILacks
from multirouter.providers.openai.operations import operations_of
from multirouter.providers.openai.presets import PRESETS
from multirouter.providers.openai.wire import OpenAIWire
from multirouter.providers.quirks.model_quirks import Overrides, ThinkingStyle, quirk_table
from multirouter.providers.transport.http import Http, Signer, check_base_url, checked_pool

AZURE_KEY = "AZURE_OPENAI_API_KEY"
BEDROCK_KEY = "AWS_BEARER_TOKEN_BEDROCK"
_LACKS = OpenAILacks("chat", has_responses=False)
_NO_KEY = Secret("", None, required=False)


def Azure(  # noqa: N802 - a factory that is used like a class
    name: str,
    *,
    base_url: str,
    model: str | None = None,
    api_key: KeySource = None,
    credential: AzureCredential | None = None,
    api_version: str | None = None,
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    quirks: Overrides | None = None,
    http: Http | None = None,
    **settings: Unpack[ProviderSettings],
) -> ChatProvider:
    """A provider of Azure OpenAI (Microsoft Foundry), with all operations of OpenAI's API.

    Args:
        name: the provider's name in the router.
        base_url: the endpoint of the resource (`https://my-resource.openai.azure.com`).
        model: the deployment of every request, whatever the request names. None uses the request's
            model as the name of the deployment.
        api_key: the key, or a function that returns the current one. None reads
            `AZURE_OPENAI_API_KEY`.
        credential: a credential of azure-identity, sync or async. Without it and without a key,
            tokens come from its `DefaultAzureCredential` (extra `azure`).
        api_version: the version of Azure's API with deployments in its addresses (`2024-10-21`).
            None uses the `v1` API, which has no versions.
        headers: sent with each request.
        options: fields set in each request; they override the caller's.
        quirks: as for `OpenAI`.
        http: connections to share with other providers. None opens connections of its own.
        **settings: see `Provider`; the host is a failure domain.

    Raises:
        ConfigurationError: for an invalid address or setting, or when there is neither a key nor
            azure-identity.
    """
    label = f"Azure({name!r})"
    endpoint = check_base_url(f"{label}.base_url", base_url)
    key = Secret(
        f"{label}.api_key",
        None if credential is not None else api_key,
        variable="" if credential is not None else AZURE_KEY,
        required=False,
    )
    errors = ErrorFactory(name, key)
    closing: list[Callable[[], Awaitable[object]]] = []
    signer: Signer
    if key.is_set:
        signer = KeyHeader("api-key", key)
    else:
        tokens = AzureTokens(label, credential)
        signer = Tokens(tokens.fetch)
        closing.append(tokens.aclose)
    address = None
    if api_version is not None:
        address = AzureDeployments(endpoint, check.name(f"{label}.api_version", api_version))
    made: dict[str, Any] = {
        **_made(_model(label, model), headers, options, errors),
        "base_url": f"{endpoint}/openai/v1",
        "preset": PRESETS["openai"],
        "address": address,
        "quirks": quirk_table(label, "openai", quirks, settings.get("max_output")),
    }
    pool = checked_pool(http, endpoint)
    adapter = Adapter(OpenAIWire(**made), errors, pool, signer=signer)
    settings = {"operations": operations_of(adapter, made), **settings}
    return _provider(name, adapter, _LACKS, model, endpoint, settings, closing)


def Bedrock(  # noqa: N802 - see Azure
    name: str,
    *,
    model: str,
    region: str | None = None,
    api_key: KeySource = None,
    credentials: Any = None,
    profile: str | None = None,
    base_url: str | None = None,
    max_tokens: int = 4096,
    thinking: ThinkingStyle | None = None,
    drops: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    quirks: Overrides | None = None,
    http: Http | None = None,
    **settings: Unpack[ProviderSettings],
) -> ChatProvider:
    """A provider of Amazon Bedrock: Claude by InvokeModel, others by Chat Completions.

    Args:
        name: the provider's name in the router.
        model: the id of a model, of an inference profile, or its ARN. One that names Anthropic
            (`us.anthropic.claude-...`) is called in Anthropic's format, any other one by Bedrock's
            Chat Completions.
        region: the region (`us-east-1`). None reads `AWS_REGION`, then `AWS_DEFAULT_REGION`.
        api_key: an API key of Bedrock, or a function that returns the current one. None reads
            `AWS_BEARER_TOKEN_BEDROCK`.
        credentials: credentials of botocore. Without them and without a key, botocore looks for
            them when the first request is sent: environment, files, roles (extra `bedrock`).
        profile: the profile of the shared files.
        base_url: an address instead of `https://bedrock-runtime.{region}.amazonaws.com`.
        max_tokens: Claude: sent when a request has no limit. At least 1.
        thinking: Claude: how `reasoning_effort` is translated, as for `Anthropic`.
        drops: Claude: request fields that are left out because this model rejects them.
        headers: sent with each request.
        options: fields set in each request after translation.
        quirks: as for `OpenAI`.
        http: connections to share with other providers. None opens connections of its own.
        **settings: see `Provider`; `bedrock` and the region are failure domains.

    Raises:
        ConfigurationError: for an invalid setting, or when a library is missing.
    """
    label = f"Bedrock({name!r})"
    check.name(f"{label}.model", model)
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise ConfigurationError(f"{label}.region", "is missing: pass region=, or set AWS_REGION")
    endpoint = base_url or f"https://bedrock-runtime.{region}.amazonaws.com"
    endpoint = check_base_url(f"{label}.base_url", endpoint)
    own = credentials is not None
    key = Secret(
        f"{label}.api_key",
        None if own else api_key,
        variable="" if own else BEDROCK_KEY,
        required=False,
    )
    signer: Signer
    if key.is_set:
        signer = KeyHeader("Authorization", key, "Bearer ")
    else:
        signer = AwsSignature(label, region, credentials, profile)
    errors = ErrorFactory(name, key)
    settings = {**settings, "domains": _domains(settings, "bedrock", region)}
    made = _made(model, headers, options, errors)
    pool = checked_pool(http, endpoint)
    if "anthropic." not in model:
        table = quirk_table(label, "openai", quirks, settings.get("max_output"))
        made |= {"base_url": f"{endpoint}/openai/v1", "preset": PRESETS["openai"], "quirks": table}
        adapter = Adapter(OpenAIWire(**made), errors, pool, signer=signer)
        return _provider(name, adapter, _LACKS, model, endpoint, settings)
    _require_botocore(label)
    claude = make_claude(
        BedrockAnthropicWire,
        label,
        {**made, "base_url": endpoint},
        pool,
        max_tokens=max_tokens,
        thinking=thinking,
        drops=drops,
        quirks=quirks,
        max_output=settings.get("max_output"),
        signer=signer,
        parser=BedrockEvents,
    )
    return _provider(name, claude.adapter, claude.lacks, model, endpoint, settings)


def Vertex(  # noqa: N802 - see Azure
    name: str,
    *,
    model: str,
    project: str | None = None,
    region: str = "global",
    credentials: Any = None,
    base_url: str | None = None,
    max_tokens: int = 4096,
    thinking: ThinkingStyle | None = None,
    drops: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    quirks: Overrides | None = None,
    http: Http | None = None,
    **settings: Unpack[ProviderSettings],
) -> ChatProvider:
    """A provider of Google's Vertex AI: Gemini, and Claude by rawPredict (extra `vertex`).

    Args:
        name: the provider's name in the router.
        model: the model; one whose name begins with `claude` is called in Anthropic's format.
        project: the project. None reads `GOOGLE_CLOUD_PROJECT`.
        region: the location (`europe-west4`), or `global`.
        credentials: credentials of google-auth. None looks for the application default credentials
            when the first request is sent.
        base_url: an address instead of that of the region.
        max_tokens: Claude: sent when a request has no limit. At least 1.
        thinking: Claude: how `reasoning_effort` is translated, as for `Anthropic`.
        drops: Claude: request fields that are left out because this model rejects them.
        headers: sent with each request.
        options: fields set in each request after translation.
        quirks: as for `OpenAI`.
        http: connections to share with other providers. None opens connections of its own.
        **settings: see `Provider`; `vertex` and the region are failure domains.

    Raises:
        ConfigurationError: for an invalid setting, or when google-auth is missing.
    """
    label = f"Vertex({name!r})"
    check.name(f"{label}.model", model)
    check.name(f"{label}.region", region)
    project = project or os.environ.get("GOOGLE_CLOUD_PROJECT")
    if not project:
        raise ConfigurationError(
            f"{label}.project", "is missing: pass project=, or set GOOGLE_CLOUD_PROJECT"
        )
    host = "aiplatform" if region == "global" else f"{region}-aiplatform"
    endpoint = base_url or f"https://{host}.googleapis.com"
    endpoint = check_base_url(f"{label}.base_url", endpoint)
    signer = Tokens(GoogleTokens(label, credentials).fetch)
    place = f"projects/{project}/locations/{region}"
    errors = ErrorFactory(name, _NO_KEY)
    settings = {**settings, "domains": _domains(settings, "vertex", region)}
    made = _made(model, headers, options, errors)
    pool = checked_pool(http, endpoint)
    if not model.startswith("claude"):
        made |= {"base_url": endpoint, "version": f"v1/{place}/publishers/google"}
        made["quirks"] = quirk_table(label, "gemini", quirks, settings.get("max_output"))
        adapter = Adapter(GeminiWire(**made, wall=time.time), errors, pool, signer=signer)
        return _provider(name, adapter, GeminiLacks(), model, endpoint, settings)
    claude = make_claude(
        VertexAnthropicWire,
        label,
        {**made, "base_url": f"{endpoint}/v1/{place}"},
        pool,
        max_tokens=max_tokens,
        thinking=thinking,
        drops=drops,
        quirks=quirks,
        max_output=settings.get("max_output"),
        signer=signer,
    )
    return _provider(name, claude.adapter, claude.lacks, model, endpoint, settings)


def _made(
    model: str | None,
    headers: Mapping[str, str] | None,
    options: Mapping[str, Any] | None,
    errors: ErrorFactory,
) -> dict[str, Any]:
    """What all wire formats of a service without a key of their own are made with."""
    return {
        "model": model,
        "key": _NO_KEY,
        "headers": headers or {},
        "options": options or {},
        "errors": errors,
    }


def _provider(
    name: str,
    adapter: Adapter[Any, Any],
    lacks: Lacks,
    model: str | None,
    endpoint: str,
    settings: ProviderSettings,
    closing: Iterable[Callable[[], Awaitable[object]]] = (),
) -> ChatProvider:
    async def aclose() -> None:
        for close in (adapter.aclose, *closing):
            await close()

    if "domains" not in settings:
        settings = {**settings, "domains": (endpoint.partition("://")[2],)}
    settings = {"lacks": lacks, **settings}
    return Provider(
        name, adapter.call, stream=adapter.stream, aclose=aclose, model=model, **settings
    )


def _domains(settings: ProviderSettings, *own: str) -> tuple[str, ...]:
    given = settings.get("domains", ())
    if isinstance(given, str):
        raise ConfigurationError(
            "Provider.domains", f"must be a list of names, got the string {given!r}"
        )
    return tuple(dict.fromkeys((*own, *given)))


def _model(label: str, model: str | None) -> str | None:
    return model if model is None else check.name(f"{label}.model", model)


def _require_botocore(label: str) -> None:
    """Loads what reads the streams of Bedrock, so that nothing is imported during a call.

    Raises:
        ConfigurationError: botocore is not installed.
    """
    try:
        import botocore.eventstream  # type: ignore[import-untyped] # noqa: F401 - loaded for `BedrockEvents`
    except ImportError:
        raise ConfigurationError(f"{label}.model", "requires multirouter[bedrock]") from None
