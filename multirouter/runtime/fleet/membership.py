"""A router as a member of a fleet: publishes what it sees, and follows what the others see.

Its circuits change through their breakers only: what other processes say is an input like the
result of an attempt.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakMethod, ref

from typing_extensions import override

from multirouter.core.events import (
    CircuitChanged,
    Configured,
    CooldownStarted,
    HoldChanged,
    ModelCircuitChanged,
    SharingChanged,
)
from multirouter.core.listener import Listener
from multirouter.core.planning.steps import PlanContext
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.sharing.beliefs import Beliefs
from multirouter.core.sharing.facts import Fact, model_subject
from multirouter.errors import UsageError
from multirouter.listeners.metrics.sharing_metrics import SharingMetrics
from multirouter.runtime.event_loops.base import BackgroundTask, EventLoop
from multirouter.runtime.event_loops.running_loop import in_trio
from multirouter.runtime.fleet.circuits import FleetCircuits
from multirouter.runtime.fleet.connection import FleetConnection, ShareHolder
from multirouter.runtime.fleet.learned_limits import LearnedLimitFacts
from multirouter.runtime.fleet.limit_shares import LimitShares
from multirouter.runtime.fleet.operator_settings import OperatorSettings, SetWeight
from multirouter.runtime.fleet.overview import overview
from multirouter.runtime.fleet.trial_leases import TrialLeases
from multirouter.runtime.recovery.half_open_timers import HalfOpenTimers
from multirouter.sharing.settings import Sharing, sharing_of
from multirouter.sharing.transport import FleetMember, Identity, SharingError, Transport

RESTART_DELAY = 1.0
"""Seconds until the connection is kept again after its task was cancelled."""


class Membership(Listener):
    """One router's part in its fleet.

    Args:
        sharing: what carries the state.
        context: the router's name, which is the fleet's, its random numbers and its dispatcher.
        states: the gates.
        timers: the timers of open circuits.
        serve_waiting: called with the loop time when capacity may have been freed.
        set_weight: see `SetWeight`.
        metrics: shows the connection.

    Raises:
        ConfigurationError: `sharing` is none.
        UsageError: it is made on trio.

    Attributes:
        beliefs: the facts that are known.
        shares: the shares of the fleet's limits.
        holder: another holder of shares, such as a gateway for the limits of its keys.
        circuits: the circuits and cooldowns of the fleet.
        learned: the limits that the fleet has learned.
        operators: the holds, weights and revoked keys of the fleet.
        connection: the connection, of the loop that the router is bound to.
    """

    def __init__(
        self,
        sharing: Sharing,
        context: PlanContext,
        states: ProviderStates,
        timers: HalfOpenTimers,
        serve_waiting: Callable[[float], None],
        set_weight: SetWeight,
        metrics: SharingMetrics,
    ) -> None:
        self.check_loop()
        self._sharing = sharing_of(sharing)
        self._router = context.router
        self._states = states
        self._rng = context.rng
        self._dispatcher = context.dispatcher
        self._timers = timers
        self._serve_waiting = serve_waiting
        self.operators: OperatorSettings = OperatorSettings(
            lambda: self.beliefs, self._publish, set_weight
        )
        self._metrics = metrics
        self._loop: EventLoop | None = None
        self._transport: Transport | None = None
        self._task: BackgroundTask | None = None
        self._new_identity()
        options = self._sharing.options
        self.circuits: FleetCircuits = FleetCircuits(
            states.gates,
            options.host,
            options.quorum,
            lambda: self.beliefs,
            self._publish,
            self._members,
            self._followed,
        )
        self.circuits.watch(states.gates)
        self.learned: LearnedLimitFacts = LearnedLimitFacts(states, self._publish)
        self.shares: LimitShares = LimitShares(states, lambda: serve_waiting(self._now()))
        self.holder: ShareHolder | None = None
        circuits = self.circuits
        self._leases = TrialLeases(
            self._connected, circuits.circuit_of, context.rng, circuits.postpone_trial
        )

    def _new_identity(self) -> None:
        host, info = self._sharing.options.host, {"pid": os.getpid(), "router": self._router}
        self._identity = Identity(secrets.token_hex(8), self._router, host, info)
        self.beliefs: Beliefs = Beliefs(self._identity.origin)
        self.connection: FleetConnection | None = None

    # -- lifetime ---------------------------------------------------------------------------

    @staticmethod
    def check_loop() -> None:
        """Raises UsageError on trio."""
        if in_trio():
            raise UsageError("sharing= requires asyncio: redis-py has no client for trio")

    def rebind(self, loop: EventLoop, by: float) -> None:
        """Connects in `loop`, whose clock is `by` seconds ahead of the previous loop's."""
        if self._identity.info["pid"] != os.getpid():  # forked: the parent keeps its identity
            self._new_identity()
        self.beliefs.shift(by)
        self.learned.shift(by)
        self.shares.shift(by)
        self._loop = loop
        self._leases.rebind(loop)
        self._transport = self._sharing.transport(self._identity)
        self.connection = FleetConnection(
            self._transport, self._sharing.options, self.beliefs, self._rng, self._metrics
        )
        self._keep_connection(loop)

    def _keep_connection(self, loop: EventLoop) -> None:
        connection, restart = self.connection, WeakMethod(self._keep_connection)

        def again() -> None:
            method = restart()
            if method is not None:
                method(loop)

        def ended() -> None:
            if restart() is not None and not loop.is_closed():
                loop.call_at("sharing", loop.time() + RESTART_DELAY, again)

        if loop is self._loop and connection is not None:
            self._task = loop.spawn("sharing", connection.run, ref(self), on_end=ended)

    async def opened(self) -> None:
        """Waits up to `start_timeout` seconds for the state, before the router serves."""
        import asyncio

        connection, timeout = self.connection, self._sharing.options.start_timeout
        if connection is not None and timeout > 0.0:
            try:
                async with asyncio.timeout(timeout):
                    await connection.synchronized.wait()
            except TimeoutError:
                return  # it serves as a process alone, and joins later

    async def shutdown(self) -> None:
        """Leaves the fleet."""
        transport, self._transport = self._transport, None
        self._loop = None
        self._leases.rebind(None)
        if self._task is not None:
            self._task.cancel()
        if transport is not None:
            try:
                await transport.close(leave=True)
            except SharingError:
                return  # it counts as gone after a while

    def _connected(self) -> Transport | None:
        connection = self.connection
        return self._transport if connection is not None and connection.connected else None

    def _now(self) -> float:
        return 0.0 if self._loop is None else self._loop.time()

    # -- what the own process sees ------------------------------------------------------------

    @override
    def circuit_changed(self, event: CircuitChanged) -> None:
        self.circuits.changed(event)
        self._leases.update(event.provider)

    @override
    def model_circuit_changed(self, event: ModelCircuitChanged) -> None:
        self.circuits.model_changed(event)
        self._leases.update(model_subject(event.provider, event.model))

    @override
    def cooldown_started(self, event: CooldownStarted) -> None:
        self.circuits.cooled_down(event)

    @override
    def hold_changed(self, event: HoldChanged) -> None:
        self.operators.hold_changed(event.provider, event.hold)
        self._leases.update(event.provider)

    @override
    def configured(self, event: Configured) -> None:
        self.circuits.watch(event.added)
        for name in event.added:
            gate = self._states.gates.get(name)
            if gate is not None:
                self.operators.follow_all(gate, self._now())
                self.circuits.follow(name, self._now())

    def report_soon(self) -> None:
        """Reports before the interval is over."""
        if self.connection is not None:
            self.connection.report_soon()

    def _publish(self, kind: Any, subject: str, value: Any, left: float = math.inf) -> None:
        fact = self.beliefs.new_fact(kind, subject, value, self._now(), left)
        if self.connection is not None:
            self.connection.send(fact)

    # -- what other processes see -------------------------------------------------------------

    def received(self, facts: Sequence[Fact], *, whole_state: bool) -> None:
        """Merges facts, and applies those that are news."""
        now = self._now()
        news = [fact for fact in facts if self.beliefs.merge(fact, now)]
        if whole_state:
            self.beliefs.forget_expired(now)
        changed = dict.fromkeys(fact.subject for fact in news if fact.kind in {"open", "cooldown"})
        for fact in news:
            if fact.stamp.origin == self.beliefs.origin:
                continue
            if fact.kind == "failing":
                self.circuits.failing_elsewhere(fact, now)
            elif fact.kind == "closed":
                self.circuits.closed_elsewhere(fact, now)
            elif fact.kind == "limit":
                self.learned.follow(fact, now)
            elif fact.kind in {"hold", "weight"} and fact.subject in self._states.gates:
                self.operators.follow(fact, self._states.gates[fact.subject], now)
        for subject in changed:
            self.circuits.follow(subject, now)
        if news:
            self._dispatcher.deliver()
            self._serve_waiting(now)

    def _members(self) -> tuple[int, int] | None:
        """Connected processes and their machines; None before the first connection."""
        connection = self.connection
        return None if connection is None else (connection.processes, connection.hosts)

    def _followed(self, subject: str) -> None:
        self._timers.update(subject)  # a model has none
        self._leases.update(subject)

    def connection_changed(self, *, connected: bool, why: str) -> None:
        """Reports that the connection was established or lost."""
        processes = 1 if self.connection is None else self.connection.processes
        event = SharingChanged(
            self._router, connected, str(self._sharing), why, processes, self._now()
        )
        self._dispatcher.post("sharing_changed", event)
        self._dispatcher.deliver()

    # -- inspection ---------------------------------------------------------------------------

    def beliefs_now(self) -> Mapping[str, Any]:
        """The providers that are not simply closed, with state, hold and cooldown."""
        now = self._now()
        found = {}
        for name, gate in self._states.gates.items():
            state = str(gate.circuit.state(now))
            cooldown = gate.cooldown_until > now
            if state != "closed" or gate.hold is not None or cooldown:
                found[name] = {"state": state, "hold": gate.hold, "cooling_down": cooldown}
        return found

    async def overview(self) -> dict[str, Any]:
        """Returns the fleet as plain data; see `overview.overview` for its shape.

        Without a connection this process is the only member.
        """
        connection, transport = self.connection, self._connected()
        identity = self._identity
        members = [FleetMember(identity.origin, identity.host, identity.info, self.beliefs_now())]
        try:
            others = [] if transport is None else await transport.members()
            members += [member for member in others if member.origin != identity.origin]
        except SharingError:
            transport = None
        return overview(
            identity,
            members,
            self.beliefs.live(self._now()),
            to=str(self._sharing),
            namespace=self._sharing.options.namespace,
            lag=math.nan if connection is None else connection.lag,
            connected=transport is not None,
        )
