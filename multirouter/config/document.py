"""Schema of a configuration file: all sections and settings with their descriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from multirouter.config.pydantic_types import DocumentedSection, FromSettings, Integer, Number
from multirouter.core.cost.budgets import Budget
from multirouter.core.cost.price import Price
from multirouter.core.cost.usage import estimated_tokens
from multirouter.core.settings.failure_rules import Rule
from multirouter.core.settings.policies import (
    CALL_TIMEOUT,
    CircuitPolicy,
    HealthPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import OnInterrupt, StreamPolicy
from multirouter.listeners.alarms.cost_rules import CostPerHour, CostUnusual
from multirouter.listeners.alarms.rules import AllOpen, CircuitOpen, FailoverShare, ProviderFailing
from multirouter.listeners.alarms.webhook import Webhook
from multirouter.listeners.history.history import RETENTION
from multirouter.model import FailureKind

T = TypeVar("T")

Factory: TypeAlias = Callable[[], T]
"""A function that makes a new object: alarm rules have state, so each router needs its own."""

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
]

STREAM_DEFAULTS: Mapping[str, OnInterrupt] = {"on_interrupt": "continue"}
"""Default stream settings here: clients behind a gateway cannot continue a stream themselves."""

RetrySection = Annotated[RetryPolicy, FromSettings()]
CircuitSection = Annotated[CircuitPolicy, FromSettings()]
LatencySection = Annotated[LatencyPolicy, FromSettings()]
HealthSection = Annotated[HealthPolicy, FromSettings()]
HedgeSection = Annotated[HedgePolicy, FromSettings()]
LimitsSection = Annotated[LimitPolicy, FromSettings(size=estimated_tokens)]
StreamSection = Annotated[
    StreamPolicy, FromSettings("content", "text", "complete", "resume", defaults=STREAM_DEFAULTS)
]
LongRequestPrice = Annotated[Price, FromSettings("above", name="LongRequestPrice")]
PriceSection = Annotated[
    Price, FromSettings(types={"above": Mapping[Integer, LongRequestPrice] | None})
]
BudgetSection = Annotated[Budget, FromSettings("zone")]


def _as_list(value: Any) -> Any:
    """Accepts a single value in place of a list of one."""
    return [value] if isinstance(value, str | dict) else value


Tier = Annotated[tuple[str, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
BudgetsSection = Annotated[
    tuple[BudgetSection, ...],
    BeforeValidator(_as_list, json_schema_input_type=BudgetSection | list[BudgetSection]),
]
ShadowSection = Annotated[Shadow, FromSettings("compare")]
StrategyName = Literal[
    "weighted",
    "in_order",
    "least_in_flight",
    "fastest",
    "cheapest",
    "highest_quality",
    "balanced",
]
RulesSection = Mapping[FailureKind, Annotated[Rule, FromSettings()]]


def _failure_selector(value: Any) -> Any:
    """Accepts a failure kind or an HTTP status, with one error for both."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isdecimal():
        return value
    if isinstance(value, str) and value in list(FailureKind):
        return FailureKind(value)
    kinds = ", ".join(FailureKind)
    raise PydanticCustomError(
        "failure_selector", "must be an HTTP status or one of {kinds}", {"kinds": kinds}
    )


