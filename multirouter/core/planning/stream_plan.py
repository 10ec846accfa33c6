"""The part of a call's plan that is about streams: serving, flowing, broken, spliced."""

from __future__ import annotations

import math

from multirouter.core.events import ContinuationMode, StreamContinued
from multirouter.core.planning.admission import LEASE_MARGIN, Admission
from multirouter.core.planning.steps import AttemptStep

FLOW_PROVES = 10.0
"""Seconds of a flowing stream that prove a half-open provider to be well."""


class StreamPlan(Admission):
    """One call whose answer comes in pieces.

    It goes deciding -> serving -> (broken -> deciding)* -> done.
    """

    __slots__ = ("_serving", "_spliced", "_timeout")

    _serving: AttemptStep | None
    _spliced: bool
    _timeout: float

    def serving(self, step: AttemptStep, first_at: float) -> bool:
        """Notes a stream's first content: its permit is kept until `record` tells of the end.

        Args:
            step: the attempt.
            first_at: loop time of the first content that its provider said, seconds.

        Returns:
            False when another attempt was first; that one serves.
        """
        if self._serving is not None:
            return False
        self._serving = step
        self.opened(step, first_at)
        return True

    def opened(self, step: AttemptStep, first_at: float) -> None:
        """Notes the first content of a stream, of a copy too: that is what its pace is made of."""
        step.served_at = first_at
        trial = step.permit.trial
        step.slow = step.member.latency.answered(first_at - step.started, first_at, trial=trial)

    def flowing(self, step: AttemptStep, now: float, lease: float) -> bool:
        """Notes that a half-open provider's stream is alive: its lease is renewed.

        After `FLOW_PROVES` seconds of it the trial counts as passed, and what comes of the stream
        afterwards counts in the new era.

        Returns:
            Whether it has passed.
        """
        circuit, permit = step.member.gate.circuit, step.permit
        circuit.renew(permit, now, lease)
        if step.served_at is None or now - step.served_at < FLOW_PROVES:
            return False
        circuit.prove(permit, now)
        self._commons.dispatcher.deliver()
        return True

    def broken(self, now: float, until: float = math.inf) -> None:
        """Notes that the serving stream broke, is recorded, and shall go on elsewhere.

        The search for another provider has the call's whole timeout again; what was delivered
        cannot be taken back, so no failure is the request's own fault from here on.

        Args:
            now: loop time, seconds.
            until: loop time by which the stream must have ended, whoever serves it.
        """
        self._serving = None
        self._spliced = True
        self.deadline: float = min(now + self._timeout, until)

    def stream_continued(
        self, step: AttemptStep, broke: str, how: ContinuationMode, chunks: int
    ) -> None:
        """Tells that a broken stream goes on.

        Args:
            step: the attempt that serves from here.
            broke: whose stream broke.
            how: by what means.
            chunks: how many chunks had been delivered.
        """
        step.why = f"{step.why}; goes on by {how} after {chunks} chunks of {broke}"
        names = (self._commons.router, self.route.name, broke, step.member.name)
        self._commons.dispatcher.post("stream_continued", StreamContinued(*names, how, chunks))
        self._commons.dispatcher.deliver()


def lease_of(step: AttemptStep) -> float:
    """Seconds that a flowing trial's lease lasts: a little longer than it may rest."""
    idle = step.member.idle
    if idle == math.inf:
        idle = step.member.gate.circuit.policy.open_duration
    return idle + LEASE_MARGIN
