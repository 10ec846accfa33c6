"""The settings of a router that may change under way: each checked as at its birth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from multirouter.core import validation as check
from multirouter.core.budgets import budgets
from multirouter.core.compiled import Defaults
from multirouter.core.policies import CALL_TIMEOUT, CircuitPolicy, PacePolicy, RetryPolicy
from multirouter.core.rules import rules_with
from multirouter.core.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError


def _timeout(value: Any) -> Any:
    return check.span("timeout", CALL_TIMEOUT if value is None else value, endless=True)


def _attempt_timeout(value: Any) -> Any:
    return None if value is None else check.span("attempt_timeout", value, endless=True)


def _as_it_is(value: Any) -> Any:
    return value


CHANGES: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "timeout": _timeout,
        "attempt_timeout": _attempt_timeout,
        "retry": lambda value: value or RetryPolicy(),
        "circuit": lambda value: value or CircuitPolicy(),
        "pace": lambda value: value or PacePolicy(),
        "hedge": _as_it_is,
        "stream": lambda value: value or StreamPolicy(),
        "rules": lambda value: rules_with(value or {}),
        "accept": _as_it_is,
        "fallback": _as_it_is,
        "panic": lambda value: None if value is None else check.share("panic", value),
        "budget": lambda value: budgets("budget", value),
        "shadow": _as_it_is,
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
    return replace(defaults, **{name: CHANGES[name](value) for name, value in settings.items()})
