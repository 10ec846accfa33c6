"""Settings of a router that may change while it runs; checked as in its constructor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.cost.budget import as_budgets
from multirouter.core.routes.resolved_route import Defaults
from multirouter.core.settings.failure_rules import rules_with
from multirouter.core.settings.policies import (
    CALL_TIMEOUT,
    UNSUPPORTED_POLICIES,
    CircuitPolicy,
    HealthPolicy,
    HedgePolicy,
    LatencyPolicy,
    RetryPolicy,
)
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError

SettingReader = Callable[[Any], Any]
"""Checks one setting and fills in its default for None."""


def _timeout(value: Any) -> Any:
    return check.duration("timeout", CALL_TIMEOUT if value is None else value, allow_inf=True)


def _attempt_timeout(value: Any) -> Any:
    return None if value is None else check.duration("attempt_timeout", value, allow_inf=True)


def _unsupported(value: Any) -> Any:
    if value is None:
        return "pass_over"
    check.one_of("unsupported", value, UNSUPPORTED_POLICIES)
    return value


def _policy(name: str, kind: type[Any], default: Callable[[], Any] = lambda: None) -> SettingReader:
    return lambda value: check.instance(name, value, kind) or default()


SETTINGS: Mapping[str, SettingReader] = MappingProxyType(
    {
        "timeout": _timeout,
        "attempt_timeout": _attempt_timeout,
        "retry": _policy("retry", RetryPolicy, RetryPolicy),
        "circuit": _policy("circuit", CircuitPolicy, CircuitPolicy),
        "latency": _policy("latency", LatencyPolicy, LatencyPolicy),
        "health": _policy("health", HealthPolicy, HealthPolicy),
        "hedge": _policy("hedge", HedgePolicy),
        "stream": _policy("stream", StreamPolicy, StreamPolicy),
        "rules": lambda value: rules_with({} if value is None else value),
        "accept": lambda value: hooks.accept_function("accept", value),
        "fallback": lambda value: hooks.fallback_function("fallback", value),
        "panic": lambda value: None if value is None else check.share("panic", value),
        "budget": lambda value: as_budgets("budget", value),
        "shadow": _policy("shadow", Shadow),
        "unsupported": _unsupported,
        "requires": lambda value: hooks.plain_function("requires", value, "request", iterable=True),
        "size": lambda value: hooks.plain_function("size", value, "request"),
    }
)
"""The reader of each setting, by name; None resets a setting to its default."""


def with_changes(defaults: Defaults, settings: Mapping[str, Any]) -> Defaults:
    """Returns the settings of a router with some of them replaced.

    Args:
        defaults: the settings so far.
        settings: new values by name, as for `MultiProviderRouter`; None resets one.

    Raises:
        ConfigurationError: a value is invalid, or a setting is unknown or cannot change.
    """
    for name in settings.keys() - SETTINGS:
        known = check.suggestion(name, SETTINGS)
        raise ConfigurationError("reconfigure", f"unknown setting {known}")
    return defaults._replace(**checked_settings(**settings))


def checked_settings(**settings: Any) -> dict[str, Any]:
    """Returns settings of a router, checked and with defaults for None.

    Raises:
        ConfigurationError: a value is invalid.
    """
    return {name: SETTINGS[name](value) for name, value in settings.items()}
