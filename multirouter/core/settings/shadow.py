"""Shadow traffic: which calls are copied to whom, so that backups always have fresh figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multirouter.core import validation as check
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError

Compare = Callable[[Any, Any, Any], object]
"""Gets (request, answer, shadow): the shadow's answer, or the exception that it ended with."""


class Shadow:
    """Copies a share of the answered calls to another provider, once the answer is out.

    `Shadow(["backup"], share=0.05)`, as `shadow=` of a router or of a route. A copy goes to one
    of the providers that the call did not ask, at random; only to one whose circuit is closed and
    whose limits leave room; never of a call with `idempotent=False`, never of a stream. What comes
    of it feeds that provider's latencies and health on the route, never circuits, budgets or the
    figures of calls. It costs what a call costs.

    Attributes:
        providers: who gets copies; they need not be on the route.
        share: the share of the answered calls that are copied, 0 to 1.
        at_most: copies in flight at one time, at least 1; more are not made.
        compare: called with (request, answer, shadow) when a copy has ended, see `Compare`; may
            be async. What it raises is reported, and harms nothing.

    Raises:
        ConfigurationError: for a setting that is refused.
    """

    __slots__ = ("at_most", "compare", "providers", "share")

    def __init__(
        self,
        providers: Iterable[str],
        *,
        share: float = 0.05,
        at_most: int = 10,
        compare: Compare | None = None,
    ) -> None:
        if isinstance(providers, str) or not isinstance(providers, Iterable):
            raise ConfigurationError("Shadow.providers", f"must be a list, not {providers!r}")
        self.providers: tuple[str, ...] = tuple(
            check.name("Shadow.providers", name) for name in providers
        )
        if not self.providers:
            raise ConfigurationError("Shadow.providers", "is empty; share=0 copies nothing")
        if len(set(self.providers)) < len(self.providers):
            raise ConfigurationError("Shadow.providers", "names somebody twice")
        self.share: float = check.share("Shadow.share", share)
        self.at_most: int = check.count("Shadow.at_most", at_most)
        if compare is not None and not callable(compare):
            raise ConfigurationError("Shadow.compare", f"must be callable, not {compare!r}")
        self.compare: Compare | None = compare

    def known(self, providers: Mapping[str, Provider[Any, Any, Any]]) -> tuple[str, ...]:
        """The names of those who can answer calls.

        Raises:
            ConfigurationError: for a name that is nobody's, and when none of them has `call=`.
        """
        for name in self.providers:
            if name not in providers:
                raise ConfigurationError(
                    "Shadow.providers", f"unknown provider {check.near(name, providers)}"
                )
        able = tuple(name for name in self.providers if providers[name].call is not None)
        if not able:
            raise ConfigurationError("Shadow.providers", "none of them has call=")
        return able

    def __repr__(self) -> str:
        return f"Shadow({list(self.providers)}, share={self.share:g})"
