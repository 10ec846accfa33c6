"""How long a circuit stays open, and how long a cooldown lasts."""

from __future__ import annotations

from random import Random

from multirouter.core.failures.backoff import grown_duration
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.model import Verdict

DEFAULT_JITTER = 0.1
"""Share by which open durations are lengthened at random, unless the policy sets `jitter`."""

COOLDOWN_JITTER = 0.5
"""Share by which a cooldown whose length no provider has named is lengthened at random, unless the
policy sets `jitter`: clients that were rejected together come back over half of its length."""

COOLDOWN_GROWTH = 2.0
"""Factor on the cooldown for each further 429 in a row that names no time."""


def effective_jitter(policy: CircuitPolicy) -> float:
    """The policy's jitter as a share; unset, it is 0 for a fixed open duration (`growth=1`)."""
    if policy.jitter is not None:
        return policy.jitter
    return 0.0 if policy.growth == 1.0 else DEFAULT_JITTER


def open_duration(policy: CircuitPolicy, consecutive_openings: int, rng: Random) -> float:
    """Seconds that a circuit stays open, jitter included.

    Args:
        policy: the circuit's policy.
        consecutive_openings: openings without a recovery between, this one included.
        rng: source of the jitter.
    """
    span = grown_duration(
        policy.open_duration, policy.growth, policy.max_open_duration, consecutive_openings
    )
    return span * (1.0 + rng.random() * effective_jitter(policy))


def follower_duration(policy: CircuitPolicy, left: float, rng: Random) -> float:
    """Seconds that a circuit stays open which opened because those of other processes are.

    It half-opens after them, and with a jitter of at least `DEFAULT_JITTER` whatever the policy
    says: it is the many that follow at once whose trials would meet.

    Args:
        policy: the circuit's policy.
        left: seconds until theirs half-open.
        rng: source of the jitter.
    """
    jitter = max(DEFAULT_JITTER, effective_jitter(policy))
    return min(left, policy.max_cooldown) * (1.0 + rng.random() * jitter)


def open_until(
    policy: CircuitPolicy, duration: float, now: float, trial_started: float | None
) -> float:
    """Loop time until which a circuit stays open.

    After a failed trial the duration counts from the trial's start, and at least the policy's
    `open_duration` remains. Trials that hang thus follow each other nearly as fast as trials that
    fail at once, and a recovery is found as soon.

    Args:
        policy: the circuit's policy.
        duration: the open duration, seconds.
        now: loop time of the opening, seconds.
        trial_started: loop time at which the failed trial started; None for any other opening.
    """
    if trial_started is None:
        return now + duration
    return max(trial_started + duration, now + min(duration, policy.open_duration))


def exhausted_duration(policy: CircuitPolicy, verdict: Verdict) -> float:
    """Seconds that a circuit stays open after bad credentials or a used-up quota.

    The policy's `exhausted_duration`, or Retry-After (at most `max_cooldown`) if that is longer.
    """
    requested = min(verdict.retry_after or 0.0, policy.max_cooldown)
    return max(policy.exhausted_duration, requested)


def cooldown_duration(
    policy: CircuitPolicy, verdict: Verdict, consecutive_cooldowns: int, chance: float
) -> tuple[float, bool]:
    """Length of a cooldown, and whether the provider named it.

    Retry-After, at most `max_cooldown`. Without it the policy's `cooldown`, times
    `COOLDOWN_GROWTH` for each further one in a row, at most `max_open_duration`; then jitter, and
    at most `max_cooldown`.

    Args:
        policy: the circuit's policy.
        verdict: the verdict on the attempt.
        consecutive_cooldowns: cooldowns without a success between, this one included.
        chance: random number in [0, 1) for the jitter, one for each cooldown.

    Returns:
        The length in seconds, and whether it comes from Retry-After.
    """
    requested = verdict.retry_after or 0.0
    if requested > 0.0:
        return min(requested, policy.max_cooldown), True
    longest = policy.max_open_duration
    span = grown_duration(policy.cooldown, COOLDOWN_GROWTH, longest, consecutive_cooldowns)
    jitter = COOLDOWN_JITTER if policy.jitter is None else policy.jitter
    return min(span * (1.0 + chance * jitter), policy.max_cooldown), False
