"""Faults of scripted providers, and outages: windows of time with faults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

import anyio

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.pickling import Copyable

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
ConnectionResetError; hang: no answer; slow: the answer takes `factor` times as long; rubbish: a
wrong answer. Streams, after `chunks` chunks: cut: a reset; stall: no more chunks; short: an early
end."""

STATUSES: dict[str, int] = {"error": 500, "rate_limit": 429, "credentials": 401}


class StatusError(Copyable, Exception):
    """An HTTP error with a status and headers, as HTTP clients raise it.

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
    """One fault of an attempt.

    Attributes:
        kind: see `FaultKind`.
        status: HTTP status of error, rate_limit and credentials, >= 100; None: 500, 429, 401.
        headers: response headers, such as `{"Retry-After": "5"}`.
        message: text of the exception.
        after: seconds until the fault occurs, >= 0; None: the latency of an answer.
        factor: factor on the latency of a slow answer, >= 0.
        value: the answer of rubbish.
        chunks: number of chunks before a stream is cut, stalls or ends short, >= 0.
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
        check.one_of("Fault.kind", self.kind, get_args(FaultKind))
        if self.status is not None:
            if self.kind not in STATUSES:
                kinds = ", ".join(STATUSES)
                why = f"is only valid for the kinds {kinds}, got kind {self.kind!r}"
                raise ConfigurationError("Fault.status", why)
            check.count("Fault.status", self.status, minimum=100)
        if self.after is not None:
            check.number("Fault.after", self.after, minimum=0.0)
        check.number("Fault.factor", self.factor, minimum=0.0)
        check.count("Fault.chunks", self.chunks, minimum=0)

    async def inject(self, name: str) -> NoReturn:
        """Ends an attempt of the provider `name` with this fault: raises, or never returns.

        Only for kinds without an answer; slow, rubbish and short are implemented by the provider.
        """
        if self.kind in ("hang", "stall"):
            await anyio.sleep_forever()
        if self.kind in ("reset", "cut"):
            raise ConnectionResetError(self.message or f"{name}: connection reset by peer")
        status = STATUSES[self.kind] if self.status is None else self.status
        message = self.message or f"{name}: status {status}"
        raise StatusError(message, status=status, headers=self.headers)


def as_fault(given: Fault | FaultKind) -> Fault:
    """Returns a `Fault`; the name of a kind becomes a fault of that kind with defaults.

    Raises:
        ConfigurationError: the kind is unknown.
    """
    return given if isinstance(given, Fault) else Fault(given)


@dataclass(frozen=True, slots=True)
class Outage:
    """A window of loop time; a share of the attempts that begin in it has a fault.

    Attributes:
        start: loop time of the start, seconds; virtual loops start at 0.
        end: loop time of the end, seconds, > `start`; `math.inf`: no end.
        fault: a `Fault` or the name of its kind.
        share: the share of attempts with the fault, 0 to 1.
        down: flapping: seconds with the fault, > 0, alternating with `up` seconds without it.
        up: seconds without the fault, >= 0; 0: the fault lasts throughout.
        growing: the factor of a slow fault grows linearly from 1 at `start` to `factor` at `end`.
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
        check.number("Outage.end", self.end, above=self.start, allow_inf=True)
        check.share("Outage.share", self.share)
        check.number("Outage.down", self.down, above=0.0, allow_inf=True)
        check.number("Outage.up", self.up, minimum=0.0)
        if self.growing and (math.isinf(self.end) or as_fault(self.fault).kind != "slow"):
            raise ConfigurationError("Outage.growing", "requires fault='slow' and a finite `end`")
        object.__setattr__(self, "fault", as_fault(self.fault))

    def fault_at(self, now: float, rng: random.Random) -> Fault | None:
        """The fault of an attempt that begins now, or None; uses `rng` only within the window."""
        if not self.start <= now < self.end:
            return None
        elapsed = now - self.start
        if self.up and elapsed % (self.down + self.up) >= self.down:
            return None
        if self.share < 1.0 and rng.random() >= self.share:
            return None
        fault = as_fault(self.fault)
        if self.growing:
            progress = elapsed / (self.end - self.start)
            return replace(fault, factor=1.0 + (fault.factor - 1.0) * progress)
        return fault
