"""Who is held beside whom, and router settings read from the command line."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.outages.ours import Ours
from benchmarks.outages.policy import PolicyMaker
from benchmarks.outages.rivals import Chain, Oracle, WeightedBreaker
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
PROBED = "ours, probe="

HEDGE = HedgePolicy()
"""What `ours, hedged` hedges by; docs/outages.md shows what other percentiles cost and bring."""

POLICIES: Mapping[str, PolicyMaker] = {
    ORACLE: Oracle,
    OURS: Ours(),
    HEDGED: Ours({"hedge": HEDGE}),
    PROBED: Ours(probed=True),
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
    """The oracle, the named policies (all when none is named), and variants of ours.

    Args:
        only: names out of `POLICIES`.
        variants: each as `variant` reads it.

    Raises:
        ConfigurationError: for an unknown name or a setting that is refused.
    """
    wanted = set(only)
    unknown = wanted - POLICIES.keys()
    if unknown:
        known = ", ".join(POLICIES)
        raise ConfigurationError("--only", f"knows {known}, not {', '.join(sorted(unknown))}")
    chosen = {
        name: maker
        for name, maker in POLICIES.items()
        if not wanted or name in wanted or name == ORACLE
    }
    return {**chosen, **dict(variant(text) for text in variants)}


def variant(text: str) -> tuple[str, Ours]:
    """Reads `name: circuit.open_duration=3 latency.floor=1.5 hedge.percentile=0.98`.

    Raises:
        ConfigurationError: for what is no such text, or a setting that the router refuses.
    """
    name, colon, rest = text.partition(":")
    if not colon or not name.strip():
        raise ConfigurationError("--variant", f"is `name: topic.setting=value ...`, not {text!r}")
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
            raise ConfigurationError("--variant", f"knows {', '.join(_TOPICS)}, not {topic!r}")
    for topic, given in topics.items():
        try:
            settings[topic] = _TOPICS[topic](**given)
        except TypeError as error:
            raise ConfigurationError("--variant", str(error)) from None
    return name.strip(), Ours(settings)


def _value(word: str, value: str) -> Any:
    if value == "inf":
        return math.inf
    try:
        return ast.literal_eval(value)
    except (SyntaxError, ValueError):
        raise ConfigurationError("--variant", f"cannot read the value in {word!r}") from None
