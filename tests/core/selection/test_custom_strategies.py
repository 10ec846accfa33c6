"""Strategies of users: how they are called, and what happens when they fail."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any
from unittest import mock

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.weighted import Choose, SelectionContext
from multirouter.errors import ConfigurationError
from tests.core.kit import provider
from tests.core.strategy_bench import chosen, one_tier, served


class RoundRobin:
    """A custom strategy: each in turn."""

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        turn = count()
        return lambda candidates, context: candidates[next(turn) % len(candidates)]


def test_a_custom_strategy() -> None:
    """An object with `prepare` is a strategy; the name of its class is in the trail."""
    world = one_tier(RoundRobin(), provider("a"), provider("b"), provider("c"))
    steps = [world.next_attempt(world.plan("work")) for _ in range(4)]
    assert [step.member.name for step in steps] == ["a", "b", "c", "a"]
    assert steps[0].why == "RoundRobin among 3"


def test_candidates_stay_the_same_object() -> None:
    """What depends on the candidates alone can be computed once for each change."""
    seen: list[Sequence[Candidate]] = []

    class Recording:
        description = "recorded"

        def prepare(self, members: Sequence[Candidate]) -> Choose:
            def choose(candidates: Sequence[Candidate], context: SelectionContext) -> Candidate:
                seen.append(candidates)
                assert (context.request, context.now) == ("q", world.now)
                assert context.rng is world.rng
                return candidates[0]

            return choose

    world = one_tier(Recording(), provider("a"), provider("b"), provider("c"))
    for _ in range(3):
        chosen(world, "q")
    world.states.gates["a"].set_hold("open", world.now)
    chosen(world, "q")
    assert seen[0] is seen[1] is seen[2]
    assert [member.name for member in seen[3]] == ["b", "c"]


@pytest.mark.parametrize("result", [None, "p0", ValueError("slip"), [1]])
def test_a_failing_strategy_fails_no_call(result: Any) -> None:
    """A strategy that raises or returns no candidate is reported, and weights decide."""
    reported: list[Exception] = []

    class Failing:
        def prepare(self, members: Sequence[Candidate]) -> Choose:
            def choose(candidates: Sequence[Candidate], context: SelectionContext) -> Candidate:
                if isinstance(result, Exception):
                    raise result
                return result

            return choose

    world = one_tier(Failing(), provider("a"), provider("b"), provider("c"))
    world.states.on_hook_error = lambda hook, error: reported.append(error)
    world.configure(world.providers, world.routes)
    assert set(served(world, 30)) == {"a", "b", "c"}
    assert len(reported) == 30
    assert world.run_attempts(world.plan("work"), "server", "ok")


def test_an_attempted_provider_is_no_candidate() -> None:
    """A strategy that returns it again gets another one chosen."""

    class Repeating:
        def prepare(self, members: Sequence[Candidate]) -> Choose:
            return lambda candidates, context: members[0]

    world = one_tier(Repeating(), provider("a"), provider("b"), provider("c"))
    world.states.on_hook_error = lambda hook, error: None
    world.configure(world.providers, world.routes)
    first, second = world.run_attempts(world.plan("work"), "server", "ok")
    assert first == "a"
    assert second != "a"


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (None, r"^Custom\.prepare\(\): must return the function that chooses, got None"),
        (7, r"^Custom\.prepare\(\): must be a plain function, got 7"),
        (lambda candidates: candidates[0], r"must take \(candidates, context\)"),
        (mock.AsyncMock(), r"must be a plain function, got the async function"),
    ],
    ids=["nothing", "a number", "one argument", "async"],
)
def test_what_prepare_returns_is_checked(choose: Any, message: str) -> None:
    """A function of the wrong kind is an error of the configuration, not of each call."""

    class Custom:
        def prepare(self, members: Sequence[Candidate]) -> Choose:
            return choose

    with pytest.raises(ConfigurationError, match=message):
        one_tier(Custom(), provider("a"), provider("b"))


def test_prepare_is_a_plain_function() -> None:
    """An async one would return a coroutine instead of the function that chooses."""

    class Lazy:
        async def prepare(self, members: Sequence[Candidate]) -> Choose:
            raise AssertionError

    with pytest.raises(ConfigurationError, match=r"strategy\.prepare: must be a plain function"):
        Route("work", ["a"], strategy=Lazy())  # type: ignore[arg-type]
