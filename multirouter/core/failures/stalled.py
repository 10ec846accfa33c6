"""Failures that a stall of the router's own event loop may have caused."""

from __future__ import annotations

from collections.abc import Mapping

from multirouter.core.settings.failure_rules import CircuitEffect, Rule
from multirouter.model import FailureKind, Verdict

STALL_KINDS: frozenset[FailureKind] = frozenset(
    {FailureKind.TIMEOUT, FailureKind.TRANSPORT, FailureKind.INTERRUPTED}
)
"""Kinds that a process which does not run causes itself: it reads no answer in time, and its peer
closes a connection that is not read or kept alive."""

REQUEST_TIMEOUT = 408
"""HTTP status of a server that waited too long for the rest of a request."""


def may_be_from_stall(verdict: Verdict) -> bool:
    """Whether a stall of the event loop during the attempt may be the cause of this failure."""
    return verdict.kind in STALL_KINDS or verdict.status == REQUEST_TIMEOUT


def circuit_effect(
    rules: Mapping[FailureKind, Rule], verdict: Verdict, *, stalled: bool
) -> CircuitEffect:
    """What a failure does to the provider's circuit and health.

    Args:
        rules: the rules of the call's route.
        verdict: the verdict on the attempt.
        stalled: whether the event loop stalled during the attempt.
    """
    if stalled and may_be_from_stall(verdict):
        return CircuitEffect.NEUTRAL
    return rules[verdict.kind].circuit
