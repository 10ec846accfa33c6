"""Policies as sections of a configuration file, made from their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from multirouter.config.pydantic_types import DocumentedSection, FromSettings, Integer
from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price
from multirouter.core.cost.usage import estimated_tokens
from multirouter.core.selection.sticky import Sticky
from multirouter.core.settings.failure_rules import Rule
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.model import FailureKind

CALL_TIMEOUT = 600.0
"""Default timeout of a call here, seconds: as long as the SDKs of OpenAI and Anthropic wait."""

ATTEMPT_TIMEOUT = 300.0
"""Longest default timeout of one attempt here, seconds. A reasoning model may be silent for minutes
before its first visible token, and a whole answer comes only when all of it was generated."""

STREAM_DEFAULTS: Mapping[str, Any] = {"on_interrupt": "continue", "idle": 120.0, "total": 3600.0}
"""Default stream settings here. Clients of a gateway cannot continue a stream themselves. Models
that hide their reasoning send nothing meanwhile, also between two parts of an answer."""

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
    "sticky",
]
StickySection = Annotated[Sticky, FromSettings("key")]
RulesSection = Mapping[FailureKind, Annotated[Rule, FromSettings()]]


class AnswerSection(DocumentedSection):
    """Which answers count as answers. Streams are not checked: they are delivered as they come."""

    non_empty: bool = False
    """Whether an answer needs text or a tool call."""
    response_format: bool = False
    """Whether an answer must meet the response_format that the client asked for."""
    json_schema: Mapping[str, Any] | None = Field(default=None, alias="schema")
    """JSON Schema that the content of every answer must match."""


class TransformSection(DocumentedSection):
    """Changes of a request before it is sent, in this order."""

    rename: Mapping[str, str] = Field(default_factory=dict)
    """Fields with other names: the client's name, then the name that is sent."""
    remove: tuple[str, ...] = ()
    """Fields that are left out."""
    set: Mapping[str, Any] = Field(default_factory=dict)
    """Fields with fixed values."""
    system: str | Mapping[str, str] | None = None
    """System prompt before the messages, or one by model name; `*` is a wildcard."""
    replace_system: bool = False
    """Whether the system prompt replaces those of the client."""


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
