"""Stream part of a call's plan: first content, half-open trials, continuation elsewhere."""

from __future__ import annotations

import math

from multirouter.core.circuit.trial_lease import lease_for
from multirouter.core.events import ContinuationMode, StreamContinued
from multirouter.core.planning.capacity_wait import CapacityWait
from multirouter.core.planning.steps import AttemptStep

PROVEN_AFTER = 10.0
"""Seconds of a running stream after which the trial of a half-open circuit has passed."""


class StreamPlan(CapacityWait):
    """Plan of a call whose answer arrives in chunks.

    Its phases: deciding -> serving -> (interrupted -> deciding)* -> done.
    """

    __slots__ = ("_continuing", "_serving", "_timeout")

    _continuing: bool
    _serving: AttemptStep | None
    _timeout: float

    def begin_serving(self, step: AttemptStep, first_at: float) -> bool:
        """Records a stream's first content; its permit is kept until `record` reports the end.

        Args:
            step: the attempt.
            first_at: loop time of the provider's first content, seconds.

        Returns:
            False when another attempt was first; that one serves.
        """
        if self._serving is not None:
            return False
        self._serving = step
        self.record_first_content(step, first_at)
        return True

    def record_first_content(self, step: AttemptStep, first_at: float) -> None:
        """Records the latency to a stream's first content, for background trials too."""
        step.served_at = first_at
        trial = step.permit.delivering = step.permit.trial
        if step.stalled:
            step.slow = None  # the latency is not the provider's; what follows may be
            step.stalled = False
        else:
            step.slow = step.member.latency.record(first_at - step.started, first_at, trial=trial)

    def renew_trial_lease(
        self, step: AttemptStep, now: float, lease: float, lost: float = 0.0
    ) -> bool:
        """Renews the lease of a half-open provider's running stream.

        After `PROVEN_AFTER` seconds the trial has passed, and the end of the stream counts in the
        new generation.

        Args:
            step: the attempt.
            now: loop time, seconds.
            lease: length of the new lease, seconds.
            lost: seconds since the first content that stalls of the event loop took.

        Returns:
            Whether the trial has passed.
        """
        circuit, permit = step.member.gate.circuit, step.permit
        permit.renew(now, lease)
        if step.served_at is None or now - step.served_at - lost < PROVEN_AFTER:
            return False
        circuit.pass_trial(permit, now)
        self._context.dispatcher.deliver()
        return True

    def begin_continuation(self, now: float, until: float = math.inf) -> None:
        """Prepares the continuation of a stream that was interrupted and recorded.

        The search for another provider gets the call's whole timeout again. Delivered content
        cannot be taken back, so no later failure counts as the request's own fault.

        Args:
            now: loop time, seconds.
            until: loop time by which the stream must have ended at any provider, seconds.
        """
        self._serving = None
        self._continuing = True
        base: CapacityWait = self
        base.deadline = min(now + self._timeout, until)

    def stream_continued(
        self, step: AttemptStep, interrupted: str, mode: ContinuationMode, chunks: int
    ) -> None:
        """Reports that an interrupted stream continues.

        Args:
            step: the attempt that serves from here.
            interrupted: name of the provider whose stream was interrupted.
            mode: see `ContinuationMode`.
            chunks: number of chunks that had been delivered.
        """
        step.why = f"{step.why}; continued by {mode} after {chunks} chunks from {interrupted}"
        names = (self._context.router, self.route.name, interrupted, step.member.name)
        self._context.dispatcher.post("stream_continued", StreamContinued(*names, mode, chunks))
        self._context.dispatcher.deliver()


def trial_lease(step: AttemptStep) -> float:
    """Lease of a streaming trial, seconds, from one chunk to the next."""
    return lease_for(step.member.idle, step.member.gate.circuit.policy.open_duration)
