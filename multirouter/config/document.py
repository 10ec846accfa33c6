"""The shape of a configuration file: every section, every setting, and what each is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field, SecretStr

from multirouter.config.pydantic_types import Described, Number, Told, Whole
from multirouter.core.cost.budgets import Budget
from multirouter.core.cost.price import Price
from multirouter.core.cost.usage import estimated_tokens
from multirouter.core.settings.failure_rules import Rule
from multirouter.core.settings.policies import (
    CALL_TIMEOUT,
    CircuitPolicy,
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
from multirouter.listeners.history.history import KEPT
from multirouter.model import FailureKind

T = TypeVar("T")

Again: TypeAlias = Callable[[], T]
"""Makes one more object: rules of alarms remember, so each router wants its own."""

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

CONTINUE: Mapping[str, OnInterrupt] = {"on_interrupt": "continue"}
"""What streams do here unless told otherwise: clients behind a gateway cannot mend them."""

RetrySection = Annotated[RetryPolicy, Told()]
CircuitSection = Annotated[CircuitPolicy, Told()]
LatencySection = Annotated[LatencyPolicy, Told()]
HedgeSection = Annotated[HedgePolicy, Told()]
LimitsSection = Annotated[LimitPolicy, Told(size=estimated_tokens)]
Streaming = Annotated[
    StreamPolicy, Told("content", "text", "complete", "resume", otherwise=CONTINUE)
]
Pricing = Annotated[Price, Told()]
Spending = Annotated[Budget, Told("zone")]


def _listed(given: Any) -> Any:
    """One thing may stand for a list of one."""
    return [given] if isinstance(given, str | dict) else given


Tier = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
BudgetsSection = Annotated[
    tuple[Spending, ...],
    BeforeValidator(_listed, json_schema_input_type=Spending | list[Spending]),
]
Copies = Annotated[Shadow, Told("compare")]
StrategyName = Literal[
    "weighted",
    "in_order",
    "least_in_flight",
    "fastest",
    "cheapest",
    "highest_quality",
    "balanced",
]
RulesSection = Mapping[FailureKind, Annotated[Rule, Told()]]


class ProviderSection(Described):
    """One provider. What is left out is inherited from `policies`, or is the service's own."""

    kind: ProviderKind | None = None
    """What it speaks, or a service by name. Left out: the provider's own name, if it is a kind."""
    model: str | None = Field(default=None, min_length=1)
    """The model it is asked for when the client names none of `models`."""
    models: tuple[str, ...] = ()
    """Models that clients may ask it for by their own names; `*` stands for any letters."""
    api_key: SecretStr | None = None
    """The key, best as ${NAME}. Left out: the service's own environment variable."""
    base_url: str | None = None
    """Another address than the service's own."""
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    """Sent with each request."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Fields put into each request, in the provider's own format."""
    weight: Number = 1.0
    """Its share of a weighted tier; 0: only when nobody else of its tier can."""
    attempt_timeout: Number | None = None
    """The longest one attempt may take, seconds."""
    first_token: Number | None = None
    """The longest a stream may take to its first content, seconds."""
    idle: Number | None = None
    """The longest a stream may rest between two chunks, seconds."""
    circuit: CircuitSection | None = None
    """When it is taken out and tested, where it differs from the policies."""
    limits: LimitsSection | None = None
    """How much load it gets."""
    price: Pricing | None = None
    """What it charges, USD per million tokens. Left out: that of its model in `prices`."""
    budget: BudgetsSection = ()
    """What may be spent on it, one budget or several of unlike periods; needs a price."""
    domains: tuple[str, ...] = ()
    """What it fails together with (a service, a region)."""
    tags: tuple[str, ...] = ()
    """Names under which routes pick it (tag:cheap)."""
    capabilities: tuple[str, ...] = ()
    """What its model can do; prefill: it goes on from a trailing assistant message."""
    context_window: Whole | None = None
    """Tokens that fit into it."""
    max_output: Whole | None = None
    """The most tokens it writes in one answer."""
    quality: Number | None = None
    """How good its answers are, on a scale of your own; `auto-best` asks the highest."""
    max_tokens: Whole | None = None
    """Anthropic: sent when a request names none."""
    thinking: Literal["adaptive", "budget"] | None = None
    """Anthropic: how reasoning_effort is said; budget for older models."""
    drops: tuple[str, ...] | None = None
    """Anthropic: request fields that this model refuses."""
    version: str | None = None
    """Gemini: the version of its API."""


class RouteSection(Described):
    """One route: which providers serve a kind of work, in which order, under which rules."""

    tiers: tuple[Tier, ...] = Field(min_length=1)
    """Tried in order: a provider's name, a list of them (shares by weight), tag:... or a*."""
    strategy: StrategyName | tuple[StrategyName, ...] | None = None
    """How a tier chooses: one for all tiers, or a list with one for each."""
    models: tuple[str, ...] = ()
    """Names under which clients ask for it, beside its own; `*` stands for any letters."""
    timeout: Number | None = None
    """The whole call, seconds."""
    attempt_timeout: Number | None = None
    """One attempt, seconds; a provider's own comes first."""
    wait: Number | None = Field(default=None, ge=0, le=1e9)
    """How long a request may wait where room is known to come, seconds; 0: not at all."""
    retry: RetrySection | None = None
    """When and how often to ask again."""
    hedge: HedgeSection | None = None
    """When a second attempt starts beside a slow first one."""
    limits: LimitsSection | None = None
    """Limits of this route, on top of those of providers and router."""
    stream: Streaming | None = None
    """How long streams may take, how they must end, what happens when they break."""
    rules: RulesSection = Field(default_factory=dict)
    """What follows from a kind of failure, where it differs from the table in force."""
    retries_per_provider: Whole = 0
    """How often a failed provider is asked again before the next one."""
    weights: Mapping[str, Number] = Field(default_factory=dict)
    """Weights by provider that differ on this route."""
    on: tuple[FailureKind | Whole, ...] | None = None
    """The kinds of failure and HTTP statuses that fail over; left out, what the rules say."""
    budget: BudgetsSection = ()
    """What may be spent on this route."""
    shadow: Copies | None = None
    """Which of its calls are copied, and to whom, for comparison."""


