"""What a route may say, how its tiers are resolved, and what is refused in words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.routes.tiers import members_of
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
    """The names that a route's tiers come to among the known providers."""
    return tuple(
        names for names, _ in members_of(Route("coding", list(entries), **settings), KNOWN)
    )


def refused(*entries: Any, **settings: Any) -> str:
    """What is said of a route that is refused."""
    with pytest.raises(ConfigurationError) as caught:
        tiers(*entries, **settings)
    return str(caught.value)


def test_names_lists_tags_and_patterns() -> None:
    """A name is a tier of one, a list a weighted tier; tags and patterns keep the given order."""
    assert tiers("local", ["opus", "gpt-5"]) == (("local",), ("opus", "gpt-5"))
    assert tiers("tag:strong", "tag:cheap") == (("opus", "gpt-5"), ("gpt-mini", "local"))
    assert tiers("gpt-*", ["local", "opus"]) == (("gpt-5", "gpt-mini"), ("local", "opus"))


def test_a_pattern_brings_nobody_twice() -> None:
    """Case 74: whom a pattern would bring in again stays where it came first."""
    assert tiers("opus", "*") == (("opus",), ("gpt-5", "gpt-mini", "local"))
    assert tiers("tag:strong", ["tag:strong", "local"]) == (("opus", "gpt-5"), ("local",))
    assert tiers("*", "tag:cheap") == (("opus", "gpt-5", "gpt-mini", "local"),)


def test_repeated_and_unknown_names() -> None:
    """Case 74: a repeated or unknown name is refused by name, so no chain has a cycle."""
    assert refused("opus", "local", "opus") == "Route('coding').tiers: names 'opus' twice"
    assert refused(["opus", "opus"]) == "Route('coding').tiers: names 'opus' twice"
    assert "unknown provider 'opsu'; did you mean 'opus'?" in refused("opsu")
    assert "'tag:strnog' matches no provider" in refused("tag:strnog")
    assert "'claude-*' matches no provider" in refused("opus", "claude-*")


def test_empty_tiers() -> None:
    """A route without tiers, an empty tier and a bare string are refused in words."""
    assert refused() == "Route('coding').tiers: is empty"
    assert refused("opus", []) == "Route('coding').tiers: tier 2 is empty"
    with pytest.raises(ConfigurationError, match="must be a list, not 'opus'"):
        Route("coding", "opus")
    with pytest.raises(ConfigurationError, match="must be a string, not 5"):
        Route("coding", [["opus", 5]])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match=r"Route\.name"):
        Route("", ["opus"])


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, True, "3", 1e-10, 1e10], ids=repr)
def test_bad_weights(bad: Any) -> None:
    """Case 53: a weight on a route is refused with the route's and the provider's name."""
    assert refused("opus", weights={"opus": bad}).startswith("Route('coding').weights['opus']")


def test_weights_are_for_members() -> None:
    """A weight for somebody who is not on the route is refused, even when it is a provider."""
    said = refused("opus", weights={"local": 2})
    assert said == "Route('coding').weights: unknown provider 'local'; there are 'opus'"
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
def test_bad_settings(setting: str, bad: Any) -> None:
    """Each setting of a route is checked where it is made, by its full name."""
    assert refused("opus", **{setting: bad}).startswith(f"Route('coding').{setting}: ")


def test_rules_are_checked() -> None:
    """Unknown kinds and values that are no rules are refused at once; kinds go by their names."""
    assert "did you mean 'server'" in refused("opus", rules={"sever": RULES[FailureKind.SERVER]})
    assert "must be a Rule" in refused("opus", rules={"server": "never"})
    assert "must be rules by kind, not 7" in refused("opus", rules=7)
    named = Route("coding", ["opus"], rules={"server": RULES[FailureKind.TIMEOUT]})
    assert named.rules == {"server": RULES[FailureKind.TIMEOUT]}


def test_settings_are_kept() -> None:
    """What is given is what is there; what is left out is None, to be inherited."""
    plain = Route("coding", ["opus"])
    assert (plain.timeout, plain.attempt_timeout, plain.retry, plain.hedge) == (None,) * 4
    assert (plain.retries_per_provider, plain.weights, plain.fallback) == (0, {}, None)
    endless = Route("coding", ["opus"], timeout=math.inf, attempt_timeout=math.inf)
    assert endless.timeout == endless.attempt_timeout == math.inf
    assert repr(plain) == "Route('coding', [['opus']])"
