"""multirouter: one call, several AI providers, and nothing lost when one of them dies."""

from typing import TYPE_CHECKING

from multirouter.core.budgets import Budget
from multirouter.core.cost import Price
from multirouter.core.dispatch import by_length, priorities
from multirouter.core.draw import Asking, Strategy
from multirouter.core.events import AlarmChanged, Listener
from multirouter.core.fit import chat_requires
from multirouter.core.model import AttemptRecord, CallOutcome, Kind, Verdict
from multirouter.core.policies import (
    CircuitPolicy,
    HedgePolicy,
    LimitPolicy,
    PacePolicy,
    RetryPolicy,
)
from multirouter.core.provider import Provider, ProviderSettings
from multirouter.core.routes import Route
from multirouter.core.rules import RULES, Effect, Other, Rule, Same
from multirouter.core.selection import Member
from multirouter.core.shadow import Shadow
from multirouter.core.states import State
from multirouter.core.sticky import Sticky
from multirouter.core.strategies import Balanced
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
from multirouter.schemas import json_schema

if TYPE_CHECKING:
    from multirouter.listeners.alarm_rules import (
        AllOpen,
        CircuitOpen,
        FailoverShare,
        FallbackShare,
        ProviderFailing,
    )
    from multirouter.listeners.alarms import AlarmReading, AlarmRule, Alarms
    from multirouter.listeners.cost_alarms import CostPerHour, CostUnusual
    from multirouter.listeners.history import History
    from multirouter.listeners.webhook import Webhook
    from multirouter.streaming import Restarted, Stream
    from multirouter.tokens import counted_tokens

__all__ = [
    "RULES",
    "AlarmChanged",
    "AlarmReading",
    "AlarmRule",
    "Alarms",
    "AllOpen",
    "AllProvidersFailed",
    "Asking",
    "AttemptRecord",
    "AttemptTimeout",
    "Balanced",
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
    "History",
    "Kind",
    "LimitPolicy",
    "Listener",
    "Member",
    "MultiProviderRouter",
    "MultirouterError",
    "NoProviderAvailable",
    "Other",
    "PacePolicy",
    "Price",
    "Provider",
    "ProviderError",
    "ProviderFailing",
    "ProviderSettings",
    "Restarted",
    "RetryPolicy",
    "Route",
    "Rule",
    "Same",
    "Shadow",
    "State",
    "Sticky",
    "Strategy",
    "Stream",
    "StreamInterrupted",
    "StreamPolicy",
    "Usage",
    "UsageError",
    "Verdict",
    "Webhook",
    "by_length",
    "chat_requires",
    "counted_tokens",
    "json_schema",
    "priorities",
]

# What a program may do without is loaded when it first asks for it.
_ROOMS = {
    "multirouter.listeners.alarm_rules": (
        "AllOpen",
        "CircuitOpen",
        "FailoverShare",
        "FallbackShare",
        "ProviderFailing",
    ),
    "multirouter.listeners.alarms": ("AlarmReading", "AlarmRule", "Alarms"),
    "multirouter.listeners.cost_alarms": ("CostPerHour", "CostUnusual"),
    "multirouter.listeners.history": ("History",),
    "multirouter.listeners.webhook": ("Webhook",),
    "multirouter.streaming": ("Restarted", "Stream"),
    "multirouter.tokens": ("counted_tokens",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_ROOM_OF[name]), name)
    globals()[name] = found  # the next time nobody asks here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
