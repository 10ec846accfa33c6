"""Operations of the admin API, as data: with several workers, each of them runs every operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from multirouter.console.state import report_of
from multirouter.gateway.endpoints.recent_calls import LastCalls
from multirouter.gateway.routing.router_calls import Router


class Target(Protocol):
    """The parts of a gateway that operations use.

    Attributes:
        router: its router.
        recent: its last calls.
        in_flight: requests under way.
        active_streams: the streams among them.
        draining: whether it is about to stop.
        started: when it was made, seconds since 1970.
    """

    @property
    def router(self) -> Router: ...  # noqa: D102 - see above
    @property
    def recent(self) -> LastCalls: ...  # noqa: D102 - see above
    @property
    def in_flight(self) -> int: ...  # noqa: D102 - see above
    @property
    def active_streams(self) -> Sized: ...  # noqa: D102 - see above
    @property
    def draining(self) -> bool: ...  # noqa: D102 - see above
    @property
    def started(self) -> float: ...  # noqa: D102 - see above


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


@dataclass(frozen=True, slots=True)
class ReadReport:
    """Reads what the console shows of one process.

    Attributes:
        calls: how many of the last calls.
    """

    calls: int

    def __call__(self, target: Target) -> dict[str, Any]:
        """The report, as plain data; see `console.state.report_of`."""
        recent = target.recent
        report = report_of(target.router, recent.shown(self.calls), recent.traffic())
        return report | {
            "requests": target.in_flight,
            "streams": len(target.active_streams),
            "draining": target.draining,
            "started": target.started,
        }


def in_this_process(target: Target) -> Everywhere:
    """Runs operations on the only gateway there is."""

    async def run(operation: Operation) -> list[Any]:
        return [operation(target)]

    return run
