"""State that several routers of one process share in memory, with faults: for tests of fleets."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from multirouter.core.sharing.facts import Fact, Stamp, fact_from_data
from multirouter.core.sharing.quorum import Quorum
from multirouter.core.sharing.shares import Grant, Reserve, granted, reserved
from multirouter.sharing.settings import INTERVAL, START_TIMEOUT, SharingOptions
from multirouter.sharing.transport import (
    Demands,
    Exchange,
    FleetMember,
    Grants,
    Identity,
    Message,
    Report,
    SharingError,
    Transport,
)


@dataclass(slots=True)
class _State:
    """What a server keeps of one fleet."""

    epoch: str
    version: int = 0
    facts: dict[tuple[str, str, str], tuple[Fact, float]] = field(default_factory=dict)
    grants: dict[str, dict[str, Grant]] = field(default_factory=dict)
    reserves: dict[str, dict[str, Reserve]] = field(default_factory=dict)
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)
    reports: dict[str, tuple[Identity, float, float, Mapping[str, Any]]] = field(
        default_factory=dict
    )


class MemoryServer:
    """A server of shared state in memory, which can be slow, lossy, unreachable, or emptied.

    It behaves as Redis does behind `RedisSharing`, without a network, and so also in virtual time.

    Args:
        latency: seconds of each way, of a command or a message, at least 0.
        seed: for what is random in it.

    Attributes:
        latency: see Args.
        loss: share of the messages to each process that are lost, 0 to 1.
        duplicates: share of the messages that arrive twice, 0 to 1.
        disorder: longest additional delay of a message, seconds; above 0 messages overtake others.
        down: whether no command is answered, and connections are lost.
        read_only: whether commands that write fail.
        cut_off: hosts that cannot reach the server.
        commands: how many commands of each name were run.
    """

    def __init__(self, *, latency: float = 0.001, seed: int = 0) -> None:
        self.latency: float = latency
        self.loss: float = 0.0
        self.duplicates: float = 0.0
        self.disorder: float = 0.0
        self.down: bool = False
        self.read_only: bool = False
        self.cut_off: set[str] = set()
        self.commands: Counter[str] = Counter()
        self._rng = Random(seed)
        self._epochs = 0
        self._states: dict[str, _State] = {}
        self._subscribers: dict[str, list[MemoryTransport]] = {}

    def sharing(self, host: str = "host", **options: Any) -> MemorySharing:
        """The `sharing=` of one process on a host; options as for `RedisSharing`."""
        return MemorySharing(self, host=host, **options)

    def empty(self) -> None:
        """Loses all state, as a server that restarts without its data."""
        self._states.clear()
        self.disconnect_all()

    def disconnect_all(self) -> None:
        """Breaks all connections."""
        for subscribers in self._subscribers.values():
            for transport in tuple(subscribers):
                transport.break_off()

    def state(self, fleet: str) -> _State:
        """The state of a fleet."""
        found = self._states.get(fleet)
        if found is None:
            self._epochs += 1
            found = self._states[fleet] = _State(f"epoch {self._epochs}")
        return found

    def subscribers(self, fleet: str) -> list[MemoryTransport]:
        """The connections that receive the messages of a fleet."""
        return self._subscribers.setdefault(fleet, [])

    def fails(self, host: str) -> bool:
        """Whether a host cannot reach the server now."""
        return self.down or host in self.cut_off

    def deliver(self, fleet: str, message: Message) -> None:
        """Sends a message to all connections of a fleet."""
        loop = asyncio.get_running_loop()
        for transport in self.subscribers(fleet):
            copies = 1 + (self._rng.random() < self.duplicates)
            for _ in range(copies if self._rng.random() >= self.loss else 0):
                delay = self.latency + self.disorder * self._rng.random()
                loop.call_later(delay, transport.arrive, message)


class MemorySharing:
    """The `sharing=` of one process, see `MemoryServer.sharing`.

    Args:
        server: what keeps the state.
        host: the machine of the process.
        namespace: as for `RedisSharing`.
        quorum: as for `RedisSharing`.
        interval: as for `RedisSharing`.
        start_timeout: as for `RedisSharing`.
    """

    def __init__(
        self,
        server: MemoryServer,
        *,
        host: str,
        namespace: str = "multirouter",
        quorum: Quorum | None = None,
        interval: float = INTERVAL,
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        self._server = server
        self.options: SharingOptions = SharingOptions(
            "MemorySharing",
            namespace=namespace,
            quorum=quorum,
            interval=interval,
            start_timeout=start_timeout,
            host=host,
        )

    def transport(self, identity: Identity) -> Transport:
        """A connection for one router."""
        return MemoryTransport(self._server, identity, self.options.namespace)

    def __str__(self) -> str:
        return "memory"


class MemoryTransport:
    """One router's connection to a `MemoryServer`."""

    def __init__(self, server: MemoryServer, identity: Identity, namespace: str) -> None:
        self._server = server
        self._identity = identity
        self._fleet = f"{namespace}:{identity.fleet}"
        self._inbox: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._broken = True
        self.dropped: int = 0

    async def connect(self) -> None:
        """Connects; see `Transport`."""
        await self._command("connect")
        self._inbox.clear()
        self._broken = False
        subscribers = self._server.subscribers(self._fleet)
        if self not in subscribers:
            subscribers.append(self)

    def arrive(self, message: Message) -> None:
        """Receives a message from the server."""
        if not self._broken and not self._server.fails(self._identity.host):
            self._inbox.append(message)
            self._arrived.set()

    def break_off(self) -> None:
        """Breaks the connection."""
        self._broken = True
        self._arrived.set()

    async def receive(self) -> Message:
        """Waits for a message; see `Transport`."""
        while not self._inbox:
            if self._broken:
                raise SharingError("the connection was lost")
            self._arrived.clear()
            await self._arrived.wait()
        return self._inbox.popleft()

    async def exchange(self, report: Report) -> Exchange:
        """Reports and reads; see `Transport`."""
        await self._command("exchange", write=True)
        now, state = asyncio.get_running_loop().time(), self._server.state(self._fleet)
        known = state.reports.get(self._identity.origin)
        beliefs = report.beliefs
        if beliefs is None:
            beliefs = known[3] if known is not None else {}
        state.reports[self._identity.origin] = self._identity, now, now + report.ttl, beliefs
        for origin in [o for o, (_, _, until, _) in state.reports.items() if until <= now]:
            del state.reports[origin]
        current = (report.epoch, report.version) == (state.epoch, state.version)
        facts = None if current else self._facts(state, now)
        hosts = {identity.host for identity, _, _, _ in state.reports.values()}
        counts = (len(state.reports), len(hosts))
        grants = _granted(state, report.demands, now)
        answer = Exchange(now, state.epoch, state.version, *counts, facts, grants)
        await asyncio.sleep(self._server.latency)
        return answer

    async def renew_shares(self, demands: Demands) -> Grants:
        """Renews the shares of another holder; see `Transport`."""
        await self._command("renew shares", write=True)
        now, state = asyncio.get_running_loop().time(), self._server.state(self._fleet)
        grants = _granted(state, demands, now)
        await asyncio.sleep(self._server.latency)
        return grants

    async def publish(self, facts: Sequence[Fact]) -> None:
        """Writes and sends facts; see `Transport`."""
        await self._command("publish", write=True)
        now, state = asyncio.get_running_loop().time(), self._server.state(self._fleet)
        news = []
        for fact in map(_copied, facts):
            known = state.facts.get(fact.slot)
            if known is None or known[0].stamp < fact.stamp:
                state.facts[fact.slot] = fact, now + fact.left
                news.append(fact)
        if news:
            state.version += 1
            self._server.deliver(self._fleet, Message(now, state.version, news))

    async def acquire_lease(self, name: str, seconds: float) -> float:
        """Acquires or renews a lease; see `Transport`."""
        await self._command("lease", write=True)
        now, leases = asyncio.get_running_loop().time(), self._server.state(self._fleet).leases
        owner, until = leases.get(name, ("", -math.inf))
        left = until - now
        if left <= 0.0 or owner == self._identity.origin:
            leases[name] = self._identity.origin, now + seconds
            left = 0.0
        await asyncio.sleep(self._server.latency)
        return left

    async def release_lease(self, name: str) -> None:
        """Gives a lease back; see `Transport`."""
        await self._command("release", write=True)
        leases = self._server.state(self._fleet).leases
        if leases.get(name, ("", 0.0))[0] == self._identity.origin:
            del leases[name]

    async def members(self) -> list[FleetMember]:
        """The connected processes; see `Transport`."""
        await self._command("members")
        now = asyncio.get_running_loop().time()
        return [
            FleetMember(origin, identity.host, identity.info, beliefs)
            for origin, (identity, _, until, beliefs) in self._server.state(
                self._fleet
            ).reports.items()
            if until > now
        ]

    async def close(self, *, leave: bool) -> None:
        """Disconnects; see `Transport`."""
        subscribers = self._server.subscribers(self._fleet)
        if self in subscribers:
            subscribers.remove(self)
        self.break_off()
        if leave and not self._server.fails(self._identity.host):
            self._server.state(self._fleet).reports.pop(self._identity.origin, None)

    async def _command(self, name: str, *, write: bool = False) -> None:
        self._server.commands[name] += 1
        await asyncio.sleep(self._server.latency)
        if self._server.fails(self._identity.host):
            raise SharingError("the server cannot be reached")
        if write and self._server.read_only:
            raise SharingError("the server is read-only")

    def _facts(self, state: _State, now: float) -> list[Fact]:
        return [fact._replace(left=u - now) for fact, u in state.facts.values() if u > now]


def _granted(state: _State, demands: Demands, now: float) -> Grants:
    """Renews the shares of one holder, and what is reserved for it."""
    holder, until = demands.holder, now + demands.kept
    shares: dict[str, float] = {}
    for name, demand in demands.limits.items():
        grants = state.grants.setdefault(name, {})
        grants.pop(holder, None)
        shares[name] = granted(demand, grants, now)
        grants[holder] = Grant(shares[name], demand, until)
    budgets: dict[str, tuple[float, float]] = {}
    for name, (spent, usd, limit, _) in demands.budgets.items():
        reserves = state.reserves.setdefault(name, {})
        reserves.pop(holder, None)
        allowance, others = reserved(spent, usd, shares[limit], reserves, now)
        reserves[holder] = Reserve(allowance, spent, until)
        budgets[name] = allowance, others
    return Grants(shares, budgets)


def _copied(fact: Fact) -> Fact:
    """The fact as it is after it was sent."""
    found = fact_from_data(json.loads(json.dumps(fact.as_data())))
    return found or Fact(fact.kind, fact.subject, Stamp(*fact.stamp), fact.value, fact.left)
