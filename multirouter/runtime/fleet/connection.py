"""Connection of one router to the shared state: keeps it, sends, receives, reports at intervals.

Nothing here is awaited by a call. What is to be sent is queued; what arrives is applied between two
steps of the loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from multirouter.core.failures.backoff import backoff_delay
from multirouter.core.settings.policies import RetryPolicy
from multirouter.core.sharing.beliefs import Beliefs
from multirouter.core.sharing.facts import Fact
from multirouter.listeners.metrics.sharing_metrics import SharingMetrics
from multirouter.runtime.fleet.limit_shares import LimitShares
from multirouter.sharing.settings import SharingOptions
from multirouter.sharing.transport import (
    Demands,
    Exchange,
    Grants,
    Message,
    Report,
    SharingError,
    Transport,
)

GONE_AFTER = 3.5
"""Intervals without a report after which a process counts as gone."""

GAP_WAIT = 0.5
"""Longest wait, seconds, before a process that missed a message reads the whole state. It is random
up to this, because usually all missed it."""

MOST_LIMITS = 200
"""Limits that are renewed in one command: the server runs others between two."""

_BACKOFF = RetryPolicy(base=0.2, factor=2.0, cap=5.0)


class ShareHolder(Protocol):
    """Holds shares of the fleet's limits beside those of the router."""

    async def report(self, interval: float) -> Demands | None:
        """Its demands; None when it has none, or reports them by another process.

        Args:
            interval: seconds between two reports.
        """
        ...

    def apply(self, grants: Grants, hosts: int) -> None:
        """Applies what it was granted.

        Args:
            grants: the answer to its report.
            hosts: the machines of the fleet.
        """
        ...


class Receiver(Protocol):
    """What uses the connection; it is held weakly, see `FleetConnection.run`.

    Attributes:
        shares: the shares of the fleet's limits.
        holder: another holder of shares; None where there is none.
    """

    shares: LimitShares
    holder: ShareHolder | None

    def received(self, facts: Sequence[Fact], *, whole_state: bool) -> None:
        """Facts have arrived, with the seconds that are left of them now."""
        ...

    def connection_changed(self, *, connected: bool, why: str) -> None:
        """The connection was established or lost."""
        ...

    def beliefs_now(self) -> Mapping[str, Any]:
        """What this process believes, for the fleet's overview."""
        ...


