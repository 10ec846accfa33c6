"""How long requests wait for room, and which of them: those for whom it is known to come soon."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from multirouter.core import validation as check
from multirouter.errors import NoProviderAvailable

WAIT = 1.0
"""Seconds. Retry-After counts whole ones, so a rest that is shorter is over sooner than a client
could come back; and who waits no longer than that is no burden, even in an outage."""

MOST = 100
"""How many wait at once: whoever makes room looks at all of them."""


class Patience:
    """Says which of the requests that nobody can take stand in line for it.

    Args:
        wait: seconds that a request may wait.
        routes: the same for routes that differ; 0 is not at all.

    Attributes:
        waiting: how many stand in line.

    Raises:
        ConfigurationError: for a negative span.
    """

    __slots__ = ("_routes", "_wait", "waiting")

    def __init__(self, wait: float = WAIT, routes: Mapping[str, float] | None = None) -> None:
        self._wait: float = check.number("wait", wait, least=0.0)
        self._routes: dict[str, float] = {
            name: check.number(f"routes.{name}.wait", own, least=0.0)
            for name, own in (routes or {}).items()
        }
        self.waiting: int = 0

    def worth(self, error: BaseException | None, route: str) -> float:
        """Seconds that a refused request may wait for room; 0.0 when it would wait in vain.

        Args:
            error: what it was refused with.
            route: the route it went by.
        """
        if not isinstance(error, NoProviderAvailable) or error.retry_after is None:
            return 0.0
        wait = self._routes.get(route, self._wait)
        return wait if error.retry_after <= wait and self.waiting < MOST else 0.0

    @contextmanager
    def standing(self) -> Generator[None]:
        """Counts who stands in line, and who left it for an attempt, until it is answered."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
