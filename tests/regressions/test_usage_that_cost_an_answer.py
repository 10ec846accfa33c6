"""A good answer whose usage could not be read failed its call, or made money out of nothing.

Attributes that raise, counts that no float can carry, data that contains itself: each ended the
call with its own error. More cached tokens than input gave a cost below 0, and a hook's NaN a
budget that never ended.
"""

from __future__ import annotations

import math
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from multirouter.core.cost.metering import guarded
from multirouter.core.cost.price import Price
from multirouter.core.cost.usage import MOST_TOKENS, estimated_tokens, usage_of
from multirouter.model import Usage
from tests.core.kit import World, provider

PRICE = Price(5, 25, 0.5)
NOBODY_KNOWS = Usage(estimated=True)


class Moody:
    """An answer whose attributes raise, as lazily parsed ones may."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


def endless() -> dict[str, Any]:
    """Plain data that contains itself."""
    answer: dict[str, Any] = {"usage": None}
    answer["again"] = [answer, answer]
    return answer


@pytest.mark.parametrize(
    "answer",
    [Moody(), endless(), SimpleNamespace(usage=Moody())],
    ids=["moody", "endless", "moody usage"],
)
def test_an_answer_that_cannot_be_read_is_an_answer(answer: Any) -> None:
    """The caller gets it, and its usage is an estimate."""
    world = World([provider("a", price=PRICE)])
    plan = world.plan()
    world.answers(plan, world.trying(plan), answer)
    outcome = world.ended(plan)
    assert outcome.value is answer
    assert outcome.attempts[0].usage == NOBODY_KNOWS


@pytest.mark.parametrize("count", [10**400, MOST_TOKENS + 1, 1e300])
def test_what_is_beyond_counting_is_no_count(count: float) -> None:
    """It counts as 0, as every other count that is none."""
    assert usage_of({"usage": {"prompt_tokens": 3, "completion_tokens": count}}) == Usage(3)


def test_more_from_the_cache_than_there_was() -> None:
    """An input that was told without the cache's share costs beside it; nothing is below 0."""
    assert PRICE.of(Usage(10, 0, cached=1000)) == pytest.approx((10 * 5 + 1000 * 0.5) / 1e6)


@pytest.mark.parametrize("count", [math.nan, math.inf, -1, 10**400, None, "many"])
@pytest.mark.parametrize("place", range(5))
def test_a_hook_that_tells_what_is_no_count(count: Any, place: int) -> None:
    """It is reported like one that raises, and the attempt is estimated."""
    told: list[Exception] = []
    counts: list[Any] = [1] * 5
    counts[place] = count
    assert guarded(lambda _: Usage(*counts), lambda _, error: told.append(error))("") is None
    assert len(told) == 1


def test_counts_of_other_types_become_plain_ones() -> None:
    """Whole numbers of any type are taken, as plain integers that every listener can keep."""
    read = guarded(lambda _: Usage(Decimal(7), 2.0), lambda *_: None)  # type: ignore[arg-type]
    usage = read("")
    assert usage == Usage(7, 2)
    assert usage is not None
    assert {type(count) for count in usage[:5]} == {int}


def test_estimating_what_contains_itself() -> None:
    """Nothing is guessed of it, at once."""
    assert estimated_tokens(endless()) == 0
