"""Section of one provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from multirouter.config.pydantic_types import DocumentedSection, Integer, Number
from multirouter.config.sections.policies import (
    BudgetsSection,
    CircuitSection,
    LimitsSection,
    PriceSection,
    TransformSection,
)
from multirouter.providers.transport.http import check_base_url

ProviderKind = Literal[
    "openai",
    "anthropic",
    "gemini",
    "echo",
    "deepseek",
    "glm",
    "kimi",
    "qwen",
    "mistral",
    "groq",
    "openrouter",
    "ollama",
    "vllm",
    "azure",
    "bedrock",
    "vertex",
]


class HealthCheckSection(DocumentedSection):
    """How a provider with a half-open circuit is tested; chat: by a short request to its model."""

    url: Annotated[str, AfterValidator(lambda url: check_base_url("url", url))] | None = None
    """Address of a GET request without a key; a status below 400 means healthy."""


HealthCheck = Annotated[
    HealthCheckSection,
    BeforeValidator(
        lambda value: {} if value == "chat" else value,
        json_schema_input_type=Literal["chat"] | HealthCheckSection,
    ),
]


class ProviderSection(DocumentedSection):
    """One provider. Omitted settings come from `policies` or are the service's defaults."""

    kind: ProviderKind | None = None
    """Wire format or service. Default: the provider's own name, if it is a kind."""
    model: str | None = Field(default=None, min_length=1)
    """Model of requests whose model is not one of `models`."""
    models: tuple[str, ...] = ()
    """Models that clients may request by name; `*` is a wildcard."""
    api_key: SecretStr | None = None
    """API key, preferably as ${NAME}. Default: the service's environment variable."""
    base_url: str | None = None
    """Base URL. Default: the service's."""
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    """Additional HTTP headers of each request."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Additional fields of each request, in the provider's own format."""
    weight: Number = 1.0
    """Share of a weighted tier; 0: only if no other provider of the tier is available."""
    attempt_timeout: Number | None = None
    """Maximum duration of one attempt, seconds."""
    first_token: Number | None = None
    """Maximum time to the first content of a stream, seconds."""
    idle: Number | None = None
    """Maximum time between two chunks of a stream, seconds."""
    retries: Integer | None = None
    """Retries after a failure before the next provider. Default: those of the route."""
    backoff: Number | None = None
    """Longest first wait before such a retry, seconds. Default: that of the retry policy."""
    circuit: CircuitSection | None = None
    """Circuit breaker settings that differ from the policies."""
    limits: LimitsSection | None = None
    """Concurrency and rate limits."""
    price: PriceSection | None = None
    """Price of all its models, USD per million tokens. Default: those of its models in `prices`."""
    budget: BudgetsSection = ()
    """Spending limits, one budget or several with different periods; requires a price."""
    domains: tuple[str, ...] = ()
    """Failure domains that it shares with other providers (a service, a region)."""
    tags: tuple[str, ...] = ()
    """Tags by which routes select it (tag:cheap)."""
    capabilities: tuple[str, ...] = ()
    """Capabilities of its model; prefill: it continues a trailing assistant message."""
    context_window: Integer | None = None
    """Context window of its model, tokens."""
    max_output: Integer | None = None
    """Maximum length of one answer, tokens."""
    quality: Number | None = None
    """Quality of its answers on a scale of your own; `auto-best` prefers the highest."""
    max_tokens: Integer | None = None
    """Anthropic: max_tokens of requests without it."""
    thinking: Literal["adaptive", "budget"] | None = None
    """Anthropic: how reasoning_effort is translated; budget for older models."""
    drops: tuple[str, ...] | None = None
    """Anthropic: request fields that this model rejects; they are left out."""
    version: str | None = None
    """Gemini: version of the API."""
    quirks: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """What models take of a request, by name or pattern, where the built-in table is wrong."""
    api: Literal["auto", "chat", "responses"] | None = None
    """OpenAI and compatible services: the API of chats; auto by default."""
    transform: TransformSection | None = None
    """Changes of requests to this provider, after those of the route."""
    health_check: HealthCheck | None = None
    """How it is tested when its circuit is half-open: `chat`, a short request; or an address."""
    region: str | None = Field(default=None, min_length=1)
    """Region, a failure domain of all providers there. Bedrock, Vertex: it is in the address."""
    api_version: str | None = Field(default=None, min_length=1)
    """Azure: version of the API with deployments in its addresses. Default: the API v1."""
    project: str | None = Field(default=None, min_length=1)
    """Vertex: the project. Default: GOOGLE_CLOUD_PROJECT."""
    profile: str | None = Field(default=None, min_length=1)
    """Bedrock: profile of the shared AWS files."""
