"""Fault injection in production: `chaos` wraps a coroutine function; it is off by default."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypeVar, get_args

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.testing.faults import Fault
from multirouter.testing.latency import Exponential, Latency, as_latency
from multirouter.testing.virtual_time.sleep import sleep

P = ParamSpec("P")
R = TypeVar("R")

ChaosFault = Literal["error", "latency", "hang", "reset", "credentials", "rubbish"]
"""error: a status 500; latency: a longer wait; hang: no answer; reset: a ConnectionResetError;
credentials: a status 401; rubbish: a wrong answer."""

FAULTS: tuple[ChaosFault, ...] = get_args(ChaosFault)


class Chaos(Generic[P, R]):
    """A coroutine function with injected faults; `chaos` returns it.

    Faults are ordinary exceptions, values and sleeps, so the router classifies, counts and fails
    over on them as on a provider's own.

    Attributes:
        injected: number of faults injected so far.
    """

    def __init__(
        self,
        call: Callable[P, Awaitable[R]],
        rate: float,
        faults: Sequence[ChaosFault],
        rng: random.Random,
        latency: Latency,
        rubbish: Any,
    ) -> None:
        self.rate = rate
        self.injected: int = 0
        self._call = call
        self._faults = _check_faults(faults)
        self._rng = rng
        self._latency = latency
        self._rubbish = rubbish

    @property
    def rate(self) -> float:
        """The share of calls with a fault, 0 to 1; can be set while calls run."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = check.share("chaos.rate", rate)

    def __repr__(self) -> str:
        return f"<chaos rate={self.rate:g} injected={self.injected} over {self._call!r}>"

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function, or injects a fault before it or instead of it."""
        # While the rate is 0 the generator is not used, so the wrapper alone leaves a seeded run
        # unchanged.
        if not self._rate or self._rng.random() >= self._rate:
            return await self._call(*args, **kwargs)
        self.injected += 1
        kind = self._rng.choice(self._faults)
        if kind == "latency":
            await sleep(self._latency.sample(self._rng))
            return await self._call(*args, **kwargs)
        if kind == "rubbish":
            await sleep(0)
            rubbish: R = self._rubbish
            return rubbish
        return await Fault(kind, message=f"chaos: {kind}").inject("chaos")


def chaos(
    call: Callable[P, Awaitable[R]],
    *,
    rate: float = 0.0,
    faults: Sequence[ChaosFault] = FAULTS,
    seed: int | str | None = None,
    rng: random.Random | None = None,
    latency: float | Latency = Exponential(mean=5.0),  # noqa: B008 - frozen, so it can be shared
    rubbish: Any = None,
) -> Chaos[P, R]:
    """Wraps a coroutine function so that a share of its calls fails.

    Args:
        call: any coroutine function.
        rate: the share of calls with a fault, 0 to 1; 0, the default, passes every call through.
            `.rate` of the result changes it at any time.
        faults: the kinds of fault, all equally likely.
        seed: seed of the random generator; not with `rng`.
        rng: the random generator, to share one among several wrappers.
        latency: the additional seconds of the fault `latency`, or a distribution.
        rubbish: the answer of the fault `rubbish`, for example one that your `accept=` rejects.

    Returns:
        the wrapped function, with `.rate` and `.injected`.

    Raises:
        ConfigurationError: `rate` is not in 0 to 1, a fault is unknown, or both `seed` and `rng`
            are set.
    """
    if seed is not None and rng is not None:
        raise ConfigurationError("chaos", "must set only one of `seed` and `rng`")
    if not callable(call):
        raise ConfigurationError("chaos.call", f"must be a coroutine function, got {call!r}")
    rng = random.Random(seed) if rng is None else rng
    return Chaos(call, rate, faults, rng, as_latency("chaos.latency", latency), rubbish)


def _check_faults(faults: Sequence[ChaosFault]) -> tuple[ChaosFault, ...]:
    if not faults:
        raise ConfigurationError("chaos.faults", "must not be empty")
    for fault in faults:
        check.one_of("chaos.faults", fault, FAULTS)
    return tuple(faults)
