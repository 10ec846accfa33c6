"""Settings that may change under way: each read as at the router's birth."""

from __future__ import annotations

import math
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, MultiProviderRouter, RetryPolicy
from multirouter.core.registry.updates import CHANGES, changed
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import CircuitPolicy, LatencyPolicy
from multirouter.core.settings.stream_policy import StreamPolicy

BORN = MultiProviderRouter(registry=CollectorRegistry())._defaults


def test_none_resets_every_setting() -> None:
    """What is given as None is what holds when it is left out."""
    other = changed(
        BORN, {"timeout": 3, "attempt_timeout": math.inf, "panic": 0.5, "fallback": "sorry",
               "retry": RetryPolicy(attempts=9), "accept": bool}
    )  # fmt: skip
    assert (other.timeout, other.attempt_timeout, other.panic) == (3, math.inf, 0.5)
    assert (other.fallback, other.retry.attempts, other.accept) == ("sorry", 9, bool)
    assert changed(other, dict.fromkeys(CHANGES)) == BORN
    assert (BORN.retry, BORN.circuit) == (RetryPolicy(), CircuitPolicy())
    assert (BORN.latency, BORN.stream, BORN.rules) == (LatencyPolicy(), StreamPolicy(), RULES)


@pytest.mark.parametrize(
    ("setting", "wrong"),
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
def test_what_is_no_policy_is_refused_by_name(setting: str, wrong: Any) -> None:
    """At birth and under way: what is given in the place of a policy never waits for a call."""
    with pytest.raises(ConfigurationError, match=f"^{setting}: must be "):
        MultiProviderRouter(registry=CollectorRegistry(), **{setting: wrong})
    if setting in CHANGES or setting == "limits":
        router = MultiProviderRouter[str, str](registry=CollectorRegistry())
        with pytest.raises(ConfigurationError, match=f"^{setting}: must be "):
            router.reconfigure([], **{setting: wrong})


def test_nothing_given_changes_nothing() -> None:
    """The defaults come back equal."""
    assert changed(BORN, {}) == BORN


def test_what_cannot_change_is_told_with_the_near_miss() -> None:
    """A misspelt setting is no silent one."""
    with pytest.raises(ConfigurationError, match="'timeuot'; did you mean 'timeout'"):
        changed(BORN, {"timeuot": 3})
