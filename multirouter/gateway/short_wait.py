"""Short wait of requests that no provider can take now but can take soon."""

from __future__ import annotations

from collections.abc import Mapping

from multirouter.core import validation as check
from multirouter.core.settings.wait_policy import WaitPolicy

DEFAULT_WAIT = 1.0
"""Seconds. Retry-After counts whole seconds, so a client could not come back sooner than that. A
wait of one second adds little load, even in an outage."""

MAX_WAITING = 100
"""Requests that may wait at once. Each capacity change examines all of them."""


class ShortWait:
    """Decides which requests may wait when no provider is available, and for how long.

    A request waits only when it is known that a provider becomes available in that time.

    Args:
        wait: longest wait of one request, seconds, >= 0.
        routes: the same by route name, for routes that differ; 0 disables the wait.

    Raises:
        ConfigurationError: for a negative wait.
    """

    __slots__ = ("_policies", "_policy")

    def __init__(
        self, wait: float = DEFAULT_WAIT, routes: Mapping[str, float] | None = None
    ) -> None:
        self._policy = _policy("wait", wait)
        self._policies = {
            name: _policy(f"routes.{name}.wait", own) for name, own in (routes or {}).items()
        }

    def policy(self, route: str) -> WaitPolicy:
        """The policy for requests on a route."""
        return self._policies.get(route, self._policy)


def _policy(setting: str, seconds: float) -> WaitPolicy:
    check.number(setting, seconds, minimum=0.0)
    return WaitPolicy(seconds, max_waiting=MAX_WAITING, only_if_known=True)
