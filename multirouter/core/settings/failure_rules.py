"""What follows from each kind: one visible table, and how to replace its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from types import MappingProxyType
from typing import cast

from multirouter.errors import ConfigurationError
from multirouter.model import Kind


class Same(Enum):
    """Whether the same provider may be asked again in this call.

    NEVER; after a BACKOFF; QUICK: once, without much rest; AFTER its Retry-After, if that is short.
    """

    NEVER = "never"
    BACKOFF = "backoff"
    QUICK = "quick"
    AFTER = "after"


class Other(Enum):
    """Whether another provider may be asked: AT_ONCE, only with a LARGER context window, NEVER."""

    AT_ONCE = "at_once"
    LARGER = "larger"
    NEVER = "never"


class Effect(Enum):
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
        same: whether the same provider may be asked again.
        other: whether another provider may be asked.
        circuit: what it does to the circuit.
        may_have_acted: whether the request may have taken effect, so that `idempotent=False` bars
            another attempt (unless the verdict is `unsent`).
    """

    same: Same
    other: Other
    circuit: Effect
    may_have_acted: bool

    def __post_init__(self) -> None:
        wanted = {"same": Same, "other": Other, "circuit": Effect, "may_have_acted": bool}
        for field in fields(self):
            value, cls = getattr(self, field.name), wanted[field.name]
            if not isinstance(value, cls):
                raise ConfigurationError(
                    f"Rule.{field.name}", f"must be a {cls.__name__}, not {value!r}"
                )


def _rule(same: Same, other: Other, circuit: Effect, *, acted: bool) -> Rule:
    return Rule(same=same, other=other, circuit=circuit, may_have_acted=acted)


# fmt: off
RULES: Mapping[Kind, Rule] = MappingProxyType({
    Kind.SUCCESS:        _rule(Same.NEVER,   Other.NEVER,   Effect.SUCCESS, acted=True),
    Kind.RATE_LIMIT:     _rule(Same.AFTER,   Other.AT_ONCE, Effect.COOL,    acted=False),
    Kind.EXHAUSTED:      _rule(Same.NEVER,   Other.AT_ONCE, Effect.TRIP,    acted=False),
    Kind.OVERLOADED:     _rule(Same.BACKOFF, Other.AT_ONCE, Effect.FAILURE, acted=False),
    Kind.SERVER:         _rule(Same.BACKOFF, Other.AT_ONCE, Effect.FAILURE, acted=True),
    Kind.TRANSPORT:      _rule(Same.QUICK,   Other.AT_ONCE, Effect.FAILURE, acted=True),
    Kind.TIMEOUT:        _rule(Same.NEVER,   Other.AT_ONCE, Effect.FAILURE, acted=True),
    # What a broken stream may do at all is `on_interrupt`'s to say; this is how, once it may.
    Kind.INTERRUPTED:    _rule(Same.BACKOFF, Other.AT_ONCE, Effect.FAILURE, acted=True),
    Kind.INVALID:        _rule(Same.BACKOFF, Other.AT_ONCE, Effect.FAILURE, acted=True),
    Kind.CREDENTIALS:    _rule(Same.NEVER,   Other.AT_ONCE, Effect.TRIP,    acted=False),
    Kind.NOT_FOUND:      _rule(Same.NEVER,   Other.AT_ONCE, Effect.NEUTRAL, acted=False),
    Kind.CONTEXT_LENGTH: _rule(Same.NEVER,   Other.LARGER,  Effect.NEUTRAL, acted=False),
    Kind.CONTENT_FILTER: _rule(Same.NEVER,   Other.NEVER,   Effect.NEUTRAL, acted=False),
    Kind.REQUEST:        _rule(Same.NEVER,   Other.NEVER,   Effect.NEUTRAL, acted=False),
    Kind.CANCELLED:      _rule(Same.NEVER,   Other.NEVER,   Effect.NEUTRAL, acted=True),
    Kind.UNKNOWN:        _rule(Same.BACKOFF, Other.AT_ONCE, Effect.FAILURE, acted=True),
})
"""The table of kinds: one row a kind, in force where router and route say nothing else."""
# fmt: on

_FIXED = frozenset({Kind.SUCCESS, Kind.CANCELLED})


def rules_with(overrides: Mapping[Kind | str, Rule]) -> Mapping[Kind, Rule]:
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


def _kind(name: object) -> Kind:
    try:
        return Kind(cast("str", name))
    except ValueError:
        from difflib import get_close_matches  # for errors alone

        near = get_close_matches(str(name), [kind.value for kind in Kind], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"rules[{name!r}]", f"no such kind of failure{hint}") from None
