"""Closes what providers hold open: each `aclose=` once, when no call can use it any more."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from types import MethodType
from typing import Any

import anyio

from multirouter.core.routes.configuration_use import ConfigurationUse
from multirouter.core.settings.provider import Provider
from multirouter.runtime.event_loops.base import ErrorHandler, EventLoop
from multirouter.runtime.event_loops.running_loop import running_loop

CLOSE_TIMEOUT = 3.0
"""Seconds that an `aclose=` may take before it is cancelled; all of a router run at once."""

CLEANUP_TIMEOUT = 0.5
"""Seconds that its cleanup may take afterwards."""


class Resource:
    """What the `aclose=` of a provider closes.

    Attributes:
        provider: name of the provider.
        aclose: the function.
        users: the configurations that had the provider and may be in use.
    """

    __slots__ = ("aclose", "provider", "users")

    def __init__(self, provider: str, aclose: Callable[[], Any]) -> None:
        self.provider: str = provider
        self.aclose: Callable[[], Any] = aclose
        self.users: list[ConfigurationUse] = []

    @property
    def in_use(self) -> bool:
        """Whether a call may use it."""
        return any(use.count for use in self.users)


class ProviderClosing:
    """Closes providers that have left the router, and at its end all others.

    A call uses the providers of the configuration that it began with. So one that was removed, or
    replaced by another with another `aclose=`, is closed in the background when the last call that
    may use it has ended.

    Args:
        on_error: called with the name and the exception of an `aclose=` that failed.
    """

    def __init__(self, on_error: ErrorHandler) -> None:
        self._on_error = on_error
        self._uses: list[ConfigurationUse] = []
        self._current: dict[object, Resource] = {}
        self._leaving: dict[object, Resource] = {}
        self._scheduled: dict[object, Resource] = {}  # their tasks have not begun
        self._loop: EventLoop | None = None
        self._closing: set[Resource] = set()
        self._calls_ended: anyio.Event | None = None
        self._all_closed: anyio.Event | None = None

    @property
    def calls(self) -> int:
        """Calls in flight, of all configurations."""
        return sum(use.count - use.background for use in self._uses)

    def configured(
        self, providers: Iterable[Provider[Any, Any, Any]], use: ConfigurationUse
    ) -> None:
        """Notes the providers of a new configuration, whose calls `use` counts."""
        self._uses = [*(old for old in self._uses if old.count), use]
        left, self._current = self._current, {}
        for provider in providers:
            if provider.aclose is not None:
                key = _identity(provider.aclose)
                resource = left.pop(key, None) or self._leaving.pop(key, None)
                resource = resource or self._scheduled.pop(key, None)
                resource = resource or Resource(provider.name, provider.aclose)
                self._current.setdefault(key, resource)
        for resource in self._current.values():
            resource.users = [*(old for old in resource.users if old.count), use]
        self._leaving.update(left)
        if left:
            # Between two runs of a loop no task can begin: the next call's end begins them.
            for old in self._uses[:-1] if self._is_running() else self._uses:
                old.on_idle = self._on_idle
            self._close_unused()

    def forget_calls(self, use: ConfigurationUse) -> None:
        """Forgets all calls, which never end; `use` counts those from here on."""
        for old in self._uses:
            old.lost = True
        self._uses = [use]
        for resource in self._leaving.values():
            resource.users = []
        for resource in self._current.values():
            resource.users = [use]

    def rebind(self, loop: EventLoop, by: float) -> None:
        """Closes providers in `loop` from here on."""
        self._loop = loop
        self._closing = set()
        self._leaving.update(self._scheduled)
        self._scheduled = {}
        self._close_unused()

    async def wait_for_calls(self, loop: EventLoop, seconds: float) -> None:
        """Waits until no call is in flight, at most so many seconds."""
        if self.calls:
            self._calls_ended = anyio.Event()
            for use in self._uses:
                use.on_idle = self._on_idle
            with loop.bound(loop.time() + seconds):
                await self._calls_ended.wait()

    async def shutdown(self) -> None:
        """Waits until those that are being closed in the background are closed."""
        loop, self._loop = self._loop, None
        if self._closing and loop is not None:
            self._all_closed = anyio.Event()
            with loop.bound(loop.time() + CLOSE_TIMEOUT):
                await self._all_closed.wait()

    async def close_all(self) -> None:
        """Closes all that are open, at once, in any event loop; takes a few seconds at most."""
        left = [
            *self._leaving.values(),
            *self._scheduled.values(),
            *self._current.values(),
        ]
        self._leaving, self._scheduled, self._current, self._loop = {}, {}, {}, None
        if left:
            async with running_loop(self._on_error) as loop:
                for resource in left:
                    loop.spawn(_name_of(resource), self._close, resource, loop)
                await loop.close(CLOSE_TIMEOUT + CLEANUP_TIMEOUT)

    def _on_idle(self) -> None:
        if self._leaving:
            self._close_unused()
        if self._calls_ended is not None and not self.calls:
            self._calls_ended.set()

    def _is_running(self) -> bool:
        return self._loop is not None and self._loop.is_running()

    def _close_unused(self) -> None:
        loop = self._loop
        if loop is not None and loop.is_running():
            unused = [item for item in self._leaving.items() if not item[1].in_use]
            for key, resource in unused:
                self._scheduled[key] = self._leaving.pop(key)
                self._closing.add(resource)
                loop.spawn(
                    _name_of(resource),
                    self._close_scheduled,
                    key,
                    loop,
                    on_end=partial(self._ended, key, resource, self._closing),
                )

    async def _close_scheduled(self, key: object, loop: EventLoop) -> None:
        resource = self._scheduled.pop(key, None)
        if resource is not None:  # else a provider with it was added again
            await self._close(resource, loop)

    def _ended(self, key: object, resource: Resource, closing: set[Resource]) -> None:
        if self._scheduled.get(key) is resource:  # the task was cancelled before it began
            self._leaving[key] = self._scheduled.pop(key)
        closing.discard(resource)
        if self._all_closed is not None and not self._closing:
            self._all_closed.set()

    async def _close(self, resource: Resource, loop: EventLoop) -> None:
        """Awaits one `aclose=`; reports that it failed, or took too long."""
        bound = loop.bound(loop.time() + CLOSE_TIMEOUT)
        with bound:
            result = resource.aclose()
            if inspect.isawaitable(result):
                await result
        if bound.expired:
            raise TimeoutError(f"aclose took longer than {CLOSE_TIMEOUT:g} s and was cancelled")
        if bound.stray:
            raise RuntimeError("aclose raised CancelledError, although no task was cancelled")


def _name_of(resource: Resource) -> str:
    return f"aclose of {resource.provider}"


def _identity(function: Callable[[], Any]) -> object:
    """Equal for functions that close the same: a method of an object is a new object each time."""
    if isinstance(function, MethodType):
        return id(function.__self__), function.__func__
    return id(function)
