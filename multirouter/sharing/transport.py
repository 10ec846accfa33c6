"""The interface between a router and what carries the shared state of its fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from multirouter.core.sharing.facts import Fact


class SharingError(Exception):
    """The shared state cannot be reached, or cannot be changed."""


class Identity(NamedTuple):
    """One process of a fleet.

    Attributes:
        origin: its id; another one after each start.
        fleet: the name of the routers that share their state.
        host: its machine: processes of one host share a network.
        info: what the fleet's overview shows of it, as JSON data.
    """

    origin: str
    fleet: str
    host: str
    info: Mapping[str, Any]


class Spending(NamedTuple):
    """What a holder of shares has spent of a budget.

    Attributes:
        spent: amount, USD.
        usd: the whole budget.
        limit: the name among `Demands.limits` whose share is the one in what is left.
        left: seconds until the period ends.
    """

    spent: float
    usd: float
    limit: str
    left: float


class Demands(NamedTuple):
    """What one holder of shares reports: a router, or a gateway for the limits of its keys.

    Attributes:
        holder: its id; its grants are replaced by those of its next report.
        limits: the demand on each limit, by the limit's name.
        budgets: what it has spent of each budget, by the names of the budget and its period.
        kept: seconds for which the grants are kept for it.
    """

    holder: str
    limits: Mapping[str, float] = MappingProxyType({})
    budgets: Mapping[str, Spending] = MappingProxyType({})
    kept: float = 30.0


class Grants(NamedTuple):
    """The answer to demands.

    Attributes:
        shares: the granted share of each limit, by its name.
        budgets: the allowance of the holder in each budget, and the amount that the others have
            spent, by its name.
    """

    shares: Mapping[str, float]
    budgets: Mapping[str, tuple[float, float]]


class Report(NamedTuple):
    """What a process reports in one exchange.

    Attributes:
        epoch: the epoch of the state that it knows; "" for none.
        version: the version of the state that it knows.
        beliefs: what it believes, as JSON data, for the fleet's overview; None when that has not
            changed since the last report.
        ttl: seconds after which it counts as gone, unless it reports again.
        demands: its demand on the limits of the fleet.
    """

    epoch: str
    version: int
    beliefs: Mapping[str, Any] | None
    ttl: float
    demands: Demands = Demands("")


class Exchange(NamedTuple):
    """The answer to a report.

    Attributes:
        time: the time of the shared state, seconds; only differences of it mean something.
        epoch: changes when the state was lost: emptied, or older after a failover.
        version: rises with every change of the state.
        processes: connected processes, this one included.
        hosts: their machines.
        facts: all facts, with the seconds that are left of each; None when the reported version is
            the current one.
        grants: the answer to its demands.
    """

    time: float
    epoch: str
    version: int
    processes: int
    hosts: int
    facts: Sequence[Fact] | None
    grants: Grants


class Message(NamedTuple):
    """Facts that another process published.

    Attributes:
        time: the time of the shared state when they were published, seconds.
        version: the version of the state with these facts.
        facts: the facts, with the seconds that were left then.
    """

    time: float
    version: int
    facts: Sequence[Fact]


class FleetMember(NamedTuple):
    """A connected process, as the fleet's overview shows it.

    Attributes:
        origin: its id.
        host: its machine.
        info: see `Identity`.
        beliefs: see `Report`.
    """

    origin: str
    host: str
    info: Mapping[str, Any]
    beliefs: Mapping[str, Any]


class Transport(Protocol):
    """One process's connection to the shared state. All methods raise SharingError.

    Attributes:
        dropped: messages that could not be read, since the start.
    """

    dropped: int

    async def connect(self) -> None:
        """Connects, and receives messages from here on; may be called again after a failure."""
        ...

    async def exchange(self, report: Report) -> Exchange:
        """Reports this process and reads what it does not know, in one round trip."""
        ...

    async def renew_shares(self, demands: Demands) -> Grants:
        """Renews the shares of another holder than the process itself."""
        ...

    async def publish(self, facts: Sequence[Fact]) -> None:
        """Writes facts into the state, where they are news, and sends them to all processes."""
        ...

    async def receive(self) -> Message:
        """Waits for the next message, own ones included."""
        ...

    async def acquire_lease(self, name: str, seconds: float) -> float:
        """Acquires a lease, or renews it.

        Returns:
            0 when this process has it for `seconds`; else the seconds that are left of another's.
        """
        ...

    async def release_lease(self, name: str) -> None:
        """Gives a lease back, if this process has it."""
        ...

    async def members(self) -> list[FleetMember]:
        """The connected processes."""
        ...

    async def close(self, *, leave: bool) -> None:
        """Disconnects; with `leave`, as a process that has ended."""
        ...
