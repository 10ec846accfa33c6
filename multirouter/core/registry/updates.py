"""The settings of a router that may change under way: each checked as at its birth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from multirouter.core import validation as check
from multirouter.core.cost.budgets import budgets
from multirouter.core.routes.resolved_route import Defaults
from multirouter.core.settings.failure_rules import rules_with
from multirouter.core.settings.policies import (
    CALL_TIMEOUT,
    CircuitPolicy,
    HedgePolicy,
    LatencyPolicy,
    RetryPolicy,
)
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError

Reading = Callable[[Any], Any]
"""How one setting is read."""


def _timeout(value: Any) -> Any:
    return check.span("timeout", CALL_TIMEOUT if value is None else value, endless=True)


def _attempt_timeout(value: Any) -> Any:
    return None if value is None else check.span("attempt_timeout", value, endless=True)


def _policy(name: str, kind: type[Any], default: Callable[[], Any] = lambda: None) -> Reading:
    return lambda value: check.instance(name, value, kind) or default()


CHANGES: Mapping[str, Reading] = MappingProxyType(
    {
        "timeout": _timeout,
        "attempt_timeout": _attempt_timeout,
        "retry": _policy("retry", RetryPolicy, RetryPolicy),
        "circuit": _policy("circuit", CircuitPolicy, CircuitPolicy),
        "latency": _policy("latency", LatencyPolicy, LatencyPolicy),
        "hedge": _policy("hedge", HedgePolicy),
        "stream": _policy("stream", StreamPolicy, StreamPolicy),
        "rules": lambda value: rules_with({} if value is None else value),
        "accept": lambda value: check.judge("accept", value),
        "fallback": lambda value: value,
        "panic": lambda value: None if value is None else check.share("panic", value),
        "budget": lambda value: budgets("budget", value),
        "shadow": _policy("shadow", Shadow),
    }
)
"""How each setting is read; None stands for what holds when it is left out."""


def changed(defaults: Defaults, settings: Mapping[str, Any]) -> Defaults:
    """The settings of a router with some of them replaced.

    Args:
        defaults: as they are.
        settings: new values by name, as for `MultiProviderRouter`; None resets one.

    Raises:
        ConfigurationError: for a value that is refused, or what cannot change under way.
    """
    for name in settings.keys() - CHANGES:
        raise ConfigurationError("reconfigure", f"no such setting {check.near(name, CHANGES)}")
    return defaults._replace(**settled(**settings))


def settled(**settings: Any) -> dict[str, Any]:
    """Settings of a router as they hold, each checked; None stands for what is left out.

    Raises:
        ConfigurationError: for a value that is refused.
    """
    return {name: CHANGES[name](value) for name, value in settings.items()}
