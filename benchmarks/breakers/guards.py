"""The compared circuit breakers behind one interface; those that are not installed are left out."""

from __future__ import annotations

import datetime as dt
import importlib.util
import logging
import sys
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, Self
from unittest import mock

from prometheus_client import CollectorRegistry

from benchmarks.harness.rounds import Call
from multirouter import MultiProviderRouter, Provider
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.errors import NoProviderAvailable

THRESHOLD = 2
"""Consecutive failures that open each circuit."""

OPEN_DURATION = 0.05
"""Seconds that each circuit stays open."""

_SILENT = logging.getLogger("benchmarks.breakers")
_SILENT.setLevel(logging.CRITICAL + 1)
_SILENT.propagate = False

Work = Callable[[], Awaitable[object]]


class Guard:
    """One circuit breaker with one trial, `THRESHOLD` and `OPEN_DURATION`.

    Attributes:
        package: the package that reads the clock.
    """

    package: str
    _rejection: Any
    _breaker: Any

    async def __aenter__(self) -> Self:
        """Creates the breaker."""
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Closes it."""
        await self.close()

    async def open(self) -> None:
        """Creates the breaker; where needed, a subclass overrides it."""

    async def close(self) -> None:
        """Closes the breaker; where needed, a subclass overrides it."""

    @abstractmethod
    async def call(self, work: Work) -> object:
        """Runs `work` under the breaker."""

    @abstractmethod
    def is_rejection(self, error: BaseException) -> bool:
        """Whether `error` says that the open circuit rejected the call."""

    @abstractmethod
    def guarded(self, call: Call) -> Call:
        """`call` under the breaker, in the cheapest form the package offers."""

    @contextmanager
    def movable_clock(self) -> Iterator[Callable[[float], None]]:
        """Gives a function that moves the wall clock by so many seconds from the true time.

        The monotonic clock stays, as when a time server or a user sets the time. To replace the
        clocks takes longer than a circuit stays open; to move them then takes no time.
        """
        now, wall = time.time, dt.datetime
        moved = 0.0

        class Moved(dt.datetime):
            """The class `datetime` on a clock that was moved."""

            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return wall.now(tz) + dt.timedelta(seconds=moved)

            @classmethod
            def utcnow(cls) -> Any:
                return wall.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(seconds=moved)

        def move(seconds: float) -> None:
            nonlocal moved
            moved = seconds

        replaced = {id(now): lambda: now() + moved, id(wall): Moved}
        with ExitStack() as patches:
            for module in (time, *_modules(self.package)):
                for name, value in list(vars(module).items()):
                    if id(value) in replaced:
                        patch = mock.patch.object(module, name, replaced[id(value)])
                        patches.enter_context(patch)
            yield move


def _modules(package: str) -> list[Any]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name == package or name.startswith(f"{package}.")
    ]


class Ours(Guard):
    """A router with one provider: its circuit alone decides."""

    package = "multirouter"

    async def open(self) -> None:
        """Creates the router."""
        self._work: Work | None = None
        self._router = self._make(self._run)

    def _make(self, call: Any) -> MultiProviderRouter[Any, Any]:
        policy = CircuitPolicy(
            failures=THRESHOLD, open_duration=OPEN_DURATION, growth=1.0, half_open_wait=0.0
        )
        return MultiProviderRouter(
            [Provider("only", call)],
            circuit=policy,
            retry=RetryPolicy(attempts=1),
            registry=CollectorRegistry(),
            logger=_SILENT,
        )

    @staticmethod
    async def _run(work: Work) -> object:
        return await work()

    async def close(self) -> None:
        """Closes the router."""
        await self._router.aclose()

    async def call(self, work: Work) -> object:
        """Runs `work` as the provider's coroutine."""
        return await self._router.call(work)

    def is_rejection(self, error: BaseException) -> bool:
        """Whether no provider was available."""
        return isinstance(error, NoProviderAvailable)

    def guarded(self, call: Call) -> Call:
        """A call through a router whose one provider is `call`."""
        return self._make(call).call


class Interlock(Guard):
    """`interlock.CircuitBreaker`, package interlock-cb."""

    package = "interlock"

    async def open(self) -> None:
        """Creates the breaker."""
        peer = import_module("interlock")
        self._rejection = peer.CircuitOpenError
        config = peer.Config(
            failure_rate_threshold=1.0,
            minimum_number_of_calls=THRESHOLD,
            window_size=THRESHOLD,
            permitted_calls_in_half_open=1,
            wait_duration_in_open=OPEN_DURATION,
        )
        self._breaker = peer.CircuitBreaker(name="only", config=config)

    async def call(self, work: Work) -> object:
        """Runs `work` with `call_async`."""
        return await self._breaker.call_async(work)

    def is_rejection(self, error: BaseException) -> bool:
        """Whether it is `CircuitOpenError`."""
        return isinstance(error, self._rejection)

    def guarded(self, call: Call) -> Call:
        """The decorated coroutine function."""
        decorated: Call = self._breaker(call)
        return decorated


class Purgatory(Guard):
    """A breaker of `purgatory.AsyncCircuitBreakerFactory`, in memory."""

    package = "purgatory"

    async def open(self) -> None:
        """Creates the breaker."""
        peer = import_module("purgatory")
        self._rejection = import_module("purgatory.domain.model").OpenedState
        self._breakers = peer.AsyncCircuitBreakerFactory(
            default_threshold=THRESHOLD, default_ttl=OPEN_DURATION
        )

    async def call(self, work: Work) -> object:
        """Runs `work` in the breaker's block."""
        async with await self._breakers.get_breaker("only"):
            return await work()

    def is_rejection(self, error: BaseException) -> bool:
        """Whether it is `OpenedState`."""
        return isinstance(error, self._rejection)

    def guarded(self, call: Call) -> Call:
        """A block around the call."""

        async def inside(request: str) -> object:
            async with await self._breakers.get_breaker("only"):
                return await call(request)

        return inside


class Aiobreaker(Guard):
    """`aiobreaker.CircuitBreaker`."""

    package = "aiobreaker"

    async def open(self) -> None:
        """Creates the breaker."""
        peer = import_module("aiobreaker")
        self._rejection = peer.CircuitBreakerError
        self._breaker = peer.CircuitBreaker(
            fail_max=THRESHOLD, timeout_duration=dt.timedelta(seconds=OPEN_DURATION)
        )

    async def call(self, work: Work) -> object:
        """Runs `work` with `call_async`."""
        return await self._breaker.call_async(work)

    def is_rejection(self, error: BaseException) -> bool:
        """Whether it is `CircuitBreakerError`; the failure that opens a circuit raises it too."""
        return isinstance(error, self._rejection)

    def guarded(self, call: Call) -> Call:
        """The decorated coroutine function."""
        decorated: Call = self._breaker(call)
        return decorated


_ALL: dict[str, tuple[str, type[Guard]]] = {
    "multirouter": ("multirouter", Ours),
    "interlock-cb": ("interlock", Interlock),
    "purgatory": ("purgatory", Purgatory),
    "aiobreaker": ("aiobreaker", Aiobreaker),
}

GUARDS: dict[str, type[Guard]] = {
    name: guard for name, (module, guard) in _ALL.items() if importlib.util.find_spec(module)
}
"""The breakers that are installed, by package."""

MISSING = tuple(name for name in _ALL if name not in GUARDS)
"""The packages that are not installed."""
