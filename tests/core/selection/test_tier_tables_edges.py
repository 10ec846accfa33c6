"""Edges of the draw: what a member calls, tables of a panic, and tables of a ramp."""

from __future__ import annotations

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.kit import World, answer, chunks, provider

FIXED = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


def test_a_member_calls_what_its_provider_calls() -> None:
    """The coroutine function and the generator function are the provider's own."""
    member = World([provider("a", stream=chunks)]).member("a")
    assert member.call is answer
    assert member.stream is chunks


def test_a_table_of_a_panic_has_no_trials() -> None:
    """Who would be on trial is drawn as everybody else, and gets no copy besides."""
    world = World([provider("a"), provider("b")], circuit=FIXED, panic=1.0)
    world.half_open("a")
    table = world.route().tiers[0].table(world.now)
    assert table.panic_started
    assert table.trials == []
    assert [member.name for member in table.healthy.members] == ["a", "b"]


def test_a_ramps_table_lives_for_one_step() -> None:
    """While a weight grows over ten seconds, the table is made anew each second."""
    world = World([provider("a"), provider("b")], circuit=CircuitPolicy(failures=1, ramp=10.0))
    world.half_open("a")
    world.hit("a", "success")
    assert world.memory.gates["a"].circuit.is_closed
    assert world.route().tiers[0].table(world.now).valid_until == world.now + 1.0
