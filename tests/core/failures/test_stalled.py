"""Which failures a stall of the event loop may have caused, and what they do to the circuit."""

from __future__ import annotations

import pytest

from multirouter.core.failures.stalled import circuit_effect, may_be_from_stall
from multirouter.core.settings.failure_rules import RULES, CircuitEffect
from multirouter.model import FailureKind, Verdict

CAUSED = {FailureKind.TIMEOUT, FailureKind.TRANSPORT, FailureKind.INTERRUPTED}


@pytest.mark.parametrize("kind", [*FailureKind])
def test_what_the_provider_answered_counts(kind: FailureKind) -> None:
    """Only kinds without an answer of the provider are neutral, and only after a stall."""
    verdict, usual = Verdict(kind), RULES[kind].circuit
    assert may_be_from_stall(verdict) == (kind in CAUSED)
    assert circuit_effect(RULES, verdict, stalled=False) is usual
    neutral = CircuitEffect.NEUTRAL if kind in CAUSED else usual
    assert circuit_effect(RULES, verdict, stalled=True) is neutral


def test_a_server_that_waited_for_the_request_is_not_at_fault() -> None:
    """A status 408 after a stall: the request was sent too slowly."""
    verdict = Verdict(FailureKind.SERVER, status=408)
    assert circuit_effect(RULES, verdict, stalled=True) is CircuitEffect.NEUTRAL
    assert circuit_effect(RULES, verdict, stalled=False) is CircuitEffect.FAILURE
