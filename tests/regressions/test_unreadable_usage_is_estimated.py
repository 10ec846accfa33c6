"""An answer whose usage cannot be read does not fail its call, and its usage is estimated.

Attributes that raise, counts beyond a float and data that contains itself ended the call with an
error of their own. More cached tokens than input gave a cost below 0, and a hook's NaN a budget
that never ended.
"""

from __future__ import annotations

import math
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from multirouter.core.cost.metering import guarded_reader
from multirouter.core.cost.price import Price
from multirouter.core.cost.usage import MAX_TOKENS, estimated_tokens, usage_of
from multirouter.model import Usage
from tests.core.kit import World, provider

PRICE = Price(5, 25, 0.5)
ESTIMATED_ZERO = Usage(estimated=True)


class RaisingAttributes:
    """An answer whose attributes raise, as lazily parsed ones may."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


def recursive() -> dict[str, Any]:
    """Plain data that contains itself."""
    answer: dict[str, Any] = {"usage": None}
    answer["again"] = [answer, answer]
    return answer


@pytest.mark.parametrize(
    "answer",
    [RaisingAttributes(), recursive(), SimpleNamespace(usage=RaisingAttributes())],
    ids=["raising", "recursive", "raising usage"],
)
def test_an_answer_with_unreadable_usage_is_returned(answer: Any) -> None:
    """The caller gets it, and its usage is an estimate."""
    world = World([provider("a", price=PRICE)])
    plan = world.plan()
    world.succeed(plan, world.next_attempt(plan), answer)
    outcome = world.next_outcome(plan)
    assert outcome.value is answer
    assert outcome.attempts[0].usage == ESTIMATED_ZERO


@pytest.mark.parametrize("count", [10**400, MAX_TOKENS + 1, 1e300])
def test_an_impossible_count_is_zero(count: float) -> None:
    """It counts as 0, like every other invalid count."""
    assert usage_of({"usage": {"prompt_tokens": 3, "completion_tokens": count}}) == Usage(3)


def test_more_cached_tokens_than_input_cost_extra() -> None:
    """An input reported without its cached share is priced beside it; nothing is below 0."""
    assert PRICE.of(Usage(10, 0, cached=1000)) == pytest.approx((10 * 5 + 1000 * 0.5) / 1e6)


@pytest.mark.parametrize("count", [math.nan, math.inf, -1, 10**400, None, "many"])
@pytest.mark.parametrize("place", range(5))
def test_a_usage_hook_with_an_invalid_count_is_reported(count: Any, place: int) -> None:
    """It is reported like one that raises, and the attempt is estimated."""
    errors: list[Exception] = []
    counts: list[Any] = [1] * 5
    counts[place] = count
    assert (
        guarded_reader(lambda _: Usage(*counts), lambda _, error: errors.append(error))("") is None
    )
    assert len(errors) == 1


def test_counts_of_other_number_types_become_int() -> None:
    """Whole numbers of any type are accepted and stored as plain integers."""
    read = guarded_reader(lambda _: Usage(Decimal(7), 2.0), lambda *_: None)  # type: ignore[arg-type]
    usage = read("")
    assert usage == Usage(7, 2)
    assert usage is not None
    assert {type(count) for count in usage[:5]} == {int}


def test_recursive_data_is_estimated_as_zero() -> None:
    """The estimate returns at once."""
    assert estimated_tokens(recursive()) == 0
