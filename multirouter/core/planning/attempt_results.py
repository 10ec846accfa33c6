"""Results of attempts: what each changes in the call, the provider, the limits and the costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from multirouter.core.cost.metering import PLAIN_TYPES
from multirouter.core.cost.prompt_caches import CachedPrompt
from multirouter.core.failures.exception_details import ExceptionDetails
from multirouter.core.failures.own_process import circuit_effect, may_be_from_stall
from multirouter.core.planning import final_errors
from multirouter.core.planning.retrying import RetryState
from multirouter.core.planning.steps import AttemptStep, CallTracer
from multirouter.core.planning.stream_plan import StreamPlan
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.failure_rules import CircuitEffect, Failover, Retry, Rule
from multirouter.errors import AttemptTimeout
from multirouter.model import SUCCESS, AttemptRecord, FailureKind, Verdict

_new = object.__new__

NO_ANSWER: Any = object()
"""Marks a call that has no answer yet; an answer may be None."""

_CANCELLED = FailureKind.CANCELLED  # looking up an enum member is slow, and this is the hot path

_ROUNDING = 1e-9
"""Seconds by which a timeout may differ after it was added to and subtracted from a loop time."""


class AttemptResults(StreamPlan):
    """Records how the attempts of one call ended.

    Attributes:
        attempts: the trail so far.
        observation: what a tracer keeps; unset without one.
    """

    __slots__ = ("_answer", "_answered_by", "_client_key", "_fault", "attempts", "observation")

    _answer: Any
    _answered_by: str | None
    _client_key: str
    _fault: BaseException | None
    attempts: list[AttemptRecord]
    observation: Any

    @property
    def started(self) -> float:
        """Loop time at which the call started, seconds."""
        return self._started

    @property
    def tracer(self) -> CallTracer | None:
        """Follows the call, or None."""
        return self._context.tracer

    @property
    def request(self) -> Any:
        """The call's request."""
        return self._request

    def record(
        self,
        step: AttemptStep,
        verdict: Verdict,
        value: object,
        error: BaseException | None,
        now: float,
    ) -> None:
        """Records how an attempt ended; call it exactly once for each attempt.

        Args:
            step: the attempt.
            verdict: the classification of its outcome.
            value: the answer, when there is no error.
            error: what was raised, or an exception that stands for it. Without one the caller gets
                the answer, even when a faulty `classify=` made the verdict a failure.
            now: loop time of the end, seconds.
        """
        route = self.route
        started = step.started
        elapsed = now - started
        late = self._release(step, verdict, error, elapsed, now)
        # As `AttemptRecord(...)`, whose `__init__` is called from C at a higher cost.
        record = _new(AttemptRecord)
        record.__init__(  # type: ignore[misc] # of the class itself
            step.member.name,
            route.name,
            step.role,
            verdict,
            error,
            started,
            elapsed,
            step.why,
            late,
        )
        if step.served_at is not None:
            record.first_content = step.served_at - started
        if step.stalled or step.slow is None:
            record.stalled = True
        record.dropped = step.dropped
        meter, request = step.meter, self._request
        plain = type(value) in PLAIN_TYPES and type(request) in PLAIN_TYPES and meter is None
        if not plain or not step.member.pricing.plain:
            self._charge(step, record, value, now)
        context = self._context
        if context.tracer is not None:
            context.tracer.attempt_ended(step, record, value)
        dispatcher = context.dispatcher
        dispatcher.post("attempt_ended", record)
        if step.role != "trial":
            self.attempts.append(record)
            if error is None and verdict.kind is not _CANCELLED:
                if self._answer is NO_ANSWER:
                    self._answer = value
                    self._answered_by = step.member.name
                    if self._retry_state is not None:
                        self._retry_state.evidence.request_is_valid(now)
                    return  # `finish` delivers this event together with that of the call's end
            elif isinstance(error, Exception):
                self._handle_failure(step, record, step.member.rules.by_kind[verdict.kind], now)
        dispatcher.deliver()

    def _charge(self, step: AttemptStep, record: AttemptRecord, value: object, now: float) -> None:
        """Bills an attempt, and remembers the prompt that its provider may now hold."""
        route, pricing = self.route, step.member.pricing
        route.billing.charge(record, pricing, step.meter, value, self._request, self._size)
        if route.sticky is not None:
            self._record_prompt(step, record, now)

    def _record_prompt(self, step: AttemptStep, record: AttemptRecord, now: float) -> None:
        """Remembers where a conversation's prompt is cached: at a provider that read it whole."""
        usage, key = record.usage, self._conversation
        if key is not None and usage and (record.ok or record.first_content is not None):
            prompt = CachedPrompt(record.provider, usage, now)
            self._context.prompt_caches.record(key, step.member.key, prompt)

    def abandon(self, step: AttemptStep) -> None:
        """Returns the permit of an attempt that was never started."""
        if self._context.lost:
            return
        step.member.gate.return_unused(step.permit, step.limit_model)
        if step.model is not None:
            step.member.gate.release_model(step.model)
        for shared in step.member.rules.limits:
            shared.release()

    def _release(
        self,
        step: AttemptStep,
        verdict: Verdict,
        error: BaseException | None,
        elapsed: float,
        now: float,
    ) -> bool:
        """Returns the permit and updates the provider's circuit, health and latency.

        Returns:
            Whether the result came too late for the circuit to count it.
        """
        member, permit, served_at = step.member, step.permit, step.served_at
        if verdict is not SUCCESS:
            return self._release_unanswered(step, verdict, error, elapsed, now)
        for shared in step.member.rules.limits:
            shared.release()
        slow: bool | None
        if served_at is None:
            latency = elapsed
            slow = None
            if not step.stalled:
                slow = member.latency.record(elapsed, now, permit.trial)
        else:
            latency = served_at - step.started
            slow = step.slow
        if slow is None:  # the latency is not the provider's: the event loop stalled
            latency, slow = 0.0, False
        elif member.latency_average is not None:
            member.latency_average.record(latency, now, member.gate.in_flight)
        slow = slow and self._has_alternative(member, now)
        late = member.gate.release_answered(permit, now, latency, slow, step.limit_model)
        if step.model is not None and member.gate.models is not None:
            member.gate.models.succeeded(step.model, now, latency)
        member.health.record_success(now)
        return late

    def _release_unanswered(
        self,
        step: AttemptStep,
        verdict: Verdict,
        error: BaseException | None,
        elapsed: float,
        now: float,
    ) -> bool:
        """As `_release`, of an attempt that was not answered."""
        if self._context.lost:
            return True  # its coroutine was collected after its permit was forgotten
        for shared in step.member.rules.limits:
            shared.release()
        member, permit = step.member, step.permit
        if isinstance(error, AttemptTimeout) and step.served_at is None and not step.stalled:
            member.latency.record_timeout(elapsed, trial=permit.trial)
        if member.on_headers is not None and isinstance(error, Exception):
            member.on_headers(step.limit_model, ExceptionDetails(error).headers)
        effect = self._effect_of(step, verdict)
        if effect is CircuitEffect.FAILURE and step.role != "trial" and error is not None:
            effect = self._ensure_retry_state(step).evidence.effect_of(step, verdict, now)
        if step.model is not None and (models := member.gate.models) is not None:
            effect = models.ended(step.model, verdict, effect, now)
        late = member.gate.release_unanswered(permit, verdict, effect, now, step.limit_model)
        member.record_failure(verdict.kind, effect, elapsed, now, stalled=step.stalled)
        return late

    def _effect_of(self, step: AttemptStep, verdict: Verdict) -> CircuitEffect:
        """What an attempt without an answer does to the circuit, by the rules."""
        return circuit_effect(step.member.rules.by_kind, verdict, stalled=step.stalled)

    def _has_alternative(self, member: Candidate, now: float) -> bool:
        """Whether another provider is available; the only one left never trips for slowness."""
        return any(other is not member and other.gate.admits(now) for other in self.route.members)

    def _handle_failure(
        self, step: AttemptStep, record: AttemptRecord, rule: Rule, now: float
    ) -> None:
        """Applies the rule of a failure to the call."""
        retry_state = self._ensure_retry_state(step)
        members, retries = self.route.members, step.member.provider.retries
        scope = self._scope(step.member, record.verdict, rule)
        if retries is None:
            retries = step.member.rules.retries_per_provider
        early = step.deadline - step.started < step.member.timeout - _ROUNDING
        cut_short = early and step.served_at is None and isinstance(record.error, AttemptTimeout)
        cut_short = cut_short or (step.stalled and may_be_from_stall(record.verdict))
        if self._continuing and rule.failover is Failover.NEVER:
            # That one provider cannot continue another's answer says nothing about the others.
            rule = replace(rule, failover=Failover.AT_ONCE)
        others = members if rule.failover is Failover.LARGER else scope
        retry_state.failed(record, step.member, rule, others, retries, cut_short=cut_short)
        model, models = step.model, step.member.gate.models
        if model is not None and models is not None and models.is_open(model.model, now):
            retry_state.exclude_all([step.member])
        final = not self._continuing and step.member.rules.is_final(record.verdict)
        if final or (rule.failover is Failover.NEVER and rule.retry is Retry.NEVER):
            if scope is not members:
                retry_state.exclude_all(scope)  # the other targets of the chain are left
            elif self._fault is None:
                self._fault = final_errors.own_error(record)
        elif not self.idempotent and rule.side_effects_possible and not record.verdict.unsent:
            retry_state.denial = "not_idempotent"
            retry_state.exclude_all(members)

    def _scope(self, member: Candidate, verdict: Verdict, rule: Rule) -> Sequence[Candidate]:
        """The candidates that a failure concerns when it allows no failover: all of the route."""
        return self.route.members

    def _ensure_retry_state(self, step: AttemptStep) -> RetryState:
        """Returns the call's retry state, created with the attempt that first needs it."""
        if self._retry_state is None:
            self._retry_state = RetryState(self.route.retry, self._ineligible)
            self._retry_state.record_attempt(step.member.key)
        return self._retry_state
