"""Operations: other kinds of calls of the same providers, on the same routes."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import (
    Budget,
    Chain,
    ConfigurationError,
    MultiProviderRouter,
    Operation,
    OperationMissing,
    Price,
    Provider,
    Route,
    StreamPolicy,
    Target,
    UsageError,
)
from tests.core.kit import World, answer, chunks


async def embed(request: Any) -> Any:
    """The function of an operation."""
    return f"embedded {request}"


async def pieces(request: Any) -> Any:
    """The stream of an operation."""
    yield f"piece of {request}"


EMBED = {"embed": Operation(embed)}


def chain_of(*routes: Any, operation: str = "embed") -> Chain:
    return Chain(map(Target, routes), operation=operation)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Operation, r"Operation: must have call= or stream="),
        (lambda: Operation(3), r"Operation\.call"),  # type: ignore[arg-type]
        (lambda: Provider("a", answer, operations=[3]), r"operations: must be a mapping of names"),  # type: ignore[call-overload]
        (lambda: Provider("a", answer, operations={"x": 3}), r"operations\['x'\]"),  # type: ignore[dict-item]
        (lambda: Chain([Target("r")], operation=3), r"Chain\.operation"),  # type: ignore[arg-type]
    ],
)
def test_invalid_settings(make: Any, message: str) -> None:
    """Invalid settings are found at construction, with their name."""
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_providers_without_the_operation_are_left_out() -> None:
    """The router chooses among the providers of the route that have the operation."""
    providers = [Provider("a", answer), Provider("b", answer, operations=EMBED)]
    world = World(providers, [Route("r", ["a", "b"]), Route("plain", ["a"])])
    route = world.route(chain_of("r"))
    assert [member.name for member in route.members] == ["b"]
    assert route.members[0].call is embed
    assert [member.name for member in world.route(chain_of("plain", ("a", "b"))).members] == ["b"]
    with pytest.raises(
        OperationMissing, match="route 'plain': none of its providers has the operation 'embed'"
    ):
        world.route(chain_of("plain"))
    with pytest.raises(UsageError, match="operation 'embed' with stream="):
        world.registry.route(chain_of("r"), streaming=True)


def test_provider_is_one() -> None:
    """Circuit, limits and accounts are shared with other calls; latency and health are not."""
    budget = Budget(1, per="day")
    one = Provider("a", answer, operations=EMBED, price=Price(1, 1), budget=budget)
    other = Provider("b", answer, operations=EMBED)
    world = World([one, other], [Route("r", ["a"], budget=budget), Route("free", ["b"])])
    member, plain = world.route(chain_of("r")).members[0], world.member("a", "r")
    assert member.gate is plain.gate
    assert world.route(chain_of("r")).links[0].route.limits == world.route("r").limits
    assert member.latency is not plain.latency
    assert member.health is not plain.health
    assert world.route(chain_of("r")).diversion is world.route("r").diversion
    assert world.registry.forget_calls() is world.route(chain_of("r")).use


def test_budget_without_a_price_for_the_operation() -> None:
    """A route's budget does not require that a provider with a price has the operation."""
    priced = Provider("a", answer, price=Price(1, 1))
    world = World(
        [priced, Provider("b", answer, operations=EMBED)],
        [Route("r", ["a", "b"], budget=Budget(1, per="day"))],
    )
    assert [member.name for member in world.route(chain_of("r")).members] == ["b"]


def test_functions_for_chats_are_not_applied() -> None:
    """What reads or makes the requests and answers of other calls is left out."""

    def reject(_: Any) -> bool:
        raise AssertionError

    policy = StreamPolicy(content=reject, text=reject, idle=3.0, on_interrupt="continue")
    functions: dict[str, Any] = {"accept": reject, "transform": reject, "stream": policy}
    one = Provider("a", answer, operations={"embed": Operation(embed, stream=pieces)})
    world = World([one.replace(transform=reject)], [Route("r", ["a"], fallback="x", **functions)])
    for streaming in (False, True):
        route = world.registry.route(chain_of("r"), streaming=streaming)
        member = route.members[0]
        assert (route.fallback, member.rules.accept) == (None, None)
        assert (member.call, member.stream) == (embed, pieces)
        assert route.stream == StreamPolicy(idle=3.0)


async def test_calls_and_streams() -> None:
    """A router calls and streams an operation with failover."""

    async def down(request: Any) -> Any:
        raise ConnectionError("down")

    first = Provider("a", answer, operations={"embed": Operation(down)})
    second = Provider("b", stream=chunks, operations={"embed": Operation(embed, stream=pieces)})
    async with MultiProviderRouter([first, second]) as router:
        chain = chain_of(("a", "b"))
        outcome = await router.call_outcome("x", route=chain)
        async with router.stream("x", route=chain) as stream:
            streamed = [chunk async for chunk in stream]
        plain = await router.call_outcome("x", route=["a"])
    assert (outcome.value, outcome.failovers) == ("embedded x", 1)
    assert streamed == ["piece of x"]
    named = [outcome.operation, *(record.operation for record in outcome.attempts)]
    assert named == ["embed"] * 3
    assert plain.operation == ""
