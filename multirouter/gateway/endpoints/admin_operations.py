"""Operations of the admin API, as data: with several workers, each of them runs every operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from multirouter.gateway.endpoints.recent_calls import RecentCalls
from multirouter.gateway.routing.router_calls import Router


class Target(Protocol):
    """The parts of a gateway that operations use.

    Attributes:
        router: its router.
        recent: its last calls.
    """

    @property
    def router(self) -> Router: ...  # noqa: D102 - see above
    @property
    def recent(self) -> RecentCalls: ...  # noqa: D102 - see above


Operation = Callable[[Target], Any]
"""Runs on the gateway of one process; can be pickled, as can what it returns."""

Everywhere = Callable[[Operation], Awaitable[list[Any]]]
"""Runs an operation in every process of a gateway, this one included.

Returns once all have run it, with the result of each. Raises the first error.
"""


@dataclass(frozen=True, slots=True)
class SetHold:
    """Holds a provider's circuit.

    Attributes:
        provider: its name.
        how: see `MultiProviderRouter.hold`, which validates both; None releases it.
    """

    provider: str
    how: str | None

    def __call__(self, target: Target) -> None:
        """Applies it."""
        if self.how is None:
            target.router.unhold(self.provider)
        else:
            target.router.hold(self.provider, self.how)  # type: ignore[arg-type] # it validates it


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Changes a provider's weight.

    Attributes:
        provider: its name.
        weight: see `MultiProviderRouter.update`, which validates both.
    """

    provider: str
    weight: Any

    def __call__(self, target: Target) -> None:
        """Applies it."""
        target.router.update(self.provider, weight=self.weight)


@dataclass(frozen=True, slots=True)
class ReadSnapshot:
    """Reads the state of one process."""

    def __call__(self, target: Target) -> Any:
        """The snapshot, as plain data."""
        return target.router.snapshot()


@dataclass(frozen=True, slots=True)
class ReadCalls:
    """Reads the last calls of one process.

    Attributes:
        limit: how many.
    """

    limit: int

    def __call__(self, target: Target) -> list[dict[str, Any]]:
        """The calls, newest first."""
        return target.recent.newest(self.limit)


def in_this_process(target: Target) -> Everywhere:
    """Runs operations on the only gateway there is."""

    async def run(operation: Operation) -> list[Any]:
        return [operation(target)]

    return run
