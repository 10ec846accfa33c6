"""Settings of shadow traffic: copies of answered calls that keep a backup's figures up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError

Compare = Callable[[Any, Any, Any], object]
"""Called with (request, answer, shadow); `shadow` is the copy's answer, or its exception."""


class Shadow:
    """Copies a share of the answered calls to another provider, after the answer was returned.

    Pass it as `shadow=` of a router or a route: `Shadow(["backup"], share=0.05)`. The target is a
    random one of `providers` that the call did not attempt, whose circuit is closed and whose
    limits allow it. Streams and calls with `idempotent=False` are never copied. The result of a
    copy is counted in the target's latencies and health on the route; it never changes circuits,
    budgets or the figures of calls. The provider bills a copy like any other request.

    Attributes:
        providers: names of the targets; they need not be on the route.
        share: the share of answered calls that is copied, 0 to 1.
        max_in_flight: copies in flight at one time, at least 1; further copies are not made.
        compare: called when a copy has ended, see `Compare`; may be async. An exception that it
            raises is reported and has no other effect.

    Raises:
        ConfigurationError: a setting is invalid.
    """

    __slots__ = ("compare", "max_in_flight", "providers", "share")

    def __init__(
        self,
        providers: Iterable[str],
        *,
        share: float = 0.05,
        max_in_flight: int = 10,
        compare: Compare | None = None,
    ) -> None:
        if isinstance(providers, str) or not isinstance(providers, Iterable):
            raise ConfigurationError(
                "Shadow.providers", f"must be a list of names, got {providers!r}"
            )
        self.providers: tuple[str, ...] = tuple(
            check.name("Shadow.providers", name) for name in providers
        )
        if not self.providers:
            raise ConfigurationError(
                "Shadow.providers", "must name at least one provider; use share=0 to copy nothing"
            )
        for name in self.providers:
            if self.providers.count(name) > 1:
                raise ConfigurationError("Shadow.providers", f"duplicate provider {name!r}")
        self.share: float = check.share("Shadow.share", share)
        self.max_in_flight: int = check.count("Shadow.max_in_flight", max_in_flight)
        self.compare: Compare | None = hooks.either_function(
            "Shadow.compare", compare, "request", "answer", "shadow"
        )

    def callable_providers(
        self, providers: Mapping[str, Provider[Any, Any, Any]]
    ) -> tuple[str, ...]:
        """The names of the targets that have `call=`.

        Args:
            providers: all providers of the router, by name.

        Raises:
            ConfigurationError: a name is unknown, or no target has `call=`.
        """
        for name in self.providers:
            if name not in providers:
                raise ConfigurationError(
                    "Shadow.providers", f"unknown provider {check.suggestion(name, providers)}"
                )
        callable_names = tuple(n for n in self.providers if providers[n].call is not None)
        if not callable_names:
            names = ", ".join(map(repr, self.providers))
            why = f"must have at least one provider with call=, got {names}"
            raise ConfigurationError("Shadow.providers", why)
        return callable_names

    def __repr__(self) -> str:
        return f"Shadow({list(self.providers)}, share={self.share:g})"
