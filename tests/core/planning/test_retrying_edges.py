"""Edge cases of the retry state: no attempts, races, unknown windows, longest waits."""

from __future__ import annotations

from random import Random

from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.planning.retrying import RetryState
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import RetryPolicy
from multirouter.model import AttemptRecord, FailureKind
from tests.core.kit import NEVER_TRIPS, World, failing, provider


class Scene:
    """Two providers and one call's retry state."""

    def __init__(self, **window: int) -> None:
        named = [provider(name, context_window=window.get(name)) for name in "ab"]
        self.world = World(named, circuit=NEVER_TRIPS)
        self.state = RetryState(RetryPolicy())
        self.budget = RetryBudget(RetryPolicy())

    def fail(self, name: str, kind: FailureKind, retries: int = 0) -> None:
        """Records a failed attempt at a provider."""
        self.state.record_attempt(name)
        record = AttemptRecord(name, "r", "call", failing(kind), OSError(), 0.0, 0.0, "")
        members = self.world.route().members
        self.state.failed(record, self.world.member(name), RULES[kind], members, retries)


def test_no_next_round_before_an_attempt() -> None:
    """Without an attempt there is no next round and no last failure."""
    scene = Scene()
    assert scene.state.next_round_at(scene.world.route().members, scene.world.now, 0.5) is None
    assert scene.state.last is None


def test_other_failures_keep_the_pending_retry() -> None:
    """In a race one provider's bad key keeps the other's retry; its own cancels it."""
    scene = Scene()
    scene.fail("a", FailureKind.SERVER, retries=1)
    scene.fail("b", FailureKind.CREDENTIALS, retries=1)
    assert scene.state.retry_same is scene.world.member("a")
    scene.fail("a", FailureKind.CREDENTIALS, retries=1)
    assert scene.state.retry_same is None


def test_unknown_window_excludes_no_provider_and_is_not_excluded() -> None:
    """A request that was too long goes to every provider not known to be no larger."""
    for windows in ({"b": 1}, {"a": 1}, {}):
        scene = Scene(**windows)
        scene.fail("a", FailureKind.CONTEXT_LENGTH)
        assert scene.state.excluded_for_call == {"a"}
    scene = Scene(a=8, b=8)
    scene.fail("a", FailureKind.CONTEXT_LENGTH)
    assert scene.state.excluded_for_call == {"a", "b"}


def test_longest_retry_after_is_waited_for() -> None:
    """A cooldown of exactly `max_retry_after` is waited for, a longer one is not."""
    scene = Scene()
    member, now = scene.world.member("a"), scene.world.now
    member.gate.cooldown_until = now + 30.0
    assert scene.state.retry_same_at(member, now, Random(1).random()) is not None
    member.gate.cooldown_until = now + 30.1
    assert scene.state.retry_same_at(member, now, 0.0) is None
