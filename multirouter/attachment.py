"""What other parts of a program attach to a router: listeners, and functions to run in its loop."""

from __future__ import annotations

from collections.abc import Callable

from multirouter.core.listener import Listener
from multirouter.pickling import NotCopyable
from multirouter.runtime.engine import Engine


class Attachment(NotCopyable):
    """The methods of MultiProviderRouter by which others follow it."""

    _engine: Engine

    def add_listener(self, listener: Listener) -> None:
        """Adds a listener, which gets events from now on.

        Raises:
            ConfigurationError: it is not a Listener; see `Listener`.
        """
        self._engine.dispatcher.add(listener)

    def remove_listener(self, listener: Listener) -> None:
        """Removes a listener, which gets no events from now on; another one changes nothing."""
        self._engine.dispatcher.remove(listener)

    def run_in_loop(self, function: Callable[[], object]) -> None:
        """Runs a function soon in the thread of the router's event loop, from any thread.

        It runs at once, in the calling thread, when no loop of the router is running.
        """
        self._engine.binding.run(function)
