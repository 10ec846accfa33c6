"""Delivery of events from the core to the listeners, in order, one at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from multirouter.core import function_checks as hooks
from multirouter.core.listener import EVENT_NAMES, Listener
from multirouter.errors import ConfigurationError
from multirouter.model import Role

OnHookError = Callable[[Callable[..., Any], Exception], None]
"""Called with a user's function that raised (a listener's method, a hook), and its exception."""

Handlers = tuple[Callable[[Any], object], ...]


def _unpacking(method: Callable[..., object]) -> Callable[[Any], object]:
    """Adapts `attempt_started`, the one method with two arguments, to one pair."""

    @wraps(method)
    def handler(event: tuple[str, Role]) -> object:
        return method(*event)

    return handler


def _handlers_of(listener: Listener, name: str) -> Handlers:
    """The handler of one event; none if the listener does not override the method.

    Raises:
        ConfigurationError: the method is async, or takes other arguments.
    """
    method = getattr(listener, name)
    if getattr(method, "__func__", None) is getattr(Listener, name):
        return ()
    what = f"{type(listener).__name__}.{name}"
    if name == "attempt_started":
        return (_unpacking(hooks.plain_function(what, method, "provider", "role")),)
    return (hooks.plain_function(what, method, "event"),)


class EventDispatcher:
    """Delivers events to listeners, in order, one at a time.

    The core queues events while it changes its state, and delivers them afterwards: a listener
    never sees a half-made change. Events that a listener causes are delivered after the current
    one.

    Attributes:
        has_tracer: whether a tracer follows the start of attempts.
        has_start_listeners: whether a listener handles it, or a tracer does.
    """

    def __init__(self, listeners: Iterable[Listener], on_listener_error: OnHookError) -> None:
        self._on_error = on_listener_error
        self._queue: deque[tuple[Handlers, Any]] = deque()
        self._delivering = False
        self._listeners: tuple[Listener, ...] = ()
        self._handlers: dict[str, Handlers] = dict.fromkeys(EVENT_NAMES, ())
        self.has_tracer: bool = False
        self.has_start_listeners: bool = False
        for listener in listeners:
            self.add(listener)

    def add(self, listener: Listener) -> None:
        """Registers a listener for the methods that it overrides; it gets events from now on.

        Raises:
            ConfigurationError: it has not the methods of a Listener, or a method is async, or takes
                other arguments.
        """
        if isinstance(listener, type) or not all(hasattr(listener, name) for name in EVENT_NAMES):
            raise ConfigurationError("listeners", f"must be Listener objects, got {listener!r}")
        added = {name: _handlers_of(listener, name) for name in EVENT_NAMES}
        self._listeners = (*self._listeners, listener)
        self._handlers = {name: (*self._handlers[name], *added[name]) for name in EVENT_NAMES}
        if self._handlers["attempt_started"]:
            self.has_start_listeners = True

    def remove(self, listener: Listener) -> None:
        """Removes a listener; one that was not added changes nothing."""
        left = tuple(one for one in self._listeners if one is not listener)
        self._handlers = {
            name: tuple(handler for one in left for handler in _handlers_of(one, name))
            for name in EVENT_NAMES
        }
        self._listeners = left
        self.has_start_listeners = self.has_tracer or bool(self._handlers["attempt_started"])

    def follow_attempts(self) -> None:
        """A tracer follows the start of attempts from here on."""
        self.has_tracer = self.has_start_listeners = True

    def report_hook_error(self, hook: Callable[..., Any], error: Exception) -> None:
        """Reports a user's hook that raised, in the same way as a listener that raised."""
        self._on_error(hook, error)

    def post(self, name: str, event: Any) -> None:
        """Queues an event under a `Listener` method's name; without handlers it costs a look-up."""
        handlers = self._handlers[name]
        if handlers:
            self._queue.append((handlers, event))

    def deliver(self) -> None:
        """Delivers all queued events; does nothing when called from within a delivery."""
        queue = self._queue
        if self._delivering or not queue:
            return
        self._delivering = True
        try:
            while queue:
                handlers, event = queue.popleft()
                for handler in handlers:
                    try:
                        result = handler(event)
                        if result is not None:
                            hooks.checked_result("a method of a listener", result)
                    except Exception as error:  # noqa: BLE001 - a broken listener fails no call
                        self._on_error(handler, error)
        finally:
            self._delivering = False
