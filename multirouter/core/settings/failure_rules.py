"""What follows from each kind: one visible table, and how to replace its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from types import MappingProxyType
from typing import cast

from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind


class Retry(Enum):
    """Whether the same provider may be asked again in this call.

    NEVER; after a BACKOFF; QUICK: once, without much rest; AFTER its Retry-After, if that is short.
    """

    NEVER = "never"
    BACKOFF = "backoff"
    QUICK = "quick"
    AFTER = "after"


class Failover(Enum):
    """Whether another provider may be asked: AT_ONCE, only with a LARGER context window, NEVER."""

    AT_ONCE = "at_once"
    LARGER = "larger"
    NEVER = "never"


class CircuitEffect(Enum):
    """What it does to the circuit.

    COOL moves no count and rests the provider; TRIP opens at once, with the kind as the reason.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    COOL = "cool"
    TRIP = "trip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What follows from a kind.

    Attributes:
        retry: whether the same provider may be asked again.
        failover: whether another provider may be asked.
        circuit: what it does to the circuit.
        side_effects_possible: whether the request may have taken effect, so that `idempotent=False` bars
            another attempt (unless the verdict is `unsent`).
    """

    retry: Retry
    failover: Failover
    circuit: CircuitEffect
    side_effects_possible: bool

    def __post_init__(self) -> None:
        wanted = {
            "retry": Retry,
            "failover": Failover,
            "circuit": CircuitEffect,
            "side_effects_possible": bool,
        }
        for field in fields(self):
            value, cls = getattr(self, field.name), wanted[field.name]
            if not isinstance(value, cls):
                raise ConfigurationError(
                    f"Rule.{field.name}", f"must be a {cls.__name__}, not {value!r}"
                )


def _rule(same: Retry, other: Failover, circuit: CircuitEffect, *, acted: bool) -> Rule:
    return Rule(retry=same, failover=other, circuit=circuit, side_effects_possible=acted)


# fmt: off
RULES: Mapping[FailureKind, Rule] = MappingProxyType({
    FailureKind.SUCCESS:        _rule(Retry.NEVER,   Failover.NEVER,   CircuitEffect.SUCCESS, acted=True),
    FailureKind.RATE_LIMIT:     _rule(Retry.AFTER,   Failover.AT_ONCE, CircuitEffect.COOL,    acted=False),
    FailureKind.EXHAUSTED:      _rule(Retry.NEVER,   Failover.AT_ONCE, CircuitEffect.TRIP,    acted=False),
    FailureKind.OVERLOADED:     _rule(Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.FAILURE, acted=False),
    FailureKind.SERVER:         _rule(Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.FAILURE, acted=True),
    FailureKind.TRANSPORT:      _rule(Retry.QUICK,   Failover.AT_ONCE, CircuitEffect.FAILURE, acted=True),
    FailureKind.TIMEOUT:        _rule(Retry.NEVER,   Failover.AT_ONCE, CircuitEffect.FAILURE, acted=True),
    # What a broken stream may do at all is `on_interrupt`'s to say; this is how, once it may.
    FailureKind.INTERRUPTED:    _rule(Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.FAILURE, acted=True),
    FailureKind.INVALID:        _rule(Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.FAILURE, acted=True),
    FailureKind.CREDENTIALS:    _rule(Retry.NEVER,   Failover.AT_ONCE, CircuitEffect.TRIP,    acted=False),
    FailureKind.NOT_FOUND:      _rule(Retry.NEVER,   Failover.AT_ONCE, CircuitEffect.NEUTRAL, acted=False),
    FailureKind.CONTEXT_LENGTH: _rule(Retry.NEVER,   Failover.LARGER,  CircuitEffect.NEUTRAL, acted=False),
    FailureKind.CONTENT_FILTER: _rule(Retry.NEVER,   Failover.NEVER,   CircuitEffect.NEUTRAL, acted=False),
    FailureKind.REQUEST:        _rule(Retry.NEVER,   Failover.NEVER,   CircuitEffect.NEUTRAL, acted=False),
    FailureKind.CANCELLED:      _rule(Retry.NEVER,   Failover.NEVER,   CircuitEffect.NEUTRAL, acted=True),
    FailureKind.UNKNOWN:        _rule(Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.FAILURE, acted=True),
})
"""The table of kinds: one row a kind, in force where router and route say nothing else."""
# fmt: on

_FIXED = frozenset({FailureKind.SUCCESS, FailureKind.CANCELLED})


def rules_with(overrides: Mapping[FailureKind | str, Rule]) -> Mapping[FailureKind, Rule]:
    """Returns `RULES` with some rows replaced, read-only.

    Args:
        overrides: new rows by kind, or by a kind's value (`"not_found"`).

    Raises:
        ConfigurationError: for what is no mapping, an unknown kind, a value that is no Rule, and
            for `success` and `cancelled`, from which nothing else can follow.
    """
    if not isinstance(overrides, Mapping):
        raise ConfigurationError("rules", f"must be rules by kind, not {overrides!r}")
    rules = dict(RULES)
    for key, rule in overrides.items():
        kind = _kind(key)
        if kind in _FIXED:
            raise ConfigurationError(f"rules[{kind.value!r}]", "cannot be replaced")
        if not isinstance(rule, Rule):
            raise ConfigurationError(f"rules[{kind.value!r}]", f"must be a Rule, not {rule!r}")
        rules[kind] = rule
    return MappingProxyType(rules)


def _kind(name: object) -> FailureKind:
    try:
        return FailureKind(cast("str", name))
    except ValueError:
        from difflib import get_close_matches  # for errors alone

        near = get_close_matches(str(name), [kind.value for kind in FailureKind], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"rules[{name!r}]", f"no such kind of failure{hint}") from None