FailureSelector = Annotated[
    FailureKind | Integer,
    BeforeValidator(_failure_selector, json_schema_input_type=FailureKind | Integer),
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


class RouteSection(DocumentedSection):
    """One route: its providers, their order, and its policies."""

    tiers: tuple[Tier, ...] = Field(min_length=1)
    """Tiers in order: a provider, a list of providers (shares by weight), tag:..., a*, route:..."""
    strategy: StrategyName | tuple[StrategyName, ...] | None = None
    """Selection strategy of all tiers, or a list with one per tier."""
    models: tuple[str, ...] = ()
    """Additional model names that select this route; `*` is a wildcard."""
    timeout: Number | None = None
    """Maximum duration of a call, seconds."""
    attempt_timeout: Number | None = None
    """Maximum duration of one attempt, seconds; a provider's own takes precedence."""
    wait: Number | None = Field(default=None, ge=0, le=1e9)
    """Maximum wait for a provider to become available, seconds; 0: no wait."""
    retry: RetrySection | None = None
    """Retries: number of attempts and backoff."""
    hedge: HedgeSection | None = None
    """When a second attempt starts in parallel to a slow first one."""
    limits: LimitsSection | None = None
    """Limits of this route, in addition to those of providers and router."""
    stream: StreamSection | None = None
    """Timeouts of streams, proof of completeness, behavior on interruption."""
    rules: RulesSection = Field(default_factory=dict)
    """Consequences of failure kinds that differ from the default table."""
    retries_per_provider: Integer = 0
    """Retries of a failed provider before the next one is attempted."""
    weights: Mapping[str, Number] = Field(default_factory=dict)
    """Weights by provider that differ on this route."""
    on: tuple[FailureSelector, ...] | None = None
    """Failure kinds and HTTP statuses that fail over. Default: as in the rules."""
    budget: BudgetsSection = ()
    """Spending limits of this route."""
    shadow: ShadowSection | None = None
    """Shadow traffic: which calls are copied to which providers for comparison."""


class PoliciesSection(DocumentedSection):
    """Defaults of all routes and providers."""

    timeout: Number = CALL_TIMEOUT
    """Maximum duration of a call, seconds."""
    attempt_timeout: Number | None = None
    """Maximum duration of one attempt, seconds."""
    wait: Number = Field(default=1.0, ge=0, le=1e9)
    """Maximum wait for a provider to become available, seconds; 0: no wait."""
    retry: RetrySection | None = None
    """Retries: number of attempts and backoff."""
    circuit: CircuitSection | None = None
    """Circuit breaker: when it opens, for how long, and how it recovers."""
    latency: LatencySection | None = None
    """Adaptive timeouts, and detection of slow providers as unhealthy."""
    health: HealthSection | None = None
    """When a provider counts as degraded, and is attempted after the others."""
    hedge: HedgeSection | None = None
    """When a second attempt starts in parallel to a slow first one. Default: never."""
    stream: StreamSection | None = None
    """Timeouts of streams, proof of completeness, behavior on interruption."""
    rules: RulesSection = Field(default_factory=dict)
    """Consequences of failure kinds that differ from the built-in table."""
    panic: Number | None = None
    """Share of closed circuits in a tier below which circuits are ignored. Default: never."""


class KeysSection(DocumentedSection):
    """API keys of the gateway's clients."""

    file: str = Field(min_length=1)
    """Key file of `multirouter keys`, with hashes; relative to the configuration's folder."""


class HistorySection(DocumentedSection):
    """A database of calls and events, from which a restart restores circuits and latencies."""

    file: str = Field(min_length=1)
    """SQLite file; relative to the configuration's folder."""
    retention: Number = Field(default=RETENTION, gt=0)
    """Age after which rows are deleted, seconds."""


class AlarmsSection(DocumentedSection):
    """Alarm rules and webhooks. Every alarm is a log event and a metric too."""

    webhooks: tuple[
        Annotated[Factory[Webhook], FromSettings("body", "wall", as_factory=True)], ...
    ] = ()
    """Webhooks that receive alarms as a POST of JSON."""
    interval: Number = Field(default=1.0, gt=0)
    """Seconds between two evaluations of the rules that depend on time."""
    provider_failing: (
        Annotated[Factory[ProviderFailing], FromSettings("name", as_factory=True)] | None
    ) = None
    """The share of a provider's failed attempts exceeds a threshold."""
    failover_share: (
        Annotated[Factory[FailoverShare], FromSettings("name", as_factory=True)] | None
    ) = None
    """The share of a route's calls that its first choice did not answer exceeds a threshold."""
    circuit_open: Annotated[Factory[CircuitOpen], FromSettings("name", as_factory=True)] | None = (
        None
    )
    """A circuit has not been closed for longer than a threshold."""
    all_open: Annotated[Factory[AllOpen], FromSettings("name", as_factory=True)] | None = None
    """No provider is available."""
    cost_per_hour: (
        Annotated[Factory[CostPerHour], FromSettings("name", "cost", as_factory=True)] | None
    ) = None
    """The cost of the last hour exceeds a threshold."""
    cost_unusual: (
        Annotated[Factory[CostUnusual], FromSettings("name", "cost", as_factory=True)] | None
    ) = None
    """The cost of the last hour is far above the usual cost of an hour."""


class ServerSection(DocumentedSection):
    """The gateway's HTTP server."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on."""
    port: Integer = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    max_body_size: Integer = Field(default=64 * 2**20, ge=1024)
    """Maximum size of a request body, bytes."""
    max_header_size: Integer = Field(default=16 * 2**10, ge=1024)
    """Maximum size of a line and of a field of a request's head, bytes."""
    read_timeout: Number = Field(default=30.0, gt=0, le=1e9)
    """Maximum time to receive a request, seconds."""
    keepalive_timeout: Number = Field(default=75.0, gt=0, le=1e9)
    """Time after which an idle connection is closed, seconds."""
    drain_timeout: Number = Field(default=30.0, ge=0, le=1e9)
    """Time for requests in flight to finish after SIGTERM, seconds."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose web pages may send requests; `*` for all. Default: none."""


class Document(DocumentedSection):
    """Configuration of multirouter."""

    server: ServerSection = ServerSection()
    """The gateway's HTTP server."""
    providers: Mapping[str, ProviderSection] = Field(min_length=1)
    """Providers by name."""
    routes: Mapping[str, RouteSection] = Field(default_factory=dict)
    """Routes by name; the route named default serves `auto`."""
    policies: PoliciesSection = PoliciesSection()
    """Defaults of all routes and providers."""
    limits: LimitsSection | None = None
    """Limits of all providers together."""
    prices: Mapping[str, PriceSection] = Field(default_factory=dict)
    """Prices by model, USD per million tokens, for providers without a price; `*` is a wildcard,
    and `provider/model` is for one provider."""
    known_prices: bool = False
    """Whether models without a price have the published one; requires the extra `prices`."""
    keys: KeysSection | None = None
    """API keys of clients. Default: no key is required."""
    budget: BudgetsSection = ()
    """Spending limits of all calls together."""
    shadow: ShadowSection | None = None
    """Shadow traffic: which calls are copied to which providers for comparison."""
    alarms: AlarmsSection | None = None
    """Alarm rules and webhooks."""
    history: HistorySection | None = None
    """Database of calls and events, for reports and restarts."""
