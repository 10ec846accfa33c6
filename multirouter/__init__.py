"""multirouter: one call, several AI providers, and nothing lost when one of them dies."""

from multirouter.core.budgets import Budget
from multirouter.core.cost import Price
from multirouter.core.events import AlarmChanged, Listener
from multirouter.core.model import AttemptRecord, CallOutcome, Kind, Verdict
from multirouter.core.policies import (
    CircuitPolicy,
    HedgePolicy,
    LimitPolicy,
    PacePolicy,
    RetryPolicy,
)
from multirouter.core.provider import Provider
from multirouter.core.routes import Route
from multirouter.core.rules import RULES, Effect, Other, Rule, Same
from multirouter.core.shadow import Shadow
from multirouter.core.states import State
from multirouter.core.stream_policy import StreamPolicy
from multirouter.core.usage import Usage
from multirouter.errors import (
    AllProvidersFailed,
    AttemptTimeout,
    CallFailed,
    CallTimeout,
    ConfigurationError,
    MultirouterError,
    NoProviderAvailable,
    ProviderError,
    StreamInterrupted,
    UsageError,
)
from multirouter.listeners.alarm_rules import (
    AllOpen,
    CircuitOpen,
    FailoverShare,
    FallbackShare,
    ProviderFailing,
)
from multirouter.listeners.alarms import AlarmReading, AlarmRule, Alarms
from multirouter.listeners.cost_alarms import CostPerHour, CostUnusual
from multirouter.listeners.webhook import Webhook
from multirouter.router import MultiProviderRouter
from multirouter.streaming import Restarted, Stream

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
    "Budget",
    "CallFailed",
    "CallOutcome",
    "CallTimeout",
    "CircuitOpen",
    "CircuitPolicy",
    "ConfigurationError",
    "CostPerHour",
    "CostUnusual",
    "Effect",
    "FailoverShare",
    "FallbackShare",
    "HedgePolicy",
    "Kind",
    "LimitPolicy",
    "Listener",
    "MultiProviderRouter",
    "MultirouterError",
    "NoProviderAvailable",
    "Other",
    "PacePolicy",
    "Price",
    "Provider",
    "ProviderError",
    "ProviderFailing",
    "Restarted",
    "RetryPolicy",
    "Route",
    "Rule",
    "Same",
    "Shadow",
    "State",
    "Stream",
    "StreamInterrupted",
    "StreamPolicy",
    "Usage",
    "UsageError",
    "Verdict",
    "Webhook",
]
