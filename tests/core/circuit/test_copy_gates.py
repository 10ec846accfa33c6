"""Gates of shadow copies."""

from __future__ import annotations

from random import Random

from multirouter.core.circuit.copy_gates import CopyGates
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.model import FailureKind, Verdict
from tests.core.gate_bench import GateBench

LEASE = 30.0
FAILED = Verdict(FailureKind.SERVER)
LIMITED = Verdict(FailureKind.RATE_LIMIT, 60.0)
DENIED = Verdict(FailureKind.CREDENTIALS)


def test_failures_stop_no_copies() -> None:
    """How often copies fail is what a shadow shows, so they go on; so does the provider's gate."""
    bench, gates = GateBench(CircuitPolicy(failures=1)), CopyGates(Random(1))
    for _ in range(100):
        permit = gates.of(bench.gate).acquire(0.0, 0, LEASE)
        assert permit is not None
        gates.of(bench.gate).release_unanswered(permit, FAILED, CircuitEffect.FAILURE, 0.0)
    assert bench.gate.circuit.is_closed


def test_a_rate_of_failures_or_slow_answers_stops_no_copies() -> None:
    """Nor does any other rule of the policy that counts."""
    policy = CircuitPolicy(failures=3, failure_rate=0.1, minimum_calls=2, slow_after=1.0)
    bench, gates = GateBench(policy), CopyGates(Random(1))
    copies = gates.of(bench.gate)
    for effect in (CircuitEffect.FAILURE, None) * 20:
        permit = copies.acquire(0.0, 0, LEASE)
        assert permit is not None
        if effect is None:
            copies.release_answered(permit, 0.0, 60.0)
        else:
            copies.release_unanswered(permit, FAILED, effect, 0.0)
    assert copies.circuit.is_closed


def test_other_providers_keep_their_gates() -> None:
    """A gate of one provider's copies is made beside those of the others."""
    gates, one, other = CopyGates(Random(1)), GateBench().gate, GateBench().gate
    other.name = "b"
    first, second = gates.of(one), gates.of(other)
    assert (first.name, second.name) == ("a", "b")
    assert gates.of(one) is first
    assert gates.of(other) is second


def test_a_rate_limit_stops_copies_for_its_time() -> None:
    """The provider's own gate knows nothing of it."""
    bench, gates = GateBench(), CopyGates(Random(1))
    copies = gates.of(bench.gate)
    permit = copies.acquire(0.0, 0, LEASE)
    assert permit is not None
    copies.release_unanswered(permit, LIMITED, CircuitEffect.COOLDOWN, 0.0)
    assert (copies.admits(59.9), copies.admits(60.0)) == (False, True)
    assert bench.gate.admits(0.0)
    gates.shift(1000.0)
    assert (copies.admits(1059.9), copies.admits(1060.0)) == (False, True)


def test_bad_credentials_stop_copies_until_a_trial() -> None:
    """After `exhausted_duration` one copy decides."""
    bench, gates = GateBench(CircuitPolicy(exhausted_duration=300.0)), CopyGates(Random(1))
    copies = gates.of(bench.gate)
    permit = copies.acquire(0.0, 0, LEASE)
    assert permit is not None
    copies.release_unanswered(permit, DENIED, CircuitEffect.TRIP, 0.0)
    assert (copies.admits(299.9), copies.admits(300.0)) == (False, True)
    assert copies.acquire(300.0, 0, LEASE) is not None
    assert not copies.admits(300.0)
    gates.forget_attempts()
    assert (copies.admits(300.0), copies.in_flight) == (True, 0)


def test_a_gate_follows_its_provider() -> None:
    """A new policy is applied; a provider that was removed and added again starts anew."""
    bench, gates = GateBench(), CopyGates(Random(1))
    copies = gates.of(bench.gate)
    assert gates.of(bench.gate) is copies
    permit = copies.acquire(0.0, 0, LEASE)
    assert permit is not None
    copies.release_unanswered(permit, LIMITED, CircuitEffect.COOLDOWN, 0.0)
    bench.gate.apply(CircuitPolicy(cooldown=7.0), None)
    assert gates.of(bench.gate) is copies
    assert (copies.circuit.policy.cooldown, copies.admits(1.0)) == (7.0, False)
    bench.gate.removed = True
    again = GateBench().gate
    assert gates.of(again) is not copies
    assert gates.of(again).admits(1.0)
    again.removed = True
    same = GateBench().gate
    same.apply(again.circuit.policy, None)
    assert gates.of(same) is not gates.of(again)
