"""Retry state: exclusions, cost and backoff."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.planning.retrying import RetryState
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.model import AttemptRecord, FailureKind
from tests.core.kit import NEVER_TRIPS, World, failing, provider


class Scene:
    """Three providers and one call's retry state, with a budget of its own."""

    def __init__(self, **policy: float) -> None:
        self.policy = RetryPolicy(**policy)  # type: ignore[arg-type]
        self.world = World([provider(n) for n in "abc"], circuit=NEVER_TRIPS)
        self.budget = RetryBudget(self.policy)
        self.state = RetryState(self.policy)

    def member(self, name: str) -> Candidate:
        return self.world.member(name)

    def fail(self, name: str, kind: FailureKind = FailureKind.SERVER, retries: int = 0) -> None:
        """Records a failed attempt at a provider."""
        self.state.record_attempt(name)
        record = AttemptRecord(name, "r", "call", failing(kind), OSError(), 0.0, 0.0, "")
        members = self.world.route().members
        self.state.failed(record, self.member(name), RULES[kind], members, retries)

    def affords(self, name: str, role: str = "call") -> bool:
        return self.state.can_afford(
            self.member(name),
            role,  # type: ignore[arg-type]
            self.budget,
            self.world.now,
        )

    def spend(self, name: str, role: str = "call") -> None:
        self.state.spend(self.member(name), role, self.budget, self.world.now)  # type: ignore[arg-type]

    def next_round_at(self, random: float = 0.5) -> float | None:
        return self.state.next_round_at(self.world.route().members, self.world.now, random)


# ── exclusion ───────────────────────────────────────────────────────────────────────────────────


def test_attempted_providers_are_excluded_for_the_round() -> None:
    """Attempted providers are excluded until the next round, others for the call."""
    scene = Scene()
    scene.fail("a")
    scene.fail("b", FailureKind.TIMEOUT)
    assert (scene.state.excluded, scene.state.excluded_for_call) == ({"a", "b"}, {"b"})
    scene.state.next_round()
    assert (scene.state.excluded, scene.state.excluded_for_call) == ({"b"}, {"b"})
    assert scene.state.last is not None
    assert scene.state.last.provider == "b"


def test_cut_short_attempt_does_not_exclude() -> None:
    """A provider cut off by its adaptive timeout is not excluded for the call."""
    for cut_short, out in [(True, set()), (False, {"a"})]:
        scene = Scene()
        scene.state.record_attempt("a")
        record = AttemptRecord("a", "r", "call", failing("timeout"), OSError(), 0.0, 0.0, "")
        rule, members = RULES[FailureKind.TIMEOUT], scene.world.route().members
        scene.state.failed(record, members[0], rule, members, 1, cut_short=cut_short)
        assert (scene.state.last, scene.state.excluded_for_call, scene.state.retry_same) == (
            record,
            out,
            None,
        )


def test_quick_retry_happens_once() -> None:
    """After a transport failure there is one retry, and none after that."""
    scene = Scene()
    scene.fail("a", FailureKind.TRANSPORT)
    assert scene.state.excluded_for_call == set()
    scene.fail("a", FailureKind.TRANSPORT)
    assert scene.state.excluded_for_call == {"a"}


def test_retries_are_counted_by_provider() -> None:
    """Each provider has `retries_per_provider` retries of its own."""
    scene = Scene()
    for name, retries, retried in [("a", 1, "a"), ("a", 1, None), ("b", 1, "b")]:
        scene.state.retry_same = None
        scene.fail(name, retries=retries)
        assert (scene.state.retry_same.name if scene.state.retry_same else None) == retried


def test_exclude_all() -> None:
    """After `exclude_all` no provider is left, not even one due for a retry."""
    scene = Scene()
    scene.fail("a", retries=1)
    scene.state.exclude_all(scene.world.route().members)
    assert scene.state.retry_same is None
    assert scene.state.excluded_for_call == {"a", "b", "c"}
    assert scene.next_round_at() is None
    assert not scene.state.can_afford_any(scene.world.route().members, scene.budget, 0.0)


# ── cost ────────────────────────────────────────────────────────────────────────────────────────


