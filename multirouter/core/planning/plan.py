"""Plan of one call: decides the next step from the results so far.

`next_step(now)` returns an `AttemptStep` (attempt this provider), a `WaitStep` (back off, or queue
until a provider is available), a `ServeStep` (pass a stream on) or the `CallOutcome` that ends the
call. `record(...)` reports how an attempt ended. The code that executes the steps (the call loop, a
hedge race, a stream) decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from multirouter.core.client_key import current_client_key
from multirouter.core.events import RetryDenied, RouteDiverted
from multirouter.core.planning import final_errors
from multirouter.core.planning.attempt_results import NO_ANSWER, AttemptResults
from multirouter.core.planning.retrying import RetryState
from multirouter.core.planning.steps import AttemptStep, PlanContext, ServeStep, Step, WaitStep
from multirouter.core.routes.diversion import Diversion
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.eligibility import NONE_EXCLUDED
from multirouter.core.settings.wait_policy import WaitPolicy
from multirouter.errors import NoProviderAvailable
from multirouter.model import REQUEST_KINDS, AttemptRecord, CallOutcome, CallResult

_new = object.__new__


class Plan(AttemptResults):
    """Plan of one call; see the module.

    Args:
        context: what all plans of the router share.
        route: the call's route.
        now: loop time of the call's start, seconds.
        timeout: the whole call, seconds; None for the route's.
        wait: seconds the call may queue when no provider is available.
        idempotent: whether the request may be sent twice without harm.
        size: the request's tokens, for the limits.
        request: the request.
        ineligible: names of the providers that cannot serve it.
    """

    __slots__ = ()

    def __init__(
        self,
        context: PlanContext,
        route: ResolvedRoute,
        now: float,
        timeout: float | None = None,
        wait: float | WaitPolicy = 0.0,
        idempotent: bool = True,  # noqa: FBT001, FBT002 - created once a call: keywords cost
        size: int = 0,
        request: Any = None,
        ineligible: frozenset[str] = NONE_EXCLUDED,
    ) -> None:
        # No super().__init__: this runs once a call, and a second frame would be measurable.
        self._context = context
        self._retry_state = None
        self._size = size
        self._request = request
        models = route.models
        if models is not None and (type(request) is dict or models.always):
            ineligible = models.excluded(request, now, ineligible)
        self._ineligible = ineligible
        self.route = route
        self._timeout = route.timeout if timeout is None else timeout
        results: AttemptResults = self  # as for `Gate`: nothing is declared again
        results.deadline = now + self._timeout
        self.idempotent = idempotent
        self._started = now
        self._client_key = current_client_key()
        self._wait = wait
        results.attempts = []
        self._answer = NO_ANSWER
        self._answered_by = None
        self._fault = None
        self._serving = None
        self._continuing = False
        if route.sticky is not None:
            self._conversation = self._prompt = None
        context.budget.call_started(now)

    # -- next step -------------------------------------------------------------------------------

    def next_step(self, now: float) -> Step:
        """Returns the next step; a `CallOutcome` ends the call and is reported with `finish`."""
        if self._answer is not NO_ANSWER:
            return self._end("success", None, now)
        if self._serving is not None:
            return ServeStep(self._serving)
        if self._fault is not None:
            return self._end("failure", self._fault, now)
        if now >= self.deadline:
            return self._timed_out(now)
        if self._retry_state is None:
            return self._choose_attempt(now) or self._no_provider(now)
        return self._after_failure(self._retry_state, now)

    @property
    def decided(self) -> bool:
        """Whether the call has its answer, or an error that no further attempt can change."""
        answered = self._answer is not NO_ANSWER or self._serving is not None
        return answered or self._fault is not None

    def replacement(self, now: float) -> AttemptStep | None:
        """Returns an attempt to run in parallel with those in flight after one failed, or None."""
        if self._retry_state is None or self.decided or now >= self.deadline:
            return None
        return self._choose_failover(self._retry_state, now)

    def hedge(self, slow: AttemptStep, now: float) -> AttemptStep | None:
        """Returns an attempt at another provider to run in parallel with a slow one, or None."""
        if now >= self.deadline:
            return None
        retry_state = self._ensure_retry_state(slow)
        step = self._choose_attempt(now, self._hedge_excluded(slow, retry_state), "hedge")
        retry_state.denial = None  # a denied hedge is not a denied retry
        if step is not None:
            elapsed = now - slow.started
            step.why = f"hedge: no answer from {slow.member.name} after {elapsed:.2f} s; {step.why}"
        return step

    def _hedge_excluded(self, slow: AttemptStep, retry_state: RetryState) -> Collection[str]:
        """Keys of the candidates that must not be the hedge of a slow attempt."""
        return retry_state.excluded

    def abort(self, error: BaseException, now: float) -> CallOutcome[Any]:
        """Returns the outcome of a call that was cancelled or used wrongly."""
        return self._end("failure" if isinstance(error, Exception) else "cancelled", error, now)

    def fall_back(self, value: object, now: float) -> CallOutcome[Any]:
        """Returns the outcome of a failed call that gets a substitute answer."""
        self._answer = value
        return self._end("fallback", None, now)

    def finish(self, outcome: CallOutcome[Any]) -> None:
        """Reports the end of the call to the listeners; call it once."""
        tracer, dispatcher = self._context.tracer, self._context.dispatcher
        if tracer is not None:
            tracer.call_ended(self, outcome)
        if outcome.result != "success":
            dispatcher.post("call_failed", outcome)
        else:
            diversion = self.route.diversion
            if diversion is not None and (
                diversion.pending or outcome.served_by_first_choice is diversion.active
            ):
                self._note_diversion(diversion, outcome)
        dispatcher.post("call_ended", outcome)
        dispatcher.deliver()

    # -- after a failure -------------------------------------------------------------------------

    def _after_failure(self, retry_state: RetryState, now: float) -> Step:
        """Retries the failed provider, fails over, begins the next round, or ends the call."""
        if now < retry_state.backoff_until:  # a timer may fire slightly early
            return WaitStep(retry_state.backoff_until, for_capacity=False)
        if retry_state.retry_same is not None:
            step = self._retry_same(retry_state, retry_state.retry_same, now)
            if step is not None:
                return step
        return self._choose_failover(retry_state, now) or self._next_round(retry_state, now)

    def _retry_same(
        self, retry_state: RetryState, member: Candidate, now: float
    ) -> AttemptStep | WaitStep | None:
        """Retries the failed provider after a backoff; None when the backoff would be too long."""
        context = self._context
        if not retry_state.backed_off:
            at = retry_state.retry_same_at(member, now, context.rng.random())
            if at is None or at >= self.deadline:
                retry_state.retry_same = None
                return None
            if retry_state.may_retry(context.budget, now, member=member):
                retry_state.backed_off = True
                retry_state.backoff_until = at
                return WaitStep(at, for_capacity=False)
        step = None
        if retry_state.backed_off and self._within(self.route.limits, now):
            step = self._acquire(member, now, "")
        retry_state.retry_same = None
        return step

    def _next_round(self, retry_state: RetryState, now: float) -> Step:
        members, context = self.route.members, self._context
        at = retry_state.next_round_at(members, now, context.rng.random())
        if at is None:
            queued = self._wait_for_capacity(retry_state, now)
            return queued or self._all_failed(retry_state, now)
        if at >= self.deadline:
            retry_state.denial = "deadline"
        elif retry_state.can_afford_any(members, context.budget, now):
            retry_state.next_round()
            retry_state.backoff_until = at
            return WaitStep(at, for_capacity=False)
        return self._all_failed(retry_state, now)

    # -- end of the call -------------------------------------------------------------------------

    def _no_provider(self, now: float) -> Step:
        queued = self._wait_for_capacity(None, now)
        if queued is not None:
            return queued
        unfit = self._unfit()
        if len(unfit) == len(self.route.members):
            return self._unsupported(unfit, now)
        return self._end("rejected", self._unavailable_error(unfit, now), now)

    def _unsupported(self, unfit: Mapping[str, str], now: float) -> Step:
        """Ends a call that no provider of its route can ever serve."""
        started, attempts = self._started, self.attempts
        error = final_errors.request_unsupported(self.route, unfit, attempts, now, started)
        return self._end("failure" if attempts else "rejected", error, now)

    def _unavailable_error(self, unfit: Mapping[str, str], now: float) -> NoProviderAvailable:
        return final_errors.no_provider_available(
            self.route,
            self._shared_rejection(now),
            now,
            self._started,
            self.retry_after(now),
            size=self._size,
            request=self._request,
            ineligible={**self._unavailable(now), **unfit},
            attempts=self.attempts,
        )

    def _unfit(self) -> dict[str, str]:
        """Why candidates can never serve such a request, by key."""
        eligibility = self.route.eligibility
        reasons: dict[str, str] = {}
        if eligibility is not None and self._ineligible:
            reasons.update(eligibility.reasons(self._request))
        for record in self.attempts:
            if record.verdict.kind in REQUEST_KINDS:
                reasons[self._key_of(record)] = final_errors.rejection_of(record)
        return reasons

    def _key_of(self, record: AttemptRecord) -> str:
        """The key of the candidate that was attempted."""
        return record.provider

    def _unavailable(self, now: float) -> Mapping[str, str]:
        """Why candidates cannot serve such a request now, beside what their gates say, by key."""
        models = self.route.models
        return {} if models is None else models.reasons(self._request, now)

    def _all_failed(self, retry_state: RetryState, now: float) -> Step:
        denial = retry_state.denial
        if denial is not None:
            event = RetryDenied(self._context.router, self.route.name, denial)
            self._context.dispatcher.post("retry_denied", event)
        unfit = self._unfit()
        if final_errors.only_about_the_request(self.attempts):
            down = self._unavailable(now).keys() | {member.key for member in self._left()}
            if down <= unfit.keys():
                return self._unsupported(unfit, now)
            return self._end("failure", self._unavailable_error(unfit, now), now)
        error = final_errors.all_failed(
            self.route,
            self.attempts,
            denial,
            now,
            self._started,
            request=self._request,
            unfit=unfit,
        )
        return self._end("failure", error, now)

    def _timed_out(self, now: float) -> Step:
        started, deadline = self._started, self.deadline
        error = final_errors.timed_out(self.route, self.attempts, now, started, deadline)
        return self._end("failure", error, now)

    def _is_first_choice(self) -> bool:
        """Whether the first choice answered: the call did not begin or end at another provider."""
        first = min(self.attempts, key=_started)
        return first.provider == self._answered_by and first.provider in self.route.first_choice

    def _note_diversion(self, diversion: Diversion, outcome: CallOutcome[Any]) -> None:
        now, route = outcome.started + outcome.elapsed, self.route
        if diversion.record(now, by_first_choice=outcome.served_by_first_choice):
            event = RouteDiverted(
                self._context.router,
                route.name,
                diversion.active,
                outcome.provider or "",
                tuple(m.name for m in route.members if m.name in route.first_choice),
                route.why_diverted(now) if diversion.active else "",
                diversion.since,
                now,
            )
            self._context.dispatcher.post("route_diverted", event)

    def _end(self, result: CallResult, error: BaseException | None, now: float) -> CallOutcome[Any]:
        route, started = self.route, self._started
        # As `CallOutcome(...)`, whose `__init__` is called from C at a higher cost.
        outcome: CallOutcome[Any] = _new(CallOutcome)
        outcome.__init__(  # type: ignore[misc] # of the class itself
            result,
            self._answer,
            error,
            self._answered_by,
            route.name,
            tuple(self.attempts),
            started,
            now - started,
            route.first_choice,
            self._client_key,
        )
        if result == "success":
            outcome.served_by_first_choice = (
                self._answered_by in route.first_choice
                if len(self.attempts) == 1
                else self._is_first_choice()
            )
        if route.billing.has_prices:
            prompt = None if route.sticky is None or self._prompt is None else self._prompt[1]
            route.billing.set_failover_cost(outcome, self._request, prompt)
        return outcome


def _started(record: AttemptRecord) -> float:
    return record.started
