"""Child tasks of a call on trio: how they are started, cancelled and awaited at its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class TrioChildTasks:
    """Tasks of one call on trio, see `ChildTasks`: a nursery whose tasks are shielded."""

    def __init__(self) -> None:
        self._scopes: list[trio.CancelScope] = []
        self._manager = trio.open_nursery()
        self._nursery: trio.Nursery
        self.ending: bool = False

    async def __aenter__(self) -> Self:
        self._nursery = await self._manager.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ending = True
        for scope in self._scopes:
            scope.cancel()
        # The tasks end by their own scopes; a cancellation of the call need not end the wait.
        self._nursery.cancel_scope.shield = True
        # Without the body's exception: the nursery would wrap it in a group.
        await self._manager.__aexit__(None, None, None)

    def start(
        self,
        name: str,
        function: Callable[..., Awaitable[None]],
        *args: object,
        on_end: Callable[[], None],
    ) -> None:
        """Starts a task, see `ChildTasks.start`."""
        scope = trio.CancelScope(shield=True)
        self._scopes.append(scope)

        async def run() -> None:
            try:
                with scope:
                    await function(*args)
            finally:
                on_end()

        self._nursery.start_soon(run, name=f"multirouter {name}")