class PoliciesSection(Described):
    """What holds wherever a route or a provider says nothing."""

    timeout: Number = CALL_TIMEOUT
    """The whole call, seconds."""
    attempt_timeout: Number | None = None
    """One attempt, seconds."""
    wait: Number = Field(default=1.0, ge=0, le=1e9)
    """How long a request may wait where room is known to come, seconds; 0: not at all."""
    retry: RetrySection | None = None
    """When and how often to ask again."""
    circuit: CircuitSection | None = None
    """When a provider is taken out, for how long, and how it is tested."""
    latency: LatencySection | None = None
    """When an attempt is cut off by the provider's own past, and when slow means ill."""
    hedge: HedgeSection | None = None
    """When a second attempt starts beside a slow first one; left out: never."""
    stream: Streaming | None = None
    """How long streams may take, how they must end, what happens when they break."""
    rules: RulesSection = Field(default_factory=dict)
    """What follows from a kind of failure, where it differs from the built-in table."""
    panic: Number | None = None
    """When less than this share of a tier is closed, circuits are ignored; left out: never."""


class KeysSection(Described):
    """The keys that clients of the gateway show."""

    file: str = Field(min_length=1)
    """Where `multirouter keys new` keeps them, hashed; from the configuration's folder."""


class HistorySection(Described):
    """A file that keeps what happened, and from which a new start learns."""

    file: str = Field(min_length=1)
    """An SQLite file; from the configuration's folder."""
    keep: Number = Field(default=KEPT, gt=0)
    """How long rows are kept, seconds."""


class AlarmsSection(Described):
    """What is watched, and who is told. Every alarm is a log event and a metric too."""

    webhooks: tuple[Annotated[Again[Webhook], Told("body", "wall", again=True)], ...] = ()
    """Who is told by a POST of JSON."""
    every: Number = Field(default=1.0, gt=0)
    """Seconds between two looks at what time alone changes."""
    provider_failing: Annotated[Again[ProviderFailing], Told("name", again=True)] | None = None
    """More than a share of a provider's attempts fail."""
    failover_share: Annotated[Again[FailoverShare], Told("name", again=True)] | None = None
    """More than a share of a route's calls had to move on."""
    circuit_open: Annotated[Again[CircuitOpen], Told("name", again=True)] | None = None
    """A circuit has not been closed for longer than a span."""
    all_open: Annotated[Again[AllOpen], Told("name", again=True)] | None = None
    """Nobody can be asked."""
    cost_per_hour: Annotated[Again[CostPerHour], Told("name", "cost", again=True)] | None = None
    """The last hour cost more than a sum."""
    cost_unusual: Annotated[Again[CostUnusual], Told("name", "cost", again=True)] | None = None
    """The last hour cost far more than hours usually do."""


class ServerSection(Described):
    """The gateway's own door."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """The address it listens on."""
    port: Whole = Field(default=8080, ge=0, le=65535)
    """The port; 0 takes a free one."""
    body_limit: Whole = Field(default=64 * 2**20, ge=1024)
    """The longest body of a request, bytes."""
    header_limit: Whole = Field(default=16 * 2**10, ge=1024)
    """The longest line, and the longest field, of a request's head, bytes."""
    read_timeout: Number = Field(default=30.0, gt=0, le=1e9)
    """How long a client may take to send its request, seconds."""
    keepalive: Number = Field(default=75.0, gt=0, le=1e9)
    """How long an idle connection is kept, seconds."""
    drain: Number = Field(default=30.0, ge=0, le=1e9)
    """How long streams may finish after SIGTERM, seconds."""
    cors_origins: tuple[str, ...] = ()
    """Origins of pages that may ask from a browser; `*` for all. Empty: none."""


class Document(Described):
    """A configuration of multirouter."""

    server: ServerSection = ServerSection()
    """The gateway's own door."""
    providers: Mapping[str, ProviderSection] = Field(min_length=1)
    """Who can be asked, by name."""
    routes: Mapping[str, RouteSection] = Field(default_factory=dict)
    """Which providers serve which model names; a route named default serves `auto`."""
    policies: PoliciesSection = PoliciesSection()
    """What holds wherever a route or a provider says nothing."""
    limits: LimitsSection | None = None
    """How much load all providers get together."""
    prices: Mapping[str, Pricing] = Field(default_factory=dict)
    """What models charge, USD per million tokens, for providers that name no price."""
    keys: KeysSection | None = None
    """The keys that clients show. Left out: no key is asked for."""
    budget: BudgetsSection = ()
    """What may be spent in all."""
    shadow: Copies | None = None
    """Which calls are copied, and to whom, for comparison."""
    alarms: AlarmsSection | None = None
    """What is watched, and who is told."""
    history: HistorySection | None = None
    """Where it is kept what happened, for reports and restarts."""
