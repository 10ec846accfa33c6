"""The wire that carries news from the core to the listeners, in order, one at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from multirouter.core.events import KINDS, Listener
from multirouter.model import Role

Broken = Callable[[Callable[..., None], Exception], None]
"""Told of a listener's method that raised, and of what it raised."""

Ears = tuple[Callable[[Any], None], ...]


def _spread(method: Callable[..., None]) -> Callable[[Any], None]:
    """The one method that takes its news in two arguments, as one that takes a pair."""

    @wraps(method)
    def hear(news: tuple[str, Role]) -> None:
        method(*news)

    return hear


class EventDispatcher:
    """Carries news from the core to the listeners, in order, one at a time.

    The core posts while it settles its state and delivers when it is done, so a listener never
    sees a half-made change; news that a listener causes waits behind what is being told.

    Attributes:
        starts_heard: whether anybody listens for the start of attempts.
    """

    def __init__(self, listeners: Iterable[Listener], broken: Broken) -> None:
        self._broken = broken
        self._queue: deque[tuple[Ears, Any]] = deque()
        self._telling = False
        self._ears: dict[str, Ears] = dict.fromkeys(KINDS, ())
        self.starts_heard: bool = False
        for listener in listeners:
            self.add(listener)

    def add(self, listener: Listener) -> None:
        """Lets a listener hear all news from here on, by the methods that it overrides."""
        for kind in KINDS:
            method = getattr(listener, kind)
            if getattr(method, "__func__", None) is not getattr(Listener, kind):
                ear = _spread(method) if kind == "attempt_started" else method
                self._ears[kind] = (*self._ears[kind], ear)
        self.starts_heard = bool(self._ears["attempt_started"])

    def report(self, hook: Callable[..., Any], error: Exception) -> None:
        """Tells of a hook of the user's that raised, as of a listener that did."""
        self._broken(hook, error)

    def post(self, kind: str, news: Any) -> None:
        """Queues news; who does not listen for its kind costs one look-up."""
        ears = self._ears[kind]
        if ears:
            self._queue.append((ears, news))

    def deliver(self) -> None:
        """Tells all that is queued; when a listener is just being told, leaves it to that one."""
        queue = self._queue
        if self._telling or not queue:
            return
        self._telling = True
        try:
            while queue:
                ears, news = queue.popleft()
                for hear in ears:
                    try:
                        hear(news)
                    except Exception as error:  # noqa: BLE001 - a listener may break, a call may not
                        self._broken(hear, error)
        finally:
            self._telling = False
