"""What makes a provider ineligible, in words, and the errors of the functions that decide."""

from __future__ import annotations

import re
from typing import Any

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.selection.conversation_key import conversation_key
from multirouter.core.selection.eligibility import Requirements, estimated_sizes
from multirouter.core.selection.exploration import SAMPLE_SIZE, BestSoFar, sample_of
from multirouter.core.selection.weighted import SelectionContext
from multirouter.errors import UsageError
from tests.core.kit import World, calm, provider


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        (Requirements(frozenset({"vision", "audio"})), "lacks audio, vision"),
        (Requirements(frozenset(), 60, 41), "context_window 100 is too small for 101 tokens"),
        (Requirements(frozenset(), 60, 40), ""),
        (Requirements(frozenset(), 0, 51), "max_output 50 is too small for 51 tokens"),
        (Requirements(frozenset(), 0, 50), ""),
    ],
)
def test_what_a_provider_does_not_meet(needs: Requirements, reason: str) -> None:
    """Capabilities first; then the input and the output together, then the output alone."""
    window = 1000 if "max_output" in reason or needs.output == 50 else 100
    tested = provider("a", context_window=window, max_output=50)
    assert needs.unmet_by(tested) == reason


def slip(request: Any) -> Any:
    raise ValueError("slip")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"requires": slip}, "requires= raised ValueError: slip"),
        ({"size": slip}, "size= raised ValueError: slip"),
        (
            {"requires": lambda request: 5},
            "requires= must return names of capabilities, got 5",
        ),
        (
            {"requires": lambda request: ["a", 5]},
            "requires= must return names of capabilities, got ['a', 5]",
        ),
        (
            {"size": lambda request: -1},
            "size= must return tokens as an int >= 0, or a tuple of two, got -1",
        ),
    ],
)
def test_errors_of_the_functions(settings: dict[str, Any], message: str) -> None:
    """They name the setting, and what it must return."""
    world = World([provider("a", context_window=10)], [Route("r", ["a"], **settings)])
    eligibility = world.route("r").eligibility
    assert eligibility is not None
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        eligibility.ineligible("x")


@pytest.mark.parametrize("name", ["requires", "size"])
def test_an_async_result_names_the_setting(name: str) -> None:
    """The function is called between two awaits."""

    async def later() -> int:
        raise AssertionError

    world = World(
        [provider("a", context_window=10)], [Route("r", ["a"], **{name: lambda request: later()})]
    )
    eligibility = world.route("r").eligibility
    assert eligibility is not None
    with pytest.raises(UsageError, match=f"{name}= "):
        eligibility.ineligible("x")


def test_requests_of_one_class_are_judged_once() -> None:
    """A class is what of the route's sizes a request exceeds; 10 and 11 tokens differ here."""
    names = {"a": 10, "b": 11, "c": 12}
    world = World(
        [provider(name, context_window=size) for name, size in names.items()],
        [Route("r", [list(names)], size=lambda request: request)],
    )
    eligibility = world.route("r").eligibility
    assert eligibility is not None
    found = [sorted(eligibility.ineligible(size)) for size in (9, 10, 11, 12, 13, 10)]
    assert found == [[], [], ["a"], ["a", "b"], ["a", "b", "c"], []]
    assert eligibility.ineligible(1) is eligibility.ineligible(2)
    assert len(eligibility._ineligible) == 4


def test_the_output_that_a_request_allows() -> None:
    """The first number among its fields; 0 without one."""
    assert estimated_sizes({"max_tokens": 5})[1] == 5
    assert estimated_sizes({"max_completion_tokens": "x", "max_output_tokens": 7})[1] == 7
    assert estimated_sizes({"model": "m"})[1] == 0
    assert estimated_sizes("text")[1] == 0


# ── conversations ─────────────────────────────────────────────────────────────────────────────────


def test_keys_of_conversations_do_not_change() -> None:
    """Processes of two versions keep a conversation together."""
    request = {"messages": [{"role": "user", "content": "hello"}]}
    assert conversation_key(request) == "46fb7408d4f285228f4af516ea25851b"
    nested = {"messages": [{"role": "user", "content": [{"text": "a"}, [{"text": "b"}]]}]}
    flat = {"messages": [{"role": "user", "content": [{"text": "a"}]}]}
    assert conversation_key(nested) == conversation_key(flat)


# ── samples ───────────────────────────────────────────────────────────────────────────────────────


def test_a_sample_of_many_has_the_best_one_so_far() -> None:
    """As long as it is available; of up to eight all are compared."""
    world = calm(*(f"p{number}" for number in range(60)))
    members = world.route().members
    context = SelectionContext(None, world.now, world.rng)
    few, many = members[:SAMPLE_SIZE], members[: SAMPLE_SIZE + 1]
    assert sample_of(few, context) is few
    assert len(sample_of(many, context)) == SAMPLE_SIZE
    best = BestSoFar()
    assert best.sample(few, context) is few
    first = best.sample(members, context)
    assert len(first) == SAMPLE_SIZE
    scores = [1.0] * SAMPLE_SIZE
    scores[3] = 0.5
    chosen = best.choose(first, scores, [float("inf")] * SAMPLE_SIZE, context)
    assert chosen is first[3]
    for _ in range(5):
        assert chosen in best.sample(members, context)
    others = [member for member in members if member is not chosen]
    for _ in range(5):
        sample = best.sample(others, context)
        assert chosen not in sample
        assert len(sample) == SAMPLE_SIZE
