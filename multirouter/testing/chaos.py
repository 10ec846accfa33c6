"""Faults on purpose in production: wraps a coroutine function, off until it is switched on."""

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
"""A status 500; a longer wait; no answer ever; a ConnectionResetError; a status 401; a wrong
answer."""

FAULTS: tuple[ChaosFault, ...] = get_args(ChaosFault)


class Chaos(Generic[P, R]):
    """What `chaos` returns: the function, with faults.

    Its faults are ordinary exceptions, values and sleeps, so a router cannot tell them from a
    provider's own: they are classified, counted and failed over alike.

    Attributes:
        injected: how many faults there were so far.
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
        self._faults = _known(faults)
        self._rng = rng
        self._latency = latency
        self._rubbish = rubbish

    @property
    def rate(self) -> float:
        """The share of calls that a fault befalls, 0 to 1; may be set while calls run."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = check.share("chaos.rate", rate)

    def __repr__(self) -> str:
        return f"<chaos rate={self.rate:g} injected={self.injected} over {self._call!r}>"

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function, or lets a fault happen instead of it or before it."""
        # No draw while off: switching on is what changes a seeded run, not the wrapper.
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
        return await Fault(kind, message=f"chaos: {kind}").strike("chaos")


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
    """Wraps a coroutine function so that a share of its calls goes wrong.

    Args:
        call: any coroutine function.
        rate: the share of calls that a fault befalls, 0 to 1; 0, the default, passes every call
            straight through. `.rate` of the result changes it live.
        faults: the kinds that happen, each as likely as the others.
        seed: of the chance that decides; not with `rng`.
        rng: the chance itself, to share one among several wrappers.
        latency: the additional seconds of the fault `latency`, or a distribution.
        rubbish: the answer of the fault `rubbish`; give what your `accept=` ought to refuse.

    Returns:
        the wrapped function, with `.rate` and `.injected`.

    Raises:
        ConfigurationError: a rate that is no share, an unknown fault, or both `seed` and `rng`.
    """
    if seed is not None and rng is not None:
        raise ConfigurationError("chaos", "takes seed or rng, not both")
    if not callable(call):
        raise ConfigurationError("chaos.call", f"must be a coroutine function, not {call!r}")
    chance = random.Random(seed) if rng is None else rng
    return Chaos(call, rate, faults, chance, as_latency("chaos.latency", latency), rubbish)


def _known(faults: Sequence[ChaosFault]) -> tuple[ChaosFault, ...]:
    if not faults:
        raise ConfigurationError("chaos.faults", "must name at least one fault")
    for fault in faults:
        if fault not in FAULTS:
            known = ", ".join(FAULTS)
            raise ConfigurationError("chaos.faults", f"must be of {known}, not {fault!r}")
    return tuple(faults)
