"""multirouter: asyncio router over several AI providers, with circuit breakers and failover."""

from typing import TYPE_CHECKING

from multirouter.core.circuit.states import CircuitState
from multirouter.core.client_key import client_key
from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price
from multirouter.core.events import AlarmChanged
from multirouter.core.limits.header_reports import report_headers
from multirouter.core.listener import Listener
from multirouter.core.registry.route_selection import by_length, priorities
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.conversation_key import conversation, conversation_key
from multirouter.core.selection.eligibility import chat_requires
from multirouter.core.selection.sticky import Sticky
from multirouter.core.selection.strategies import Balanced
from multirouter.core.selection.weighted import SelectionContext, Strategy
from multirouter.core.settings.article_names import CLASSES as _CLASS_NAMES
from multirouter.core.settings.failure_rules import RULES, CircuitEffect, Failover, Retry, Rule
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.core.settings.provider import Provider, ProviderSettings
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.core.settings.wait_policy import WaitPolicy
from multirouter.core.sharing.quorum import Quorum
from multirouter.errors import (
    AllProvidersFailed,
    AttemptTimeout,
    CallFailed,
    CallTimeout,
    ConfigurationError,
    MultirouterError,
    NoProviderAvailable,
    OperationMissing,
    ProviderError,
    RequestUnsupported,
    StreamInterrupted,
    UsageError,
)
from multirouter.model import AttemptRecord, CallOutcome, FailureKind, Usage, Verdict
from multirouter.pickling import UnpicklableError
from multirouter.router import MultiProviderRouter
from multirouter.schema_validation import json_schema

if TYPE_CHECKING:
    from multirouter.gateway.embedded.console_server import ConsoleServer
    from multirouter.listeners.alarms.alarms import AlarmReading, AlarmRule, Alarms
    from multirouter.listeners.alarms.cost_rules import CostPerHour, CostUnusual
    from multirouter.listeners.alarms.rules import (
        AllOpen,
        CircuitOpen,
        FailoverShare,
        FallbackShare,
        ProviderFailing,
    )
    from multirouter.listeners.alarms.webhook import Webhook
    from multirouter.listeners.history.history import History
    from multirouter.published_prices import known_prices
    from multirouter.runtime.streams.stream import Stream, StreamRestarted
    from multirouter.sharing.redis_sharing import RedisSharing
    from multirouter.telemetry.opentelemetry import OpenTelemetry
    from multirouter.token_counting import counted_tokens

__all__ = [
    "RULES",
    "AlarmChanged",
    "AlarmReading",
    "AlarmRule",
    "Alarms",
    "AllOpen",
    "AllProvidersFailed",
    "AttemptRecord",
    "AttemptTimeout",
    "Balanced",
    "Budget",
    "CallFailed",
    "CallOutcome",
    "CallTimeout",
    "Candidate",
    "Chain",
    "CircuitEffect",
    "CircuitOpen",
    "CircuitPolicy",
    "CircuitState",
    "ConfigurationError",
    "ConsoleServer",
    "CostPerHour",
    "CostUnusual",
    "Failover",
    "FailoverShare",
    "FailureKind",
    "FallbackShare",
    "HealthPolicy",
    "HedgePolicy",
    "History",
    "LatencyPolicy",
    "LimitPolicy",
    "Listener",
    "MultiProviderRouter",
    "MultirouterError",
    "NoProviderAvailable",
    "OpenTelemetry",
    "Operation",
    "OperationMissing",
    "Price",
    "Provider",
    "ProviderError",
    "ProviderFailing",
    "ProviderSettings",
    "Quorum",
    "RedisSharing",
    "RequestUnsupported",
    "Retry",
    "RetryPolicy",
    "Route",
    "Rule",
    "SelectionContext",
    "Shadow",
    "Sticky",
    "Strategy",
    "Stream",
    "StreamInterrupted",
    "StreamPolicy",
    "StreamRestarted",
    "Target",
    "UnpicklableError",
    "Usage",
    "UsageError",
    "Verdict",
    "WaitPolicy",
    "Webhook",
    "by_length",
    "chat_requires",
    "client_key",
    "conversation",
    "conversation_key",
    "counted_tokens",
    "json_schema",
    "known_prices",
    "priorities",
    "report_headers",
]

# Optional parts are imported when they are first used.
_LAZY_MODULES = {
    "multirouter.listeners.alarms.rules": (
        "AllOpen",
        "CircuitOpen",
        "FailoverShare",
        "FallbackShare",
        "ProviderFailing",
    ),
    "multirouter.listeners.alarms.alarms": ("AlarmReading", "AlarmRule", "Alarms"),
    "multirouter.listeners.alarms.cost_rules": ("CostPerHour", "CostUnusual"),
    "multirouter.listeners.history.history": ("History",),
    "multirouter.gateway.embedded.console_server": ("ConsoleServer",),
    "multirouter.telemetry.opentelemetry": ("OpenTelemetry",),
    "multirouter.listeners.alarms.webhook": ("Webhook",),
    "multirouter.runtime.streams.stream": ("StreamRestarted", "Stream"),
    "multirouter.sharing.redis_sharing": ("RedisSharing",),
    "multirouter.published_prices": ("known_prices",),
    "multirouter.token_counting": ("counted_tokens",),
}
_MODULE_OF = {name: module for module, names in _LAZY_MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _CLASS_NAMES:  # not AttributeError, whose text `from multirouter import` would drop
        raise ImportError(f"multirouter has no {name}: use {_CLASS_NAMES[name]}", name=__name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
