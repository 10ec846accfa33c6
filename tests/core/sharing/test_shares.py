"""Shares of a limit: by demand, never more than there is, and a little for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.sharing.shares import LEAST, Grant, Reserve, granted, reserved


def test_a_process_alone_has_the_whole_limit() -> None:
    """Whether it has a demand or none."""
    assert granted(0.0, {}, 0.0) == pytest.approx(1.0)
    assert granted(50.0, {}, 0.0) == pytest.approx(1.0)


def test_shares_follow_the_demand() -> None:
    """A busy process gets most; an idle one keeps a part of what is divided evenly."""
    busy = Grant(0.0, 90.0, 10.0)
    assert granted(10.0, {"p": busy}, 0.0) == pytest.approx(0.9 * 0.1 + 0.05)
    assert granted(0.0, {"p": busy}, 0.0) == pytest.approx(0.05)


def test_without_demand_shares_are_equal() -> None:
    """Processes that have no demand yet divide the limit evenly; a small demand is one."""
    idle = {"p": Grant(0.0, 0.0, 10.0)}
    assert granted(0.0, idle, 0.0) == pytest.approx(0.5)
    assert granted(0.2, idle, 0.0) == pytest.approx(0.95)


def test_what_others_hold_is_not_granted_again() -> None:
    """Until they give it back there is the least share; what has expired is free."""
    others = {"p": Grant(1.0, 10.0, 10.0)}
    assert granted(10.0, others, 0.0) == pytest.approx(LEAST / 2)
    assert granted(10.0, others, 10.0) == pytest.approx(1.0)


@given(
    demands=st.lists(st.lists(st.floats(0.0, 100.0), min_size=6, max_size=6), max_size=8),
    joined=st.integers(1, 6),
)
def test_the_sum_of_all_shares_is_bounded(demands: list[list[float]], joined: int) -> None:
    """Whatever the demands, in whatever order processes report, only least shares come on top."""
    grants: dict[str, Grant] = {}
    for round_of_demands in demands:
        for number, demand in enumerate(round_of_demands[:joined]):
            name = f"p{number}"
            others = {other: grant for other, grant in grants.items() if other != name}
            grants[name] = Grant(granted(demand, others, 0.0), demand, 10.0)
            joiners = sum(LEAST / count for count in range(1, joined + 1))
            assert sum(grant.share for grant in grants.values()) <= 1.0 + joiners + 1e-9


def test_shares_settle_at_the_demand() -> None:
    """After three rounds the sum is 1, and each has its part."""
    grants: dict[str, Grant] = {}
    for _ in range(3):
        for name, demand in {"p": 30.0, "q": 10.0}.items():
            others = {other: grant for other, grant in grants.items() if other != name}
            grants[name] = Grant(granted(demand, others, 0.0), demand, 10.0)
    assert grants["p"].share == pytest.approx(0.9 * 0.75 + 0.05)
    assert sum(grant.share for grant in grants.values()) == pytest.approx(1.0)


def test_an_allowance_is_a_share_of_what_is_left() -> None:
    """As far as it is not reserved for others; the reserve of a process that is gone is free."""
    assert reserved(0.0, 100.0, 0.5, {}, 0.0) == (50.0, 0.0)
    others = {"p": Reserve(70.0, 20.0, 10.0)}
    assert reserved(10.0, 100.0, 0.5, others, 0.0) == (30.0, 20.0)
    assert reserved(10.0, 100.0, 0.5, others, 10.0) == (45.0, 20.0)
    assert reserved(40.0, 100.0, 0.5, others, 0.0) == (40.0, 20.0)


@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.floats(0.0, 1.0), st.floats(0.0, 1.0))),
)
def test_allowances_never_exceed_the_budget(steps: list[tuple[int, float, float]]) -> None:
    """Whatever the shares, in whatever order processes report, if each keeps to its own."""
    reserves: dict[str, Reserve] = {}
    for number, share, part in steps:
        name = f"p{number}"
        allowance, spent, _ = reserves.pop(name, Reserve(0.0, 0.0, 1.0))
        spent += part * (allowance - spent)
        allowance, _ = reserved(spent, 100.0, share, reserves, 0.0)
        reserves[name] = Reserve(allowance, spent, 1.0)
        assert sum(reserve.allowance for reserve in reserves.values()) <= 100.0 + 1e-9
