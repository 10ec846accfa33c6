"""Chains and targets as settings."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import Chain, ConfigurationError, MultiProviderRouter, Provider, Route, Target
from multirouter.errors import UsageError
from tests.core.kit import World, answer, chunks, provider


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Target(3), r"Target\.route: must be the name of a route"),  # type: ignore[arg-type]
        (lambda: Target("r", 3), r"Target\.model: must be a string, got 3"),  # type: ignore[arg-type]
        (lambda: Target("r", "m", 0.0), r"Target\.attempt_timeout"),
        (lambda: Chain([]), r"Chain\.targets: must not be empty"),
        (lambda: Chain(None), r"Chain\.targets: must be a list of Target objects, got None"),  # type: ignore[arg-type]
        (lambda: Chain([Target("r")], statuses=["503"]), r"Chain\.statuses: must be an integer"),  # type: ignore[list-item]
        (
            lambda: Chain([Target("r")], statuses=[99]),
            r"Chain\.statuses: must be an integer >= 100",
        ),
        (lambda: Chain([Target("r")], only="abc"), r"Chain\.only: must be a list of names"),
        (lambda: Chain(["a"]), r"Chain\.targets: must be Target objects, got 'a'"),  # type: ignore[list-item]
    ],
)
def test_invalid_settings(make: Any, message: str) -> None:
    """Invalid settings are found at construction, with their name."""
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_names_and_equality() -> None:
    """Chains are compared by their targets and statuses; targets have the name of their route."""
    chain = Chain([Target("a"), Target(("b", "c")), Target(Route("r", ["d"]))], statuses=[503])
    assert [str(target) for target in chain.targets] == ["a", "b,c", "r"]
    assert chain == Chain(chain.targets, statuses={503})
    assert chain != Chain(chain.targets)
    assert chain != "a"
    assert repr(Chain([Target("a", "m")])).startswith("Chain([Target(route='a', model='m'")


def test_incapable_targets_are_left_out() -> None:
    """A target that cannot stream is passed over; without another one the call is invalid."""
    both = Provider("b", answer, stream=chunks)
    world = World([provider("a"), both], [Route("a", ["a"]), Route("b", ["b"])])
    chain = Chain([Target("a"), Target("b"), Target(("a",))])
    resolved = world.registry.route(chain, streaming=True)
    assert [member.name for member in resolved.members] == ["b"]
    with pytest.raises(UsageError, match="none of its providers has stream="):
        world.registry.route(Chain([Target("a")]), streaming=True)
    with pytest.raises(UsageError, match="unknown route 'x'"):
        world.registry.route(Chain([Target("a"), Target("x")]))


async def test_call_with_a_chain() -> None:
    """A router takes a chain as the route of one call, and explains it."""

    async def call(request: Any) -> str:
        if request["model"] == "down":
            raise ConnectionError("down")
        return str(request["model"])

    async with MultiProviderRouter([Provider("a", call)]) as router:
        chain = Chain([Target("default", "down"), Target("default", "up")])
        outcome = await router.call_outcome({"q": 1}, route=chain)
        explained = router.explain(chain)
    assert (outcome.value, outcome.failovers) == ("up", 1)
    assert len(explained.tiers) == 2
