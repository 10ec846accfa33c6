"""What a call may still do after a failure: who is out, what it costs, how long it rests."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.limits.rate_limits import RetryBudget
from multirouter.core.planning.retrying import RetryState
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.model import AttemptRecord, FailureKind
from tests.core.kit import NEVER_TRIPS, World, failing, provider


class Scene:
    """Three providers and one call's repetition, with a budget of its own."""

    def __init__(self, **policy: float) -> None:
        self.policy = RetryPolicy(**policy)  # type: ignore[arg-type]
        self.world = World([provider(n) for n in "abc"], circuit=NEVER_TRIPS)
        self.budget = RetryBudget(self.policy)
        self.of = RetryState(self.policy)

    def member(self, name: str) -> Candidate:
        return self.world.member(name)

    def fail(self, name: str, kind: FailureKind = FailureKind.SERVER, retries: int = 0) -> None:
        """Somebody is asked and fails."""
        self.of.asked(name)
        record = AttemptRecord(name, "r", "call", failing(kind), OSError(), 0.0, 0.0, "")
        members = self.world.route().members
        self.of.failed(record, self.member(name), RULES[kind], members, retries)

    def affords(self, name: str, role: str = "call") -> bool:
        return self.of.affordable(
            self.member(name),
            role,  # type: ignore[arg-type]
            self.budget,
            self.world.now,
        )

    def pay(self, name: str, role: str = "call") -> None:
        self.of.pay(self.member(name), role, self.budget, self.world.now)  # type: ignore[arg-type]

    def round_at(self, draw: float = 0.5) -> float | None:
        return self.of.round_at(self.world.route().members, self.world.now, draw)


# ── who is out ──────────────────────────────────────────────────────────────────────────────────


def test_a_round_bars_whom_it_asked() -> None:
    """Who was asked is barred until the next round; who is out stays so."""
    scene = Scene()
    scene.fail("a")
    scene.fail("b", FailureKind.TIMEOUT)
    assert (scene.of.barred, scene.of.out) == ({"a", "b"}, {"b"})
    scene.of.next_round()
    assert (scene.of.barred, scene.of.out) == ({"b"}, {"b"})
    assert scene.of.last is not None
    assert scene.of.last.provider == "b"


def test_impatience_is_nobodys_fault() -> None:
    """Who was cut off by its own past alone is not out, though a timeout of its own would be."""
    for impatient, out in [(True, set()), (False, {"a"})]:
        scene = Scene()
        scene.of.asked("a")
        record = AttemptRecord("a", "r", "call", failing("timeout"), OSError(), 0.0, 0.0, "")
        rule, members = RULES[FailureKind.TIMEOUT], scene.world.route().members
        scene.of.failed(record, members[0], rule, members, 1, impatient=impatient)
        assert (scene.of.last, scene.of.out, scene.of.again) == (record, out, None)


def test_a_quick_try_is_one() -> None:
    """After a broken connection there is one more try, and none after that."""
    scene = Scene()
    scene.fail("a", FailureKind.TRANSPORT)
    assert scene.of.out == set()
    scene.fail("a", FailureKind.TRANSPORT)
    assert scene.of.out == {"a"}


def test_again_is_counted_by_provider() -> None:
    """Each provider has `retries_per_provider` retries of its own."""
    scene = Scene()
    for name, retries, again in [("a", 1, "a"), ("a", 1, None), ("b", 1, "b")]:
        scene.of.again = None
        scene.fail(name, retries=retries)
        assert (scene.of.again.name if scene.of.again else None) == again


def test_stopping_bars_everybody() -> None:
    """After `stop` nobody is left, not even who was to be asked again."""
    scene = Scene()
    scene.fail("a", retries=1)
    scene.of.stop(scene.world.route().members)
    assert scene.of.again is None
    assert scene.of.out == {"a", "b", "c"}
    assert scene.round_at() is None
    assert not scene.of.affords_any(scene.world.route().members, scene.budget, 0.0)


# ── the price ───────────────────────────────────────────────────────────────────────────────────


def test_what_is_free() -> None:
    """The first try of a healthy provider is free; a hedge, a second try and an ill one are not."""
    scene = Scene(attempts=1)
    scene.of.asked("a")
    assert scene.affords("b")
    assert scene.of.refusal is None
    assert not scene.affords("b", "hedge")
    assert not scene.affords("a")
    scene.world.hit("c")
    assert not scene.affords("c")
    assert scene.of.refusal == "attempts"


