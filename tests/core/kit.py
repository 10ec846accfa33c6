"""A deciding core without an event loop: real doors and plans, a scripted world, time by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from multirouter.core.cost.budgets import Budget
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.limits.rate_limits import RetryBudget
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
"""A circuit that stays closed whatever comes, for what is not about circuits."""

FIXED = CircuitPolicy(failures=3, growth=1, open_duration=5.0)
"""A circuit that opens on the third failure in a row, for exactly 5 s each time."""


class Broke(Exception):
    """What a scripted provider raises."""


async def answer(request: Any) -> Any:
    """A provider's function that no plan ever awaits."""


async def chunks(request: Any) -> Any:
    """A provider's stream that no plan ever reads."""
    yield request


def provider(name: str, **settings: Any) -> Provider[Any, Any, Any]:
    """A provider by its name alone."""
    return Provider(name, answer, **settings)


def failing(kind: FailureKind | str, retry_after: float | None = None, **marks: Any) -> Verdict:
    """The verdict on a failure."""
    return Verdict(FailureKind(kind), retry_after, **marks)


def unheard(hear: Callable[..., None], error: Exception) -> None:
    """A listener of a test never raises: when it does, the test fails."""
    raise AssertionError(f"{hear} raised {error!r}")


@dataclass
class World:
    """A router's deciding part: providers, doors, routes, budget and chance; and a clock.

    Attributes:
        now: loop time, seconds; tests move it.
        heard: all news, in order.
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
    latency: LatencyPolicy = field(
        default_factory=lambda: LatencyPolicy(adaptive=False, slow_factor=math.inf)
    )

    def __post_init__(self) -> None:
        self.heard = Recorder()
        dispatcher = EventDispatcher([self.heard], unheard)
        self.rng = Random(self.seed)
        ledger = Accounts(
            "tested",
            dispatcher,
            wall=lambda: self.wall,
            broken=unheard,
            budget=self.budget,
            usage=self.usage,
        )
        self.memory = ProviderStates("tested", dispatcher, self.rng, ledger)
        self.memory.hook_broken = unheard
        self.commons = PlanContext("tested", self.rng, RetryBudget(self.retry), dispatcher)
        self.defaults = Defaults(
            timeout=self.timeout,
            attempt_timeout=self.attempt_timeout,
            retry=self.retry,
            circuit=self.circuit,
            latency=self.latency,
            hedge=self.hedge,
            stream=StreamPolicy(),
            rules=rules_with({}),
            accept=self.accept,
            fallback=self.fallback,
            panic=self.panic,
        )
        self.configure(self.providers, self.routes)

    def configure(
        self, providers: Iterable[Provider[Any, Any, Any]], routes: Iterable[Route] = ()
    ) -> None:
        """Puts a new roster in the place of the old one."""
        self.roster = Registry(
            list(providers), list(routes), self.defaults, self.memory, self.limits
        )

    # -- calls ------------------------------------------------------------------------------

    def route(self, wanted: Any = None) -> ResolvedRoute:
        """A compiled route."""
        return self.roster.route(wanted)

    def plan(self, route: Any = None, **call: Any) -> Plan:
        """The plan of a call that begins now."""
        compiled = self.route(route)
        if compiled.fit is not None and "request" in call:
            call["unfit"] = compiled.fit.unfit(call["request"])
        return Plan(self.commons, compiled, self.now, **call)

    def step(self, plan: Plan) -> Step:
        """What the plan wants now; a wait never lies behind, nor beyond the call's deadline."""
        step = plan.next_step(self.now)
        if isinstance(step, WaitStep):
            assert self.now <= step.until <= plan.deadline
        return step

    def trying(self, plan: Plan) -> AttemptStep:
        """The plan's next step, which must be an attempt."""
        step = self.step(plan)
        assert isinstance(step, AttemptStep), step
        return step

    def waiting(self, plan: Plan) -> WaitStep:
        """The plan's next step, which must be a rest."""
        step = self.step(plan)
        assert isinstance(step, WaitStep), step
        return step

    def ended(self, plan: Plan) -> CallOutcome[Any]:
        """The plan's next step, which must be the end; it is told as news."""
        step = self.step(plan)
        assert isinstance(step, CallOutcome), step
        plan.finish(step)
        return step

    def rest(self, plan: Plan) -> float:
        """Lets the plan's next step, a rest, pass; returns its length, seconds."""
        wait = self.waiting(plan)
        length, self.now = wait.until - self.now, wait.until
        return length

    def answers(
        self, plan: Plan, step: AttemptStep, value: object = "answer", after: float = 0.0
    ) -> None:
        """Ends an attempt with an answer."""
        self.now += after
        plan.record(step, SUCCESS, value, None, self.now)

    def fails(
        self,
        plan: Plan,
        step: AttemptStep,
        verdict: Verdict | FailureKind | str = "server",
        after: float = 0.0,
    ) -> Exception:
        """Ends an attempt with a failure; returns the exception that stands for it."""
        self.now += after
        verdict = verdict if isinstance(verdict, Verdict) else failing(verdict)
        error: Exception = Broke(f"{step.member.name}: {verdict.kind}")
        if verdict.kind is FailureKind.TIMEOUT:
            limit = step.deadline - step.started
            error = AttemptTimeout(step.member.name, "attempt_timeout", limit)
        plan.record(step, verdict, None, error, self.now)
        return error

    def cancelled(self, plan: Plan, step: AttemptStep) -> None:
        """Ends an attempt because its caller left."""
        plan.record(step, CANCELLED, None, BaseException("cancelled"), self.now)

    def asked(self, plan: Plan, *outcomes: Verdict | FailureKind | str) -> list[str]:
        """Drives a plan through scripted outcomes, rests included.

        Returns:
            Whom it asked, in order; `"ok"` stands for an answer.
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
                self.answers(plan, step)
            else:
                self.fails(plan, step, outcome)
        return names

    # -- doors ------------------------------------------------------------------------------

    def member(self, name: str, route: Any = None) -> Candidate:
        """A provider at its place in a route."""
        return next(member for member in self.route(route).members if member.name == name)

    def hit(self, name: str, verdict: Verdict | FailureKind | str = "server") -> AttemptRecord:
        """Lets another call fail (or answer, with `success`) at a provider."""
        plan = self.plan([name])
        step = self.trying(plan)
        if verdict == "success":
            self.answers(plan, step)
        else:
            self.fails(plan, step, verdict)
        return plan.attempts[-1]

    def trip(self, *names: str) -> None:
        """Opens circuits, as failures do."""
        for name in names:
            while self.memory.gates[name].circuit.is_closed:
                self.hit(name)

    def half_open(self, *names: str) -> None:
        """Opens circuits and lets their time pass."""
        self.trip(*names)
        self.now = max(self.memory.gates[name].circuit.half_open_at for name in names)

    def in_flight(self) -> dict[str, int]:
        """Attempts under way, by provider."""
        return {name: gate.in_flight for name, gate in self.memory.gates.items()}

    def refusals(self) -> list[str]:
        """Why retries were refused, in order."""
        return [news.reason for news in self.heard.of("retry_denied")]


def calm(*names: str, **settings: Any) -> World:
    """Providers whose circuits never trip."""
    return World([provider(name) for name in names], circuit=NEVER_TRIPS, **settings)


def chain(*names: str, retries: int = 0, **settings: Any) -> World:
    """Such providers in a fixed order, as the route `chain`."""
    route = Route("chain", list(names), retries_per_provider=retries)
    return calm(*names, routes=[route], **settings)
