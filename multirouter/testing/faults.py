"""What can go wrong with a provider, as data: faults, and outages during which they happen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

import anyio

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    import random

FaultKind = Literal[
    "error",
    "rate_limit",
    "credentials",
    "reset",
    "hang",
    "slow",
    "rubbish",
    "cut",
    "stall",
    "short",
]
"""error, rate_limit, credentials: an exception with a status (500, 429, 401); reset: a
ConnectionResetError; hang: no answer ever; slow: the answer takes `factor` times as long;
rubbish: a wrong answer; and for streams, after `chunks` chunks, cut: a reset, stall: nothing
more ever, short: an end before the end."""

STATUSES: dict[str, int] = {"error": 500, "rate_limit": 429, "credentials": 401}


class StatusError(Exception):
    """A failure as HTTP clients show it: what is read by its status and headers.

    Attributes:
        status: the HTTP status.
        headers: the response's headers.
    """

    def __init__(self, message: str, *, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = dict(headers)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which an attempt goes wrong.

    Attributes:
        kind: see `FaultKind`.
        status: the HTTP status of error, rate_limit and credentials; left out: 500, 429, 401.
        headers: the headers that come with the status, such as `{"Retry-After": "5"}`.
        message: the text of the exception.
        after: seconds until the fault shows; left out: as long as an answer would take.
        factor: how many times as long a slow answer takes, at least 0.
        value: the answer of rubbish.
        chunks: how many chunks a stream delivers before it is cut, stalls or ends short.
    """

    kind: FaultKind = "error"
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    message: str = ""
    after: float | None = None
    factor: float = 10.0
    value: Any = None
    chunks: int = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            known = ", ".join(get_args(FaultKind))
            raise ConfigurationError("Fault.kind", f"must be one of {known}, not {self.kind!r}")
        if self.status is not None:
            if self.kind not in STATUSES:
                raise ConfigurationError("Fault.status", f"is not for a fault of kind {self.kind}")
            check.count("Fault.status", self.status, least=100)
        if self.after is not None:
            check.number("Fault.after", self.after, least=0.0)
        check.number("Fault.factor", self.factor, least=0.0)
        check.count("Fault.chunks", self.chunks, least=0)

    async def strike(self, name: str) -> NoReturn:
        """Ends an attempt of the provider `name` by this fault: raises, or never returns.

        Only for the kinds that give no answer; slow, rubbish and short are the provider's to play.
        """
        if self.kind in ("hang", "stall"):
            await anyio.sleep_forever()
        if self.kind in ("reset", "cut"):
            raise ConnectionResetError(self.message or f"{name}: connection reset by peer")
        status = STATUSES[self.kind] if self.status is None else self.status
        message = self.message or f"{name}: status {status}"
        raise StatusError(message, status=status, headers=self.headers)


def as_fault(given: Fault | FaultKind) -> Fault:
    """Returns a fault; the name of a kind is a fault of that kind with defaults.

    Raises:
        ConfigurationError: no such kind.
    """
    return given if isinstance(given, Fault) else Fault(given)


@dataclass(frozen=True, slots=True)
class Outage:
    """A window of loop time in which a fault befalls some or all attempts that begin in it.

    Attributes:
        start: loop time of its begin, seconds; virtual loops and trio's mock clock start at 0.
        end: loop time of its end, seconds, after `start`; `math.inf`: never.
        fault: what happens, a `Fault` or the name of its kind.
        share: the share of attempts that it befalls, 0 to 1.
        down: with `up`, flapping: seconds of fault, then `up` seconds without, and so on.
        up: seconds of health between two times of fault; 0: the fault lasts throughout.
        growing: a slow fault's factor grows evenly from 1 at `start` to its full size at `end`.
    """

    start: float
    end: float
    fault: Fault | FaultKind = "error"
    share: float = 1.0
    down: float = math.inf
    up: float = 0.0
    growing: bool = False

    def __post_init__(self) -> None:
        check.number("Outage.start", self.start)
        check.number("Outage.end", self.end, above=self.start, endless=True)
        check.share("Outage.share", self.share)
        check.number("Outage.down", self.down, above=0.0, endless=True)
        check.number("Outage.up", self.up, least=0.0)
        if self.growing and (math.isinf(self.end) or as_fault(self.fault).kind != "slow"):
            raise ConfigurationError("Outage.growing", "is for a slow fault with a finite end")
        object.__setattr__(self, "fault", as_fault(self.fault))

    def fault_at(self, now: float, rng: random.Random) -> Fault | None:
        """The fault that befalls an attempt beginning now; draws only within the window."""
        if not self.start <= now < self.end:
            return None
        since = now - self.start
        if self.up and since % (self.down + self.up) >= self.down:
            return None
        if self.share < 1.0 and rng.random() >= self.share:
            return None
        fault = as_fault(self.fault)
        if self.growing:
            grown = since / (self.end - self.start)
            return replace(fault, factor=1.0 + (fault.factor - 1.0) * grown)
        return fault
