"""Edges of repeating: nothing asked, who is asked again, windows of one token, the longest rest."""

from __future__ import annotations

from random import Random

from multirouter.core.limits.rate_limits import RetryBudget
from multirouter.core.planning.retrying import RetryState
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import RetryPolicy
from multirouter.model import AttemptRecord, FailureKind
from tests.core.kit import NEVER_TRIPS, World, failing, provider


class Scene:
    """Two providers and one call's repetition."""

    def __init__(self, **window: int) -> None:
        named = [provider(name, context_window=window.get(name)) for name in "ab"]
        self.world = World(named, circuit=NEVER_TRIPS)
        self.of = RetryState(RetryPolicy())
        self.budget = RetryBudget(RetryPolicy())

    def fail(self, name: str, kind: FailureKind, retries: int = 0) -> None:
        """Somebody is asked and fails."""
        self.of.asked(name)
        record = AttemptRecord(name, "r", "call", failing(kind), OSError(), 0.0, 0.0, "")
        members = self.world.route().members
        self.of.failed(record, self.world.member(name), RULES[kind], members, retries)


def test_before_anybody_was_asked_there_is_no_next_round() -> None:
    """A round begins after a round; and there is no failure to speak of yet."""
    scene = Scene()
    assert scene.of.round_at(scene.world.route().members, scene.world.now, 0.5) is None
    assert scene.of.last is None


def test_another_ones_end_keeps_who_is_asked_again() -> None:
    """In a race one provider's bad key does not cancel the other's retry; its own would."""
    scene = Scene()
    scene.fail("a", FailureKind.SERVER, retries=1)
    scene.fail("b", FailureKind.CREDENTIALS, retries=1)
    assert scene.of.again is scene.world.member("a")
    scene.fail("a", FailureKind.CREDENTIALS, retries=1)
    assert scene.of.again is None


def test_an_unknown_window_is_smaller_than_any() -> None:
    """A request too long for an unknown window goes on to any known one, however small."""
    scene = Scene(b=1)
    scene.fail("a", FailureKind.CONTEXT_LENGTH)
    assert scene.of.out == {"a"}
    scene = Scene(a=1)
    scene.fail("a", FailureKind.CONTEXT_LENGTH)
    assert scene.of.out == {"a", "b"}


def test_the_longest_retry_after_is_waited_for() -> None:
    """A rest of exactly `max_retry_after` is taken, a longer one is not."""
    scene = Scene()
    member, now = scene.world.member("a"), scene.world.now
    member.gate.cooldown_until = now + 30.0
    assert scene.of.same_at(member, now, Random(1).random()) is not None
    member.gate.cooldown_until = now + 30.1
    assert scene.of.same_at(member, now, 0.0) is None