def test_what_is_paid_is_booked_twice() -> None:
    """A paid attempt counts towards `attempts` and against the budget; a free one neither."""
    scene = Scene(attempts=3, budget=0.0, budget_floor=2)
    scene.pay("a")
    scene.of.asked("a")
    scene.pay("a")
    scene.pay("b", "hedge")
    assert not scene.affords("a")
    assert scene.of.refusal == "attempts"
    assert not scene.budget.allows(scene.world.now)


def test_a_refusal_is_not_for_ever() -> None:
    """The budget is asked each time: what it refused, it may allow later."""
    scene = Scene(budget=0.0, budget_floor=1, budget_window=10.0)
    scene.of.asked("a")
    scene.pay("a")
    assert not scene.affords("a")
    assert scene.of.refusal == "budget"
    scene.world.now += 10.0
    assert scene.affords("a")
    assert scene.of.refusal is None


# ── the rest ────────────────────────────────────────────────────────────────────────────────────


def test_rests_grow_with_the_rounds() -> None:
    """The ceiling doubles with each time somebody was asked, and stays under the cap."""
    scene = Scene(base=0.5, factor=2.0, cap=3.0)
    rests = []
    for _ in range(5):
        scene.of.next_round()
        scene.fail("a")
        at = scene.round_at(draw=0.5)
        assert at is not None
        rests.append(at - scene.world.now)
    assert rests == pytest.approx([0.25, 0.5, 1.0, 1.5, 1.5])


def test_an_empty_round_is_the_last() -> None:
    """When nobody could be asked in a round, there is no further one."""
    scene = Scene()
    scene.fail("a")
    assert scene.round_at() is not None
    scene.of.next_round()
    assert scene.round_at() is None


def test_only_the_closed_are_waited_for() -> None:
    """Who is tripped or held open is not waited for; who is out does not count."""
    scene = Scene()
    scene.fail("a")
    gates = scene.world.memory.gates
    for gate in gates.values():
        gate.hold_by_hand("open", 0.0)
    assert scene.round_at() is None
    gates["b"].hold_by_hand(None, 0.0)  # half-open now: released, not yet trusted
    assert scene.round_at() is None
    tripped = World([provider("a")], circuit=CircuitPolicy(failures=1))
    tripped.trip("a")
    assert scene.of.same_at(tripped.member("a"), tripped.now, 0.5) is None


@given(
    cooldowns=st.lists(st.floats(0.0, 100.0), min_size=3, max_size=3),
    draw=st.floats(0.0, 1.0, exclude_max=True),
    now=st.floats(0.0, 1e6),
)
def test_no_rest_is_shorter_than_the_shortest_cooling(
    cooldowns: list[float], draw: float, now: float
) -> None:
    """Case 61: a rest ends when the first may be asked again, never a rounding error sooner."""
    scene = Scene(base=0.5)
    scene.world.now = now
    for name, cooldown in zip("abc", cooldowns, strict=True):
        scene.world.memory.gates[name].cooldown_until = now + cooldown
    scene.fail("a")
    at = scene.round_at(draw)
    ends = [gate.cooldown_until for gate in scene.world.memory.gates.values()]
    if min(ends) - now > scene.policy.max_retry_after:
        assert at is None
    else:
        assert at is not None
        assert at >= min(ends)
        assert at <= max(now + 0.5, min(ends)) + 1e-9
        assert scene.world.memory.gates["abc"[ends.index(min(ends))]].admits(at)


def test_full_jitter_is_even() -> None:
    """Case 60: without a floor the rests of many calls are even over [0, base], mean near half."""
    scene = Scene(base=0.5)
    scene.fail("a")
    rng = Random(3)
    rests = [scene.round_at(rng.random()) or math.nan for _ in range(4000)]
    lengths = [at - scene.world.now for at in rests]
    # The mean of n even draws on [0, 0.5] has a deviation of 0.5 / sqrt(12 n).
    assert abs(sum(lengths) / 4000 - 0.25) < 4 * 0.5 / math.sqrt(12 * 4000)
    assert 0.0 <= min(lengths) < 0.01
    assert 0.49 < max(lengths) <= 0.5
