"""Chain: the targets that one call tries in order, each a route with a model of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from multirouter.core import validation as check
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import Failover, Rule
from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind, Verdict

_SAME_EVERYWHERE = frozenset({FailureKind.REQUEST, FailureKind.CONTENT_FILTER})
"""Kinds of failure that every target would answer alike."""


@dataclass(frozen=True, slots=True)
class Target:
    """Route and model of a call, or of one part of it.

    Attributes:
        route: a route's name, a `Route`, or names of providers in the order in which they are
            tried.
        model: the model that the request names there; "" leaves the request as it is.
        attempt_timeout: upper limit of the timeout of each attempt there, seconds; None for none.
            An attempt that it ends counts against the provider, unless the provider's answers
            usually take longer.

    Raises:
        ConfigurationError: a value is invalid.
    """

    route: str | Route | tuple[str, ...]
    model: str = ""
    attempt_timeout: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.route, str | Route | tuple):
            raise ConfigurationError(
                "Target.route",
                "must be the name of a route, a Route or a tuple of provider names, "
                f"got {self.route!r}",
            )
        if not isinstance(self.model, str):
            raise ConfigurationError("Target.model", f"must be a string, got {self.model!r}")
        if self.attempt_timeout is not None:
            check.duration("Target.attempt_timeout", self.attempt_timeout)

    def __str__(self) -> str:
        if isinstance(self.route, tuple):
            return ",".join(self.route)
        return self.route if isinstance(self.route, str) else self.route.name


class Chain:
    """Targets that one call tries in order, for `route=` of a call.

    The targets are the tiers of one route: the call fails over from each to the next at once, and
    retries only when none is left. Within a target the settings of its route apply. Those of the
    whole call (`retry`, `hedge`, `stream`, `shadow`) are the first target's; the timeout is the
    longest of theirs, the fallback the first that one of them has. A provider that occurs again
    with the same model stays in its first place. All targets share the provider's circuit, limits
    and health.

    Args:
        targets: the targets, in order; one is enough for another operation than the providers' own.
        statuses: the HTTP statuses after which the next target is tried. They are compared with
            the answers of providers alone: after a failure without an answer (no connection, a
            timeout) the next target is tried in any case. None tries it after all failures that
            are not the fault of the request.
        operation: name of the operation (see `Provider.operations`); "" for the providers' own
            functions. Providers without it are not attempted. `accept`, `fallback`, `shadow`,
            `transform` and the functions of `StreamPolicy` are not applied to operations, and
            their streams are not continued by another provider.
        only: names of the providers that may be attempted; None for all. The other providers of
            the routes are left out.

    Attributes:
        targets: the same, as a tuple.
        statuses: the same, as a set, or None.
        operation: the same.
        only: the same, as a set, or None.

    Raises:
        ConfigurationError: there are no targets, or a value is invalid.
    """

    __slots__ = ("only", "operation", "statuses", "targets")

    def __init__(
        self,
        targets: Iterable[Target],
        *,
        statuses: Iterable[int] | None = None,
        operation: str = "",
        only: Iterable[str] | None = None,
    ) -> None:
        self.targets: tuple[Target, ...] = check.objects("Chain.targets", targets, "Target objects")
        if not self.targets:
            raise ConfigurationError("Chain.targets", "must not be empty")
        for target in self.targets:
            if not isinstance(target, Target):
                raise ConfigurationError("Chain.targets", f"must be Target objects, got {target!r}")
        self.statuses: frozenset[int] | None = None
        if statuses is not None:
            listed = check.objects("Chain.statuses", statuses, "HTTP statuses")
            self.statuses = frozenset(
                check.count("Chain.statuses", each, minimum=100, maximum=599) for each in listed
            )
        self.operation: str = operation and check.name("Chain.operation", operation)
        self.only: frozenset[str] | None = None
        if only is not None:
            self.only = frozenset(check.objects("Chain.only", only, "names of providers"))

    def leads_on(self, verdict: Verdict, rule: Rule) -> bool:
        """Whether the next target may be tried after a failure.

        Args:
            verdict: the verdict on it.
            rule: the rule of its kind.
        """
        if self.statuses is not None and verdict.status is not None:
            return verdict.status in self.statuses
        return verdict.kind not in _SAME_EVERYWHERE or rule.failover is not Failover.NEVER

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Chain):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self.targets, self.statuses, self.operation, self.only

    def __repr__(self) -> str:
        return f"Chain({list(self.targets)!r})"
