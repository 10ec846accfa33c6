"""Rules of the failure kinds: retry, failover and circuit effect of each, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import cast

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind


class Retry(Enum):
    """Whether and when the same provider may be retried within a call.

    NEVER: no retry. BACKOFF: after the backoff of `RetryPolicy`. QUICK: once, after a short pause.
    AFTER: after the provider's Retry-After, when it is short enough (`max_retry_after`).
    """

    NEVER = "never"
    BACKOFF = "backoff"
    QUICK = "quick"
    AFTER = "after"


class Failover(Enum):
    """Whether another provider may be attempted within the same call.

    AT_ONCE: immediately. LARGER: not a provider whose context window is known to be no larger.
    NEVER: no failover.
    """

    AT_ONCE = "at_once"
    LARGER = "larger"
    NEVER = "never"


class CircuitEffect(Enum):
    """Effect of a result on the provider's circuit.

    SUCCESS and FAILURE are counted. NEUTRAL changes nothing. COOLDOWN is not counted and starts a
    cooldown. TRIP opens the circuit at once, with the failure kind as the reason.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    COOLDOWN = "cooldown"
    TRIP = "trip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the router does after a failure of one kind.

    Attributes:
        retry: whether and when the same provider may be retried.
        failover: whether another provider may be attempted.
        circuit: effect on the provider's circuit.
        side_effects_possible: whether the request may have taken effect. `idempotent=False` then
            forbids another attempt, unless the request was certainly not sent
            (`Verdict.unsent`).
        signs: of refusals, those that the rule is for, by their sign (`SAFETY`); others are
            answers. None for every refusal.

    Raises:
        ConfigurationError: a value has the wrong type.
    """

    retry: Retry
    failover: Failover
    circuit: CircuitEffect
    side_effects_possible: bool
    signs: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.signs is not None:
            signs = check.objects("Rule.signs", self.signs, "signs of refusals")
            named = tuple(check.name("Rule.signs", sign) for sign in signs)
            object.__setattr__(self, "signs", named)
        types = {
            "retry": Retry,
            "failover": Failover,
            "circuit": CircuitEffect,
            "side_effects_possible": bool,
        }
        for name, cls in types.items():
            value = getattr(self, name)
            if not isinstance(value, cls):
                allowed = f"a {cls.__name__}"
                if issubclass(cls, Enum):
                    allowed = f"one of {', '.join(map(str, cls))}"
                raise ConfigurationError(f"Rule.{name}", f"must be {allowed}, got {value!r}")


# fmt: off
_TABLE: Mapping[FailureKind, tuple[Retry, Failover, CircuitEffect, bool]] = {
    # kind                      retry          failover          circuit    side effects possible
    FailureKind.SUCCESS:        (Retry.NEVER,   Failover.NEVER,   CircuitEffect.SUCCESS,  True),
    FailureKind.RATE_LIMIT:     (Retry.AFTER,   Failover.AT_ONCE, CircuitEffect.COOLDOWN, False),
    FailureKind.EXHAUSTED:      (Retry.NEVER,   Failover.AT_ONCE, CircuitEffect.TRIP,     False),
    FailureKind.OVERLOADED:     (Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.FAILURE,  False),
    FailureKind.SERVER:         (Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.FAILURE,  True),
    FailureKind.TRANSPORT:      (Retry.QUICK,   Failover.AT_ONCE, CircuitEffect.FAILURE,  True),
    FailureKind.TIMEOUT:        (Retry.NEVER,   Failover.AT_ONCE, CircuitEffect.FAILURE,  True),
    # `on_interrupt` decides whether an interrupted stream may go on; this row says how.
    FailureKind.INTERRUPTED:    (Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.FAILURE,  True),
    # One strict route must not trip the circuit of a provider that serves the others.
    FailureKind.INVALID:        (Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.NEUTRAL,  True),
    FailureKind.CREDENTIALS:    (Retry.NEVER,   Failover.AT_ONCE, CircuitEffect.TRIP,     False),
    FailureKind.NOT_FOUND:      (Retry.NEVER,   Failover.AT_ONCE, CircuitEffect.NEUTRAL,  False),
    FailureKind.CONTEXT_LENGTH: (Retry.NEVER,   Failover.LARGER,  CircuitEffect.NEUTRAL,  False),
    # Answers are checked for refusals only on routes whose own rule differs from this row.
    FailureKind.REFUSAL:        (Retry.NEVER,   Failover.NEVER,   CircuitEffect.NEUTRAL,  False),
    FailureKind.UNSUPPORTED:    (Retry.NEVER,   Failover.AT_ONCE, CircuitEffect.NEUTRAL,  False),
    FailureKind.CONTENT_FILTER: (Retry.NEVER,   Failover.NEVER,   CircuitEffect.NEUTRAL,  False),
    FailureKind.REQUEST:        (Retry.NEVER,   Failover.NEVER,   CircuitEffect.NEUTRAL,  False),
    FailureKind.CANCELLED:      (Retry.NEVER,   Failover.NEVER,   CircuitEffect.NEUTRAL,  True),
    FailureKind.UNKNOWN:        (Retry.BACKOFF, Failover.AT_ONCE, CircuitEffect.FAILURE,  True),
}
# fmt: on

RULES: Mapping[FailureKind, Rule] = MappingProxyType(
    {
        kind: Rule(retry=retry, failover=failover, circuit=circuit, side_effects_possible=effects)
        for kind, (retry, failover, circuit, effects) in _TABLE.items()
    }
)
"""The default rule of each failure kind; `rules=` of the router or a route replaces rows."""

_FIXED = frozenset({FailureKind.SUCCESS, FailureKind.CANCELLED})


def rules_with(
    overrides: Mapping[FailureKind | str, Rule], what: str = "rules"
) -> Mapping[FailureKind, Rule]:
    """Returns `RULES` with some rows replaced, as a read-only mapping.

    Args:
        overrides: new rows by kind, or by a kind's value (`"not_found"`).
        what: the setting's name, for the error.

    Raises:
        ConfigurationError: `overrides` is not a mapping, a kind is unknown, a value is not a
            Rule, or the kind is `success` or `cancelled`, whose rules are fixed.
    """
    if not isinstance(overrides, Mapping):
        raise ConfigurationError(
            what, f"must be a mapping of failure kinds to rules, got {overrides!r}"
        )
    rules = dict(RULES)
    for key, rule in overrides.items():
        kind = _kind(key, what)
        if kind in _FIXED:
            raise ConfigurationError(
                f"{what}[{kind.value!r}]", "cannot be replaced: the rule is fixed"
            )
        if not isinstance(rule, Rule):
            raise ConfigurationError(f"{what}[{kind.value!r}]", f"must be a Rule, got {rule!r}")
        if rule.signs is not None and kind is not FailureKind.REFUSAL:
            problem = f"must be None, because only refusals have signs, got {rule.signs!r}"
            raise ConfigurationError(f"{what}[{kind.value!r}].signs", problem)
        rules[kind] = rule
    return MappingProxyType(rules)


def _kind(name: object, what: str) -> FailureKind:
    try:
        return FailureKind(cast("str", name))
    except ValueError:
        known = check.suggestion(str(name), [kind.value for kind in FailureKind])
        raise ConfigurationError(what, f"unknown failure kind {known}") from None