class FleetConnection:
    """One router's connection.

    Args:
        transport: carries the messages.
        options: the settings of sharing.
        beliefs: the facts that are known; those of the state are published when it lost them.
        rng: for backoff and jitter.
        metrics: shows the connection.

    Attributes:
        connected: whether the last exchange succeeded and the connection has not been lost since.
        processes: connected processes as of the last exchange, at least 1.
        hosts: their machines.
        lag: seconds that the last message was under way; NaN before the first.
    """

    def __init__(
        self,
        transport: Transport,
        options: SharingOptions,
        beliefs: Beliefs,
        rng: Random,
        metrics: SharingMetrics,
    ) -> None:
        self.transport: Transport = transport
        self._options = options
        self._beliefs = beliefs
        self._rng = rng
        self._metrics = metrics
        self._unreadable = 0
        self._outbox: dict[tuple[str, str, str], Fact] = {}
        self._to_send = asyncio.Event()
        self._to_report = asyncio.Event()
        self.synchronized: asyncio.Event = asyncio.Event()
        self._epoch, self._version, self._newest = "", -1, -1
        self._ahead = math.nan
        self._reported: Mapping[str, Any] | None = None
        self.connected: bool = False
        self.processes: int = 1
        self.hosts: int = 1
        self.lag: float = math.nan

    def send(self, fact: Fact) -> None:
        """Queues a fact; a newer one of the same slot replaces it.

        While there is no connection nothing is queued: what the state lacks is sent afterwards.
        """
        if self.connected:
            self._outbox[fact.slot] = fact
            self._to_send.set()

    def report_soon(self) -> None:
        """Reports before the interval is over."""
        self._to_report.set()

    async def run(self, receiver: Callable[[], Receiver | None]) -> None:
        """Keeps the connection until cancelled, or until the receiver is gone.

        Args:
            receiver: returns the receiver; None once it was collected with its router.
        """
        failures = 0
        try:
            while receiver() is not None:
                try:
                    await self._serve(receiver)
                except (SharingError, ExceptionGroup) as error:
                    failures = 1 if self.connected else failures + 1
                    self._disconnected(receiver() if failures == 1 else None, _first(error))
                await asyncio.sleep(backoff_delay(_BACKOFF, failures, 0.0, self._rng.random()))
        finally:
            self.connected = False
            self._metrics.connection(connected=False, processes=0)

    async def _serve(self, receiver: Callable[[], Receiver | None]) -> None:
        await self.transport.connect()
        self._epoch, self._version, self._reported = "", -1, None
        await self._report(receiver)
        async with asyncio.TaskGroup() as tasks:
            for work in (self._receive, self._send, self._report_at_intervals):
                tasks.create_task(work(receiver))

    # -- reports ----------------------------------------------------------------------------

    async def _report_at_intervals(self, receiver: Callable[[], Receiver | None]) -> None:
        while True:
            wait = self._options.interval * (0.8 + 0.4 * self._rng.random())
            try:
                async with asyncio.timeout(wait):
                    await self._to_report.wait()
                await asyncio.sleep(GAP_WAIT * self._rng.random())
            except TimeoutError:
                pass
            self._to_report.clear()
            await self._report(receiver)

    async def _report(self, receiver: Callable[[], Receiver | None]) -> None:
        target = receiver()
        if target is None:
            raise SharingError("the router was dropped")
        loop, interval = asyncio.get_running_loop(), self._options.interval
        started = loop.time()
        beliefs, holder = target.beliefs_now(), target.holder
        demands = target.shares.report(self._beliefs.origin, interval, started)
        del target
        changed = beliefs if beliefs != self._reported else None
        ttl = interval * GONE_AFTER
        report = Report(self._epoch, self._version, changed, ttl, demands)
        answer = await self.transport.exchange(report)
        self._reported = beliefs
        # In the middle between question and answer.
        self._ahead = answer.time - (started + loop.time()) / 2
        self._exchanged(answer, receiver())
        if holder is not None:
            await self._renew_shares(holder)

    async def _renew_shares(self, holder: ShareHolder) -> None:
        try:
            async with asyncio.timeout(self._options.interval):
                demands = await holder.report(self._options.interval)
        except TimeoutError:  # its process is busy; this one is reported all the same
            return
        holder.apply(Grants({}, {}), self.hosts)
        for part in () if demands is None else _parts(demands):
            holder.apply(await self.transport.renew_shares(part), self.hosts)

    def _exchanged(self, answer: Exchange, target: Receiver | None) -> None:
        self.processes, self.hosts = max(1, answer.processes), max(1, answer.hosts)
        if answer.epoch != self._epoch:
            self._reported = None if self._epoch else self._reported
        self._epoch = answer.epoch
        was_connected, self.connected = self.connected, True
        self._metrics.connection(connected=True, processes=self.processes)
        unreadable, self._unreadable = self._unreadable, self.transport.dropped
        self._metrics.dropped(self._unreadable - unreadable)
        if target is None:
            return
        target.shares.apply(answer.grants)
        if answer.facts is not None:
            self._version = self._newest = answer.version
            target.received(answer.facts, whole_state=True)
            self._send_what_is_missing(answer.facts)
        if not was_connected:
            target.connection_changed(connected=True, why="")
        self.synchronized.set()

    def _send_what_is_missing(self, state: Sequence[Fact]) -> None:
        """Publishes the facts of this process, and lasting ones of any, that the state lacks."""
        there = {fact.slot: fact.stamp for fact in state}
        now = asyncio.get_running_loop().time()
        for fact in self._beliefs.live(now, self._beliefs.origin):
            stamp = there.get(fact.slot)
            if stamp is None or stamp < fact.stamp:
                self.send(fact)

    def _disconnected(self, target: Receiver | None, why: BaseException) -> None:
        self._outbox.clear()
        self.connected = False
        self._metrics.connection(connected=False, processes=0)
        if target is not None:
            target.connection_changed(connected=False, why=str(why) or repr(why))

    # -- messages ---------------------------------------------------------------------------

    async def _send(self, receiver: Callable[[], Receiver | None]) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            facts = list(self._outbox.values())
            self._outbox.clear()
            if facts:
                await self.transport.publish(facts)
                self._metrics.sent()

    async def _receive(self, receiver: Callable[[], Receiver | None]) -> None:
        while True:
            message = await self.transport.receive()
            target = receiver()
            if target is None:
                raise SharingError("the router was dropped")
            self._take(message, target)
            del target

    def _take(self, message: Message, target: Receiver) -> None:
        if message.version == self._version + 1:
            self._version = message.version
        elif message.version > self._version:
            self._metrics.dropped(max(0, message.version - self._newest - 1))
            self.report_soon()
        self._newest = max(self._newest, message.version)
        now = asyncio.get_running_loop().time()
        age = max(0.0, now + self._ahead - message.time)
        self.lag = age
        self._metrics.received(age)
        facts = [
            fact if fact.left == math.inf else fact._replace(left=fact.left - age)
            for fact in message.facts
        ]
        target.received([fact for fact in facts if fact.left > 0.0], whole_state=False)


def _parts(demands: Demands) -> Iterator[Demands]:
    """The demands in parts of `MOST_LIMITS`, each budget with its limit."""
    names = list(demands.limits)
    for start in range(0, len(names), MOST_LIMITS):
        limits = {name: demands.limits[name] for name in names[start : start + MOST_LIMITS]}
        budgets = {label: one for label, one in demands.budgets.items() if one.limit in limits}
        yield demands._replace(limits=limits, budgets=budgets)


def _first(error: BaseException) -> BaseException:
    """The first error of a group; what is no SharingError goes on, it is a fault of our own."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, SharingError):
        raise error
    return error
