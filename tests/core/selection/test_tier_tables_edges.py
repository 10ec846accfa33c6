"""Edge cases of a tier table: functions of a candidate, panic, and a ramp."""

from __future__ import annotations

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.kit import World, answer, chunks, provider

FIXED = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


def test_a_candidate_has_its_providers_functions() -> None:
    """The coroutine function and the generator function are the provider's own."""
    member = World([provider("a", stream=chunks)]).member("a")
    assert member.call is answer
    assert member.stream is chunks


def test_panic_has_no_trials() -> None:
    """A half-open provider is chosen as any other, and gets no trial beside a call."""
    world = World([provider("a"), provider("b")], circuit=FIXED, panic=1.0)
    world.half_open("a")
    table = world.route().tiers[0].table(world.now)
    assert table.panic
    assert table.half_open == []
    assert [member.name for member in table.healthy.members] == ["a", "b"]


def test_a_table_is_valid_for_one_step_of_a_ramp() -> None:
    """While a weight grows over ten seconds, the table is rebuilt each second."""
    world = World([provider("a"), provider("b")], circuit=CircuitPolicy(failures=1, ramp=10.0))
    world.half_open("a")
    world.run_call("a", "success")
    assert world.states.gates["a"].circuit.is_closed
    assert world.route().tiers[0].table(world.now).valid_until == world.now + 1.0
