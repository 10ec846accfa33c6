"""multirouter: one call, several AI providers, and nothing lost when one of them dies."""

from multirouter.core.budgets import Budget
from multirouter.core.cost import Price
from multirouter.core.events import Listener
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
from multirouter.router import MultiProviderRouter
from multirouter.streaming import Restarted, Stream

__all__ = [
    "RULES",
    "AllProvidersFailed",
    "AttemptRecord",
    "AttemptTimeout",
    "Budget",
    "CallFailed",
    "CallOutcome",
    "CallTimeout",
    "CircuitPolicy",
    "ConfigurationError",
    "Effect",
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
    "Restarted",
    "RetryPolicy",
    "Route",
    "Rule",
    "Same",
    "State",
    "Stream",
    "StreamInterrupted",
    "StreamPolicy",
    "Usage",
    "UsageError",
    "Verdict",
]
