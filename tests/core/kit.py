"""Test kit of the core without an event loop: real gates and plans, scripted results and time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from multirouter.core.cost.budget import Budget
from multirouter.core.cost.metering import ProviderPricing
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.planning.chain_plan import ChainPlan
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep, PlanContext, Step, WaitStep
from multirouter.core.registry.accounts import Accounts
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.registry.registry import Registry
from multirouter.core.routes.resolved_route import Defaults, ResolvedRoute
from multirouter.core.routes.route import Route
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.failure_rules import rules_with
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import AttemptTimeout
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, CallOutcome, FailureKind, Verdict
from multirouter.testing import Recorder

NEVER_TRIPS = CircuitPolicy(failures=10**9)
"""A circuit that never opens, for tests that are not about circuits."""

FIXED = CircuitPolicy(failures=3, growth=1, open_duration=5.0)
"""A circuit that opens after three consecutive failures, for exactly 5 s each time."""


class ScriptedError(Exception):
    """Raised by scripted providers."""


async def answer(request: Any) -> Any:
    """A provider's function that no plan ever awaits."""


async def chunks(request: Any) -> Any:
    """A provider's stream that no plan ever reads."""
    yield request


def provider(name: str, **settings: Any) -> Provider[Any, Any, Any]:
    """A provider with this name."""
    return Provider(name, answer, **settings)


def failing(kind: FailureKind | str, retry_after: float | None = None, **marks: Any) -> Verdict:
    """A verdict of a failure kind."""
    return Verdict(FailureKind(kind), retry_after, **marks)


def fail_on_hook_error(hook: Callable[..., None], error: Exception) -> None:
    """Fails the test when a listener or a hook raises."""
    raise AssertionError(f"{hook} raised {error!r}")


def unpriced(name: str) -> ProviderPricing:
    """The pricing of a provider without prices, for a candidate outside of a world."""
    hooks = {"on_hook_error": fail_on_hook_error, "on_missing_price": fail_on_hook_error}
    return ProviderPricing(name, None, None, None, None, **hooks)  # type: ignore[arg-type]


