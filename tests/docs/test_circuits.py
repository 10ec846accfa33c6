"""docs/circuits.md shows the states and the defaults that the code has."""

from __future__ import annotations

from pathlib import Path

from multirouter.core.circuit.breaker import DEFAULT_FAILURE_RATE, DEFAULT_FAILURES
from multirouter.core.circuit.states import TRANSITIONS
from multirouter.core.failures.backoff import DEFAULT_JITTER
from multirouter.core.settings.policies import CircuitPolicy

PAGE = Path(__file__).parents[2] / "docs" / "circuits.md"


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
        "open_for": f"{policy.open_for:g} s",
        "growth": f"{policy.growth:g}",
        "open_cap": f"{policy.open_cap:g} s",
        "jitter": f"{DEFAULT_JITTER:g}; 0 with `growth=1`",
        "probes": f"{policy.probes}",
        "exhausted_for": f"{policy.exhausted_for:g} s",
        "cooling": f"{policy.cooling:g} s",
        "max_cooling": f"{policy.max_cooling:g} s",
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
    assert CircuitPolicy().open_cap * (1 + DEFAULT_JITTER) < 30.0
