"""Settings that may change while the router runs: checked as in its constructor."""

from __future__ import annotations

import math
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, MultiProviderRouter, RetryPolicy
from multirouter.core.registry.updates import SETTINGS, with_changes
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import CircuitPolicy, LatencyPolicy
from multirouter.core.settings.stream_policy import StreamPolicy

DEFAULTS = MultiProviderRouter(registry=CollectorRegistry())._defaults


def test_none_resets_every_setting() -> None:
    """None means the same as leaving a setting out."""
    other = with_changes(
        DEFAULTS, {"timeout": 3, "attempt_timeout": math.inf, "panic": 0.5, "fallback": "sorry",
               "retry": RetryPolicy(attempts=9), "accept": bool}
    )  # fmt: skip
    assert (other.timeout, other.attempt_timeout, other.panic) == (3, math.inf, 0.5)
    assert (other.fallback, other.retry.attempts, other.accept) == ("sorry", 9, bool)
    assert with_changes(other, dict.fromkeys(SETTINGS)) == DEFAULTS
    assert (DEFAULTS.retry, DEFAULTS.circuit) == (RetryPolicy(), CircuitPolicy())
    assert (DEFAULTS.latency, DEFAULTS.stream, DEFAULTS.rules) == (
        LatencyPolicy(),
        StreamPolicy(),
        RULES,
    )


@pytest.mark.parametrize(
    ("setting", "invalid"),
    [
        ("retry", 3),
        ("circuit", 2),
        ("latency", 1),
        ("hedge", True),
        ("stream", {}),
        ("shadow", "backup"),
        ("accept", 3),
        ("rules", 7),
        ("limits", 5),
        ("usage", 3),
        ("classify", "kind"),
        ("rng", 4),
    ],
)
def test_invalid_policies_are_named(setting: str, invalid: Any) -> None:
    """In the constructor and in `reconfigure` an object of the wrong type raises at once."""
    with pytest.raises(ConfigurationError, match=f"^{setting}: must be "):
        MultiProviderRouter(registry=CollectorRegistry(), **{setting: invalid})
    if setting in SETTINGS or setting == "limits":
        router = MultiProviderRouter[str, str](registry=CollectorRegistry())
        with pytest.raises(ConfigurationError, match=f"^{setting}: must be "):
            router.reconfigure([], **{setting: invalid})


def test_no_settings_change_nothing() -> None:
    """The defaults come back equal."""
    assert with_changes(DEFAULTS, {}) == DEFAULTS


def test_unknown_setting_has_a_suggestion() -> None:
    """A misspelt setting raises with the closest name."""
    with pytest.raises(ConfigurationError, match="'timeuot'; did you mean 'timeout'"):
        with_changes(DEFAULTS, {"timeuot": 3})
