"""The ends of what routes and chains accept, and what counts the calls of a configuration."""

from __future__ import annotations

import re
from typing import Any

import pytest

from multirouter.core.cost.budget import Budget
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.configuration_use import ConfigurationUse
from multirouter.core.routes.diversion import MIN_CALLS, MIN_SECONDS, Diversion
from multirouter.core.routes.resolved_route import _state
from multirouter.core.routes.route import Route
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.policies import LimitPolicy
from multirouter.core.settings.shadow import Shadow
from multirouter.errors import ConfigurationError, UsageError
from tests.core.kit import World, answer, calm, provider


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Target(3),  # type: ignore[arg-type]
            "Target.route: must be the name of a route, a Route or a tuple of provider names",
        ),
        (lambda: Target("r", attempt_timeout=0.0), "Target.attempt_timeout: must be "),
        (
            lambda: Chain([Target("r")], statuses=5),
            "Chain.statuses: must be a list of HTTP statuses",
        ),  # type: ignore[arg-type]
        (lambda: Chain([Target("r")], statuses=[600]), "Chain.statuses: must be an integer >= 100"),
        (lambda: Chain([Target("r")], operation=3), "Chain.operation: must be "),  # type: ignore[arg-type]
        (lambda: Route("", ["a"]), "Route.name: must "),
        (lambda: Route("r", ["a"], rules={"x": 3}), "Route('r').rules"),  # type: ignore[dict-item]
        (lambda: Route("r", ["a"], budget=3), "Route('r').budget: must be "),  # type: ignore[arg-type]
        (lambda: Route("r", ["a"], strategy=3), "Route('r').strategy: must be "),  # type: ignore[arg-type]
        (
            lambda: Route("r", ["a"], on=[99]),
            "Route('r').on: HTTP statuses must be 100 to 599, got 99",
        ),
        (
            lambda: Route("r", ["a"], on=[600]),
            "Route('r').on: HTTP statuses must be 100 to 599, got 600",
        ),
        (
            lambda: Route("r", ["a"], requires=lambda: ()),
            "Route('r').requires: must take (request)",
        ),  # type: ignore[arg-type,misc]
        (lambda: Route("r", ["a"], size=lambda: 1), "Route('r').size: must take (request)"),  # type: ignore[arg-type,misc]
        (lambda: Route("r", ["a"], unsupported="x"), "Route('r').unsupported: must be one of"),  # type: ignore[arg-type]
        (lambda: Shadow([3]), "Shadow.providers: must "),  # type: ignore[list-item]
        (lambda: Shadow([]), "Shadow.providers: must name at least one provider; use share=0"),
        (lambda: Shadow(["a", "b", "a"]), "Shadow.providers: duplicate provider 'a'"),
        (lambda: Shadow(["a"], max_in_flight=0), "Shadow.max_in_flight: must be "),
        (lambda: Operation(answer, lacks=3), "Operation.lacks: must be "),  # type: ignore[arg-type]
    ],
)
def test_messages(make: Any, message: str) -> None:
    """They begin with the setting's name, as it is written."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        make()


def test_the_ends_of_the_http_statuses() -> None:
    """From 100 to 599."""
    assert Chain([Target("r")], statuses=[100, 599]).statuses == {100, 599}
    assert Route("r", ["a"], on=[100, 599]).on == {100, 599}


def test_chains_without_settings() -> None:
    """They are equal, also as keys."""
    chain = Chain([Target("r")])
    assert (chain.statuses, chain.operation, chain.only) == (None, "", None)
    assert hash(chain) == hash(Chain([Target("r")]))
    assert hash(chain) != hash(Chain([Target("other")]))
    assert len({chain, Chain([Target("r")]), Chain([Target("r")], only=["a"])}) == 2


def test_routes_keep_their_budget_and_fallback() -> None:
    """One budget or several."""
    budget = Budget(1.0, per="day")
    route = Route("r", ["a"], budget=budget, fallback="sorry")
    assert (route.budget, route.fallback) == ((budget,), "sorry")


# ── configurations in use ─────────────────────────────────────────────────────────────────────────


def test_calls_and_attempts_in_the_background_are_counted() -> None:
    """It is reported when no call is left, and again when nothing is."""
    use, reported = ConfigurationUse(), []
    assert (use.count, use.background, use.lost) == (0, 0, False)
    use.count += 2
    use.begin_background()
    use.begin_background()
    assert (use.count, use.background) == (4, 2)
    use.end()
    use.on_idle = lambda: reported.append((use.count, use.background))
    assert reported == []
    use.end()
    assert reported == [(2, 2)]
    use.end_background()
    assert (use.count, use.background) == (1, 1)
    use.end_background()
    assert reported == [(2, 2), (1, 1), (0, 0)]


def test_a_call_that_ends_while_others_go_on_is_not_reported() -> None:
    """Two calls and an attempt in the background are left."""
    use = ConfigurationUse()
    use.on_idle = lambda: pytest.fail("calls are left")
    use.count += 3
    use.begin_background()
    use.end()
    assert use.count == 3


# ── diversions ────────────────────────────────────────────────────────────────────────────────────


def test_what_a_route_says_of_its_first_choice() -> None:
    """Each of its providers with its state."""
    world = calm("a", "b", "c", routes=[Route("r", [["a", "b"], "c"])])
    a = world.member("a", "r")
    assert _state(a, world.now) == "available"
    for _ in range(20):
        a.health.record_failure(world.now)
    assert _state(a, world.now) == "degraded"
    world.states.gates["b"].set_hold("open", world.now)
    assert world.route("r").why_diverted(world.now) == "a degraded, b held open"


def test_a_diversion_on_the_clock_of_another_loop() -> None:
    """It begins after as much time as before."""
    assert MIN_CALLS > 1
    assert MIN_SECONDS > 0.0
    one, other = Diversion(), Diversion()
    for diversion in (one, other):
        diversion._pending_since = 50.0
    other.shift(1000.0)
    assert other._pending_since == 1050.0


# ── sizes ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("many", "size= must return tokens as an int, got ['many']"),
        (ValueError("slip"), "size= raised ValueError: slip"),
    ],
)
def test_a_size_that_is_no_number(result: Any, message: str) -> None:
    """The error names the setting."""

    def size(request: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    world = World(
        [provider("a")], [Route("r", ["a"], limits=LimitPolicy(tokens_per_minute=9.0, size=size))]
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        world.route("r").size_of("x")


def test_the_largest_size_counts() -> None:
    """Of the limits of the route and of the router; never less than 0."""
    route = Route(
        "r", ["a"], limits=LimitPolicy(tokens_per_minute=9.0, size=lambda request: request)
    )
    world = World([provider("a")], [route], limits=LimitPolicy(tokens_per_minute=9.0, size=len_of))
    assert [world.route("r").size_of(size) for size in (-5, 3, 9)] == [4, 4, 9]
    alone = World([provider("a")], [route])
    assert alone.route("r").size_of(-5) == 0


def len_of(request: Any) -> int:
    return 4