def test_which_attempts_are_free() -> None:
    """The first attempt at a healthy provider is free; hedges and retries are not."""
    scene = Scene(attempts=1)
    scene.state.record_attempt("a")
    assert scene.affords("b")
    assert scene.state.denial is None
    assert not scene.affords("b", "hedge")
    assert not scene.affords("a")
    scene.world.run_call("c")
    assert not scene.affords("c")
    assert scene.state.denial == "attempts"


def test_paid_attempts_count_twice() -> None:
    """A paid attempt counts towards `attempts` and against the budget; a free one neither."""
    scene = Scene(attempts=3, budget=0.0, budget_floor=2)
    scene.spend("a")
    scene.state.record_attempt("a")
    scene.spend("a")
    scene.spend("b", "hedge")
    assert not scene.affords("a")
    assert scene.state.denial == "attempts"
    assert not scene.budget.allows(scene.world.now)


def test_denial_is_cleared() -> None:
    """The budget is consulted each time: what it denied, it may allow later."""
    scene = Scene(budget=0.0, budget_floor=1, budget_window=10.0)
    scene.state.record_attempt("a")
    scene.spend("a")
    assert not scene.affords("a")
    assert scene.state.denial == "budget"
    scene.world.now += 10.0
    assert scene.affords("a")
    assert scene.state.denial is None


# ── backoff ─────────────────────────────────────────────────────────────────────────────────────


def test_backoff_grows_with_the_rounds() -> None:
    """The ceiling doubles with each attempt at a provider, up to the cap."""
    scene = Scene(base=0.5, factor=2.0, cap=3.0)
    delays = []
    for _ in range(5):
        scene.state.next_round()
        scene.fail("a")
        at = scene.next_round_at(random=0.5)
        assert at is not None
        delays.append(at - scene.world.now)
    assert delays == pytest.approx([0.25, 0.5, 1.0, 1.5, 1.5])


def test_empty_round_is_the_last() -> None:
    """After a round without an attempt there is no further one."""
    scene = Scene()
    scene.fail("a")
    assert scene.next_round_at() is not None
    scene.state.next_round()
    assert scene.next_round_at() is None


def test_only_closed_circuits_are_waited_for() -> None:
    """Open and held providers are not waited for; excluded ones do not count."""
    scene = Scene()
    scene.fail("a")
    gates = scene.world.states.gates
    for gate in gates.values():
        gate.set_hold("open", 0.0)
    assert scene.next_round_at() is None
    gates["b"].set_hold(None, 0.0)  # half-open now: released, not yet trusted
    assert scene.next_round_at() is None
    tripped = World([provider("a")], circuit=CircuitPolicy(failures=1))
    tripped.trip("a")
    assert scene.state.retry_same_at(tripped.member("a"), tripped.now, 0.5) is None


@given(
    cooldowns=st.lists(st.floats(0.0, 100.0), min_size=3, max_size=3),
    random=st.floats(0.0, 1.0, exclude_max=True),
    now=st.floats(0.0, 1e6),
)
def test_backoff_is_at_least_the_shortest_cooldown(
    cooldowns: list[float], random: float, now: float
) -> None:
    """Case 61: a backoff never ends before the first cooldown, not even by rounding."""
    scene = Scene(base=0.5)
    scene.world.now = now
    for name, cooldown in zip("abc", cooldowns, strict=True):
        scene.world.states.gates[name].cooldown_until = now + cooldown
    scene.fail("a")
    at = scene.next_round_at(random)
    ends = [gate.cooldown_until for gate in scene.world.states.gates.values()]
    if min(ends) - now > scene.policy.max_retry_after:
        assert at is None
    else:
        assert at is not None
        assert at >= min(ends)
        assert at <= max(now + 0.5, min(ends)) + 1e-9
        assert scene.world.states.gates["abc"[ends.index(min(ends))]].admits(at)


def test_full_jitter_is_uniform() -> None:
    """Case 60: the backoffs of many calls are uniform over [0, base], mean near half."""
    scene = Scene(base=0.5)
    scene.fail("a")
    rng = Random(3)
    delays = [scene.next_round_at(rng.random()) or math.nan for _ in range(4000)]
    lengths = [at - scene.world.now for at in delays]
    # The mean of n even draws on [0, 0.5] has a deviation of 0.5 / sqrt(12 n).
    assert abs(sum(lengths) / 4000 - 0.25) < 4 * 0.5 / math.sqrt(12 * 4000)
    assert 0.0 <= min(lengths) < 0.01
    assert 0.49 < max(lengths) <= 0.5
