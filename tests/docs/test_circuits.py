"""docs/explanation/circuits.md shows the states and the defaults that the code has."""

from __future__ import annotations

from pathlib import Path

from multirouter.core.circuit.durations import COOLDOWN_JITTER, DEFAULT_JITTER
from multirouter.core.circuit.states import TRANSITIONS
from multirouter.core.circuit.trip_rules import DEFAULT_FAILURE_RATE, DEFAULT_FAILURES
from multirouter.core.settings.policies import CircuitPolicy

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "circuits.md"


def diagram() -> str:
    """The state diagram as mermaid, made from the table of transitions."""
    arrows = [
        f"    {old.name} --> {new.name}: {signal.value}"
        for (old, signal), new in TRANSITIONS.items()
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> CLOSED", *arrows])


def defaults() -> str:
    """The table of defaults, made from the policy."""
    policy = CircuitPolicy()
    rows = {
        "failures": f"{DEFAULT_FAILURES}, and the binary logarithm of the calls in the window",
        "failure_rate": f"{DEFAULT_FAILURE_RATE:g} of at least `minimum_calls`",
        "minimum_calls": f"{policy.minimum_calls}",
        "window": f"{policy.window:g} s",
        "open_duration": f"{policy.open_duration:g} s",
        "growth": f"{policy.growth:g}",
        "max_open_duration": f"{policy.max_open_duration:g} s",
        "jitter": f"{DEFAULT_JITTER:g}; 0 with `growth=1`; {COOLDOWN_JITTER:g} for `cooldown`",
        "half_open_max_calls": f"{policy.half_open_max_calls}",
        "half_open_wait": f"{policy.half_open_wait:g} s",
        "exhausted_duration": f"{policy.exhausted_duration:g} s",
        "cooldown": f"{policy.cooldown:g} s",
        "max_cooldown": f"{policy.max_cooldown:g} s",
        "ramp": f"{policy.ramp:g} s",
    }
    return "\n".join(f"| `{name}` | {value} |" for name, value in rows.items())


def test_the_diagram_is_made_from_the_table() -> None:
    """Every change of the table is an arrow of the page, and nothing else is."""
    assert f"```mermaid\n{diagram()}\n```" in PAGE.read_text(encoding="utf-8")


def test_the_defaults_are_those_of_the_code() -> None:
    """The page's table of defaults is what a policy that says nothing does."""
    assert f"{defaults()}\n" in PAGE.read_text(encoding="utf-8")


def test_the_longest_open_time_is_under_half_a_minute() -> None:
    """A provider that recovers is back within 30 s of it: the cap with its full jitter is less."""
    assert CircuitPolicy().max_open_duration * (1 + DEFAULT_JITTER) < 30.0