@dataclass
class World:
    """The core of a router: providers, gates, routes, retry budget, random numbers and a clock.

    Attributes:
        now: loop time, seconds; tests advance it.
        recorder: all events, in order.
        wall: wall-clock time, seconds since 1970.
    """

    providers: Iterable[Provider[Any, Any, Any]]
    routes: Iterable[Route] = ()
    seed: int = 1
    now: float = 100.0
    timeout: float = 120.0
    attempt_timeout: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    circuit: CircuitPolicy = field(default_factory=CircuitPolicy)
    hedge: HedgePolicy | None = None
    limits: LimitPolicy | None = None
    accept: Any = None
    fallback: Any = None
    panic: float | None = None
    wall: float = 1_800_000_000.0
    usage: Any = None
    budget: tuple[Budget, ...] = ()
    health: HealthPolicy = field(default_factory=HealthPolicy)
    latency: LatencyPolicy = field(
        default_factory=lambda: LatencyPolicy(adaptive=False, slow_factor=math.inf)
    )

    def __post_init__(self) -> None:
        self.recorder = Recorder()
        dispatcher = EventDispatcher([self.recorder], fail_on_hook_error)
        self.rng = Random(self.seed)
        accounts = Accounts(
            "tested",
            dispatcher,
            wall=lambda: self.wall,
            on_hook_error=fail_on_hook_error,
            usage=self.usage,
        )
        self.states = ProviderStates("tested", dispatcher, self.rng, accounts)
        self.states.on_hook_error = fail_on_hook_error
        self.context = PlanContext("tested", self.rng, RetryBudget(self.retry), dispatcher)
        self.defaults = Defaults(
            timeout=self.timeout,
            attempt_timeout=self.attempt_timeout,
            retry=self.retry,
            circuit=self.circuit,
            latency=self.latency,
            health=self.health,
            hedge=self.hedge,
            stream=StreamPolicy(),
            rules=rules_with({}),
            accept=self.accept,
            fallback=self.fallback,
            panic=self.panic,
            budget=self.budget,
        )
        self.configure(self.providers, self.routes)

    def configure(
        self, providers: Iterable[Provider[Any, Any, Any]], routes: Iterable[Route] = ()
    ) -> None:
        """Replaces the registry by one of these providers and routes."""
        self.registry = Registry(
            list(providers), list(routes), self.defaults, self.states, self.limits
        )

    # -- calls ------------------------------------------------------------------------------

    def route(self, route: Any = None) -> ResolvedRoute:
        """A resolved route."""
        return self.registry.route(route)

    def plan(self, route: Any = None, **call: Any) -> Plan:
        """The plan of a call that starts now."""
        resolved = self.route(route)
        if resolved.eligibility is not None and "request" in call:
            call["ineligible"] = resolved.eligibility.ineligible(call["request"])
        plan_type = ChainPlan if resolved.is_chain else Plan
        return plan_type(self.context, resolved, self.now, **call)

    def step(self, plan: Plan) -> Step:
        """The plan's next step; a wait ends neither in the past nor after the call's deadline."""
        step = plan.next_step(self.now)
        if isinstance(step, WaitStep):
            assert self.now <= step.until <= plan.deadline
        return step

    def next_attempt(self, plan: Plan) -> AttemptStep:
        """The plan's next step, which must be an attempt."""
        step = self.step(plan)
        assert isinstance(step, AttemptStep), step
        return step

    def next_wait(self, plan: Plan) -> WaitStep:
        """The plan's next step, which must be a wait."""
        step = self.step(plan)
        assert isinstance(step, WaitStep), step
        return step

    def next_outcome(self, plan: Plan) -> CallOutcome[Any]:
        """The plan's next step, which must be the outcome; its event is delivered."""
        step = self.step(plan)
        assert isinstance(step, CallOutcome), step
        plan.finish(step)
        return step

    def pass_wait(self, plan: Plan) -> float:
        """Advances the clock past the plan's next step, a wait; returns its length, seconds."""
        wait = self.next_wait(plan)
        length, self.now = wait.until - self.now, wait.until
        return length

    def succeed(
        self, plan: Plan, step: AttemptStep, value: object = "answer", after: float = 0.0
    ) -> None:
        """Ends an attempt with an answer."""
        self.now += after
        plan.record(step, SUCCESS, value, None, self.now)

    def fail(
        self,
        plan: Plan,
        step: AttemptStep,
        verdict: Verdict | FailureKind | str = "server",
        after: float = 0.0,
    ) -> Exception:
        """Ends an attempt with a failure; returns its exception."""
        self.now += after
        verdict = verdict if isinstance(verdict, Verdict) else failing(verdict)
        error: Exception = ScriptedError(f"{step.member.name}: {verdict.kind}")
        if verdict.kind is FailureKind.TIMEOUT:
            limit = step.deadline - step.started
            error = AttemptTimeout(step.member.name, "attempt_timeout", limit)
        plan.record(step, verdict, None, error, self.now)
        return error

    def cancel(self, plan: Plan, step: AttemptStep) -> None:
        """Ends an attempt as cancelled by its caller."""
        plan.record(step, CANCELLED, None, BaseException("cancelled"), self.now)

    def run_attempts(self, plan: Plan, *outcomes: Verdict | FailureKind | str) -> list[str]:
        """Runs a plan through scripted outcomes, including waits.

        Args:
            plan: the plan.
            outcomes: the result of each attempt; `"ok"` stands for an answer.

        Returns:
            The attempted providers, in order.
        """
        names = []
        for outcome in outcomes:
            step = self.step(plan)
            if isinstance(step, WaitStep):
                self.now = step.until
                step = self.step(plan)
            assert isinstance(step, AttemptStep), (step, names)
            names.append(step.member.name)
            if outcome == "ok":
                self.succeed(plan, step)
            else:
                self.fail(plan, step, outcome)
        return names

    # -- gates ------------------------------------------------------------------------------

    def member(self, name: str, route: Any = None) -> Candidate:
        """The candidate of a provider in a route."""
        return next(member for member in self.route(route).members if member.name == name)

    def run_call(self, name: str, verdict: Verdict | FailureKind | str = "server") -> AttemptRecord:
        """Runs another call at a provider, which fails, or succeeds with the verdict `success`."""
        plan = self.plan([name])
        step = self.next_attempt(plan)
        if verdict == "success":
            self.succeed(plan, step)
        else:
            self.fail(plan, step, verdict)
        return plan.attempts[-1]

    def trip(self, *names: str) -> None:
        """Opens circuits by failures."""
        for name in names:
            while self.states.gates[name].circuit.is_closed:
                self.run_call(name)

    def half_open(self, *names: str) -> None:
        """Opens circuits and advances the clock until they are half-open."""
        self.trip(*names)
        self.now = max(self.states.gates[name].circuit.half_open_at for name in names)

    def in_flight(self) -> dict[str, int]:
        """Number of attempts in flight, by provider."""
        return {name: gate.in_flight for name, gate in self.states.gates.items()}

    def retry_denials(self) -> list[str]:
        """Reasons of denied retries, in order."""
        return [event.reason for event in self.recorder.of("retry_denied")]


def calm(*names: str, **settings: Any) -> World:
    """A World of providers whose circuits never open."""
    return World([provider(name) for name in names], circuit=NEVER_TRIPS, **settings)


def chain(*names: str, retries: int = 0, **settings: Any) -> World:
    """A World of such providers in a fixed order, as the route `chain`."""
    route = Route("chain", list(names), retries_per_provider=retries)
    return calm(*names, routes=[route], **settings)
