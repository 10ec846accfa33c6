"""Short wait of requests that no provider can take now but can take soon."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from multirouter.core import validation as check
from multirouter.errors import NoProviderAvailable

DEFAULT_WAIT = 1.0
"""Seconds. Retry-After counts whole seconds, so a client could not come back sooner than that. A
wait of one second adds little load, even in an outage."""

MAX_WAITING = 100
"""Requests that may wait at once. Each capacity change examines all of them."""


class ShortWait:
    """Decides which requests without an available provider wait for one, and for how long.

    Args:
        wait: longest wait of one request, seconds, >= 0.
        routes: the same by route name, for routes that differ; 0 disables the wait.

    Attributes:
        waiting: requests that are waiting now.

    Raises:
        ConfigurationError: for a negative wait.
    """

    __slots__ = ("_routes", "_wait", "waiting")

    def __init__(
        self, wait: float = DEFAULT_WAIT, routes: Mapping[str, float] | None = None
    ) -> None:
        self._wait: float = check.number("wait", wait, minimum=0.0)
        self._routes: dict[str, float] = {
            name: check.number(f"routes.{name}.wait", own, minimum=0.0)
            for name, own in (routes or {}).items()
        }
        self.waiting: int = 0

    def seconds_for(self, error: BaseException | None, route: str) -> float:
        """Seconds that a failed request may wait; 0.0 when waiting cannot help.

        Args:
            error: how the request failed. Only `NoProviderAvailable` with a `retry_after` within
                the route's wait is worth waiting for.
            route: the name of the request's route.
        """
        if not isinstance(error, NoProviderAvailable) or error.retry_after is None:
            return 0.0
        wait = self._routes.get(route, self._wait)
        return wait if error.retry_after <= wait and self.waiting < MAX_WAITING else 0.0

    @contextmanager
    def counted(self) -> Generator[None]:
        """Counts a request as waiting until it is answered, its attempts included."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1
