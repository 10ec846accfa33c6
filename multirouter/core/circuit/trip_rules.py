"""The rules that decide when a closed circuit trips."""

from __future__ import annotations

import math

from multirouter.core.rolling_window import RollingCounts
from multirouter.core.settings.policies import CircuitPolicy

DEFAULT_FAILURES = 3
"""Consecutive failures that trip a circuit under light traffic, when the policy sets no rule."""

DEFAULT_FAILURE_RATE = 0.5
"""Share of failures that trips a circuit, when the policy sets no rule."""


def failures_needed(policy: CircuitPolicy, window: RollingCounts) -> int | None:
    """Consecutive failures that trip the circuit; None when only the failure rate does.

    Args:
        policy: the circuit's policy.
        window: calls and failures of the policy's window.
    """
    if policy.failures is None and policy.failure_rate is None:
        return max(DEFAULT_FAILURES, window.calls.bit_length() - 1)
    return policy.failures


def failure_rule_met(
    policy: CircuitPolicy, window: RollingCounts, consecutive_failures: int
) -> str:
    """Returns the name of the rule that trips the circuit, or an empty string.

    Without a rule in the policy both defaults apply: max(`DEFAULT_FAILURES`, log2 of the calls in
    the window) consecutive failures, and a share of `DEFAULT_FAILURE_RATE`.

    Args:
        policy: the circuit's policy.
        window: calls and failures of the policy's window, the newest failure included.
        consecutive_failures: failures since the last success, the newest included.

    Returns:
        `failures`, `failure_rate` or an empty string: the `reason` of the transition.
    """
    failures, rate = failures_needed(policy, window), policy.failure_rate
    if policy.failures is None and rate is None:
        rate = DEFAULT_FAILURE_RATE
    if failures is not None and consecutive_failures >= failures:
        return "failures"
    if rate is not None and window.calls >= policy.minimum_calls:
        return "failure_rate" if window.failures >= rate * window.calls else ""
    return ""


def too_slow(
    policy: CircuitPolicy, slow_calls: RollingCounts, now: float, elapsed: float, *, trial: bool
) -> bool:
    """Records one answer's duration and returns whether slow answers trip the circuit.

    A half-open circuit is judged by the one answer, a closed one by the share of slow answers.

    Args:
        policy: the circuit's policy; its `slow_after` is set.
        slow_calls: answers of the window; those slower than `slow_after` count as failures.
        now: loop time, seconds.
        elapsed: the answer's duration, seconds.
        trial: whether the circuit is half-open.
    """
    slow = elapsed > (policy.slow_after or math.inf)
    slow_calls.record(now, failed=slow)
    if trial:
        return slow
    enough = slow_calls.calls >= policy.minimum_calls
    return enough and slow_calls.failures >= policy.slow_rate * slow_calls.calls
