"""Load on a target: a number of users in a closed loop, or requests at a rate in an open one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import anyio

from multirouter.core import validation as check


@dataclass(frozen=True, slots=True)
class Sent:
    """How one request ended.

    Attributes:
        error: what failed, as a class name or status; "" when it was answered.
        first: seconds to the first chunk of a stream; None for a whole answer, or without one.
        provider: the provider that answered; "" when none did, or when it is not known.
        at_providers: seconds during which an attempt was under way; None when they are not known.
        failovers: how often another provider was attempted.
        message: the error's message; "" when it has none.
    """

    error: str = ""
    first: float | None = None
    provider: str = ""
    at_providers: float | None = None
    failovers: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of a run.

    Attributes:
        at: seconds from the start of the run to when the request was due.
        elapsed: seconds from then to its end: a late start counts.
        sent: how it ended.
    """

    at: float
    elapsed: float
    sent: Sent


class Target(Protocol):
    """What gets the load."""

    async def send(self, request: Any, *, stream: bool) -> Sent:
        """Makes one request and waits for its whole answer."""
        ...


MAX_USERS = 100_000
"""Users that one process has the memory for."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much load, and for how long.

    Attributes:
        users: concurrent users, each with one request at a time; 1 to `MAX_USERS`. Not used with
            `rate`.
        rate: requests per second on average, at random times; None for a closed loop.
        think: seconds that a user waits on average before the next request, exponentially
            distributed; 0 sends the next one at once.
        seconds: duration, above 0; requests under way are awaited.
        streamed: the share of requests that are streamed, 0 to 1.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    users: int = 10
    rate: float | None = None
    think: float = 0.0
    seconds: float = 10.0
    streamed: float = 0.0

    def __post_init__(self) -> None:
        check.count("--users", self.users, maximum=MAX_USERS)
        if self.rate is not None:
            check.number("--rate", self.rate, minimum=1e-6, maximum=1e6)
        check.number("--think", self.think, minimum=0.0)
        check.duration("--seconds", self.seconds)
        check.share("--streams", self.streamed)


async def run_load(
    target: Target,
    load: Load,
    requests: Sequence[Any],
    *,
    rng: Random,
    on_sample: Callable[[Sample], None],
) -> None:
    """Makes requests until the load's time is over, and returns when all have ended.

    Args:
        target: what gets the load.
        load: how much.
        requests: the requests, in turn, from the first again after the last; at least one.
        rng: source of chance.
        on_sample: called with each request that ended.
    """
    began = anyio.current_time()
    made = 0

    async def send(due: float) -> None:
        nonlocal made
        request = requests[made % len(requests)]
        made += 1
        sent = await target.send(request, stream=rng.random() < load.streamed)
        on_sample(Sample(due - began, anyio.current_time() - due, sent))

    async def user() -> None:
        while anyio.current_time() < began + load.seconds:
            await send(anyio.current_time())
            await anyio.sleep(_exponential(rng, load.think))

    async with anyio.create_task_group() as group:
        if load.rate is None:
            for _ in range(load.users):
                group.start_soon(user)
            return
        due = began + _exponential(rng, 1.0 / load.rate)
        while due < began + load.seconds:
            await anyio.sleep(max(0.0, due - anyio.current_time()))
            group.start_soon(send, due)
            due += _exponential(rng, 1.0 / load.rate)


def _exponential(rng: Random, mean: float) -> float:
    return -mean * math.log(1.0 - rng.random())
