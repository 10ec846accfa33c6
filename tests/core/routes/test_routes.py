"""Routes: valid settings, resolution of tiers, error texts."""

from __future__ import annotations

import math
from typing import Any

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.routes.tier_entries import resolve_tiers
from multirouter.core.settings.failure_rules import RULES
from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind
from tests.core.kit import provider

KNOWN = {
    name: provider(name, tags=tags)
    for name, tags in {
        "opus": ["strong"],
        "gpt-5": ["strong"],
        "gpt-mini": ["cheap"],
        "local": ["cheap"],
    }.items()
}


def tiers(*entries: Any, **settings: Any) -> tuple[tuple[str, ...], ...]:
    """Names of a route's tiers, resolved among the known providers."""
    return tuple(
        names for names, _ in resolve_tiers(Route("coding", list(entries), **settings), KNOWN)
    )


def error_of(*entries: Any, **settings: Any) -> str:
    """Text of the error that an invalid route raises."""
    with pytest.raises(ConfigurationError) as caught:
        tiers(*entries, **settings)
    return str(caught.value)


def test_names_lists_tags_and_patterns() -> None:
    """A name is a tier of one, a list a weighted tier; tags and patterns keep the order."""
    assert tiers("local", ["opus", "gpt-5"]) == (("local",), ("opus", "gpt-5"))
    assert tiers("tag:strong", "tag:cheap") == (("opus", "gpt-5"), ("gpt-mini", "local"))
    assert tiers("gpt-*", ["local", "opus"]) == (("gpt-5", "gpt-mini"), ("local", "opus"))


def test_pattern_adds_no_duplicates() -> None:
    """Case 74: a provider that a pattern would add again stays in its first place."""
    assert tiers("opus", "*") == (("opus",), ("gpt-5", "gpt-mini", "local"))
    assert tiers("tag:strong", ["tag:strong", "local"]) == (("opus", "gpt-5"), ("local",))
    assert tiers("*", "tag:cheap") == (("opus", "gpt-5", "gpt-mini", "local"),)


def test_duplicate_and_unknown_names() -> None:
    """Case 74: a duplicate or unknown name raises, so no chain has a cycle."""
    assert error_of("opus", "local", "opus") == "Route('coding').tiers: duplicate entry 'opus'"
    assert error_of(["opus", "opus"]) == "Route('coding').tiers: duplicate entry 'opus'"
    assert "unknown provider 'opsu'; did you mean 'opus'?" in error_of("opsu")
    assert "'tag:strnog' matches no provider" in error_of("tag:strnog")
    assert "'claude-*' matches no provider" in error_of("opus", "claude-*")


def test_empty_tiers() -> None:
    """A route without tiers, an empty tier and a bare string raise."""
    assert error_of() == "Route('coding').tiers: must not be empty"
    assert error_of("opus", []) == "Route('coding').tiers: tier 2 must not be empty"
    with pytest.raises(ConfigurationError, match="must be a list of tiers, got 'opus'"):
        Route("coding", "opus")
    with pytest.raises(ConfigurationError, match=r"must be a non-empty printable string.*, got 5"):
        Route("coding", [["opus", 5]])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match=r"Route\.name"):
        Route("", ["opus"])


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, True, "3", 1e-10, 1e10], ids=repr)
def test_invalid_weights(bad: Any) -> None:
    """Case 53: an invalid weight on a route raises with the route's and provider's name."""
    assert error_of("opus", weights={"opus": bad}).startswith("Route('coding').weights['opus']")


def test_weights_are_for_members() -> None:
    """A weight for a provider that is not on the route raises."""
    error = error_of("opus", weights={"local": 2})
    assert error == "Route('coding').weights: unknown provider 'local'; known: 'opus'"
    assert Route("coding", ["opus"], weights={"opus": 0}).weights == {"opus": 0.0}


@pytest.mark.parametrize(
    ("setting", "bad"),
    [
        ("timeout", 0),
        ("timeout", math.nan),
        ("attempt_timeout", -1),
        ("retries_per_provider", -1),
        ("retries_per_provider", True),
        ("retries_per_provider", 1.0),
        ("retry", 3),
        ("hedge", True),
        ("limits", 5),
        ("stream", {}),
        ("shadow", "backup"),
        ("weights", [1]),
    ],
)
def test_invalid_settings(setting: str, bad: Any) -> None:
    """Each setting of a route is checked in its constructor, by its full name."""
    assert error_of("opus", **{setting: bad}).startswith(f"Route('coding').{setting}: ")


def test_rules_are_checked() -> None:
    """Unknown kinds and values that are no rules raise; kinds may be given by name."""
    assert "did you mean 'server'" in error_of("opus", rules={"sever": RULES[FailureKind.SERVER]})
    assert "must be a Rule" in error_of("opus", rules={"server": "never"})
    assert "must be a mapping of failure kinds to rules, got 7" in error_of("opus", rules=7)
    named = Route("coding", ["opus"], rules={"server": RULES[FailureKind.TIMEOUT]})
    assert named.rules == {"server": RULES[FailureKind.TIMEOUT]}


def test_settings_are_kept() -> None:
    """Settings are kept as passed; those left out are None, to be inherited."""
    plain = Route("coding", ["opus"])
    assert (plain.timeout, plain.attempt_timeout, plain.retry, plain.hedge) == (None,) * 4
    assert (plain.retries_per_provider, plain.weights, plain.fallback) == (0, {}, None)
    endless = Route("coding", ["opus"], timeout=math.inf, attempt_timeout=math.inf)
    assert endless.timeout == endless.attempt_timeout == math.inf
    assert repr(plain) == "Route('coding', [['opus']])"


class CountedName(str):
    """A name that counts how often it is hashed or compared."""

    __slots__ = ()
    touched = 0

    def __hash__(self) -> int:
        CountedName.touched += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        CountedName.touched += 1
        return super().__eq__(other)


def test_resolving_a_tier_touches_each_name_a_few_times() -> None:
    """Ten thousand providers are resolved in time that grows with their number, not its square."""
    names = [CountedName(f"p{number}") for number in range(1_000)]
    known = {name: provider(name) for name in names}
    CountedName.touched = 0
    ((resolved, _),) = resolve_tiers(Route("large", [names]), known)
    assert list(resolved) == names
    assert CountedName.touched < 12 * len(names)
