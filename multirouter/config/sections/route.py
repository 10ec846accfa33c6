"""Sections of routes and of the policies that they inherit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from multirouter.config.pydantic_types import DocumentedSection, Integer, Number
from multirouter.config.sections.policies import (
    CALL_TIMEOUT,
    AnswerSection,
    BudgetsSection,
    CircuitSection,
    FailureSelector,
    HealthSection,
    HedgeSection,
    LatencySection,
    LimitsSection,
    RetrySection,
    RulesSection,
    ShadowSection,
    StickySection,
    StrategyName,
    StreamSection,
    Tier,
    TransformSection,
)
from multirouter.core.settings.policies import (
    UnsupportedPolicy,
)


class RouteSection(DocumentedSection):
    """One route: its providers, their order, and its policies."""

    tiers: tuple[Tier, ...] = Field(min_length=1)
    """Tiers in order: a provider, a list of providers (shares by weight), tag:..., a*, route:..."""
    strategy: StrategyName | tuple[StrategyName, ...] | None = None
    """Selection strategy of all tiers, or a list with one per tier."""
    sticky: StickySection | None = None
    """Settings of the strategy `sticky`: when conversations return and move. Default: its own."""
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
    accept: AnswerSection | None = None
    """Which answers count; a rejected one is a failure, and the next provider is attempted."""
    fallback: str | None = Field(default=None, min_length=1)
    """Text of the answer when no provider answered; streams end with the error."""
    requires: Literal["chat"] | None = None
    """chat: requests go to providers with the capabilities that they need (vision, tools ...)."""
    size: Literal["counted"] | None = None
    """How sizes are compared with context windows: counted by a tokenizer. Default: estimated."""
    transform: TransformSection | None = None
    """Changes of requests on this route, before those of the provider."""
    unsupported: UnsupportedPolicy | None = None
    """Requests that a provider cannot express: pass_over it, drop the field, or reject."""


class PoliciesSection(DocumentedSection):
    """Defaults of all routes and providers."""

    timeout: Number = CALL_TIMEOUT
    """Maximum duration of a call, seconds; of a stream, until its first content."""
    attempt_timeout: Number | None = None
    """Maximum duration of one attempt, seconds. Default: 300, or half of a shorter timeout."""
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
    accept: AnswerSection | None = None
    """Which answers count; a rejected one is a failure, and the next provider is attempted."""
    fallback: str | None = Field(default=None, min_length=1)
    """Text of the answer when no provider answered; streams end with the error."""
    requires: Literal["chat"] | None = None
    """chat: requests go to providers with the capabilities that they need (vision, tools ...)."""
    size: Literal["counted"] | None = None
    """How sizes are compared with context windows: counted by a tokenizer. Default: estimated."""
    unsupported: UnsupportedPolicy = "pass_over"
    """Requests that a provider cannot express: pass_over it, drop the field, or reject."""
