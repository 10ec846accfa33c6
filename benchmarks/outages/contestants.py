"""The compared policies, and router settings read from the command line."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.outages.baselines import Chain, Oracle, WeightedBreaker
from benchmarks.outages.policy import PolicyMaker
from benchmarks.outages.router_policy import RouterPolicy
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HedgePolicy,
    LatencyPolicy,
    RetryPolicy,
)
from multirouter.errors import ConfigurationError

ORACLE = "oracle"
OURS = "ours"
HEDGED = "ours, hedged"
HEALTH_CHECKED = "ours, health_check="

HEDGE = HedgePolicy()
"""The policy of `ours, hedged`; the outage study shows cost and effect of other percentiles."""

POLICIES: Mapping[str, PolicyMaker] = {
    ORACLE: Oracle,
    OURS: RouterPolicy(),
    HEDGED: RouterPolicy({"hedge": HEDGE}),
    HEALTH_CHECKED: RouterPolicy(with_health_check=True),
    "breaker": WeightedBreaker,
    "chain": Chain,
}

_TOPICS = {
    "circuit": CircuitPolicy,
    "hedge": HedgePolicy,
    "latency": LatencyPolicy,
    "retry": RetryPolicy,
}


def contestants(only: Iterable[str], variants: Iterable[str]) -> dict[str, PolicyMaker]:
    """The oracle, the named policies (all when none is named), and variants of the router.

    Args:
        only: names in `POLICIES`.
        variants: each in the format of `variant`.

    Raises:
        ConfigurationError: for an unknown name or an invalid setting.
    """
    needed = set(only)
    unknown = needed - POLICIES.keys()
    if unknown:
        known = ", ".join(POLICIES)
        raise ConfigurationError(
            "--only", f"must be one of {known}, got {', '.join(sorted(unknown))}"
        )
    chosen = {
        name: maker
        for name, maker in POLICIES.items()
        if not needed or name in needed or name == ORACLE
    }
    return {**chosen, **dict(variant(text) for text in variants)}


def variant(text: str) -> tuple[str, RouterPolicy]:
    """Reads `name: circuit.open_duration=3 latency.floor=1.5 hedge.percentile=0.98`.

    Raises:
        ConfigurationError: for another format, or an invalid setting.
    """
    name, colon, rest = text.partition(":")
    if not colon or not name.strip():
        raise ConfigurationError(
            "--variant", f"must be `name: topic.setting=value ...`, got {text!r}"
        )
    topics: dict[str, dict[str, Any]] = {}
    settings: dict[str, Any] = {}
    for word in rest.split():
        where, _, value = word.partition("=")
        topic, dot, setting = where.partition(".")
        if not dot:
            settings[where] = _value(word, value)
        elif topic in _TOPICS:
            topics.setdefault(topic, {})[setting] = _value(word, value)
        else:
            raise ConfigurationError(
                "--variant", f"topic must be one of {', '.join(_TOPICS)}, got {topic!r}"
            )
    for topic, given in topics.items():
        try:
            settings[topic] = _TOPICS[topic](**given)
        except TypeError as error:
            raise ConfigurationError("--variant", str(error)) from None
    return name.strip(), RouterPolicy(settings)


def _value(word: str, value: str) -> Any:
    if value == "inf":
        return math.inf
    try:
        return ast.literal_eval(value)
    except (SyntaxError, ValueError):
        raise ConfigurationError("--variant", f"invalid value in {word!r}") from None
