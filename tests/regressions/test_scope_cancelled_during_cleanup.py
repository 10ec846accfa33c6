"""A cancel scope that cancelled a call while a deadline unwound it did not know the result."""

from __future__ import annotations

import anyio

from multirouter import Provider
from tests.scenarios.kit import house


async def slow_to_leave(_: object) -> str:
    """Its task group waits for a child, and hides a second cancellation behind the first."""

    async def child() -> None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)

    async with anyio.create_task_group() as group:
        group.start_soon(child)
        await anyio.sleep(100)
    raise AssertionError("it is always cancelled")


async def test_the_caller_is_cancelled_and_nothing_else() -> None:
    """The caller's scope ends the call during the cleanup after its deadline, and goes on."""
    async with house(Provider("a", slow_to_leave)) as home:
        with anyio.move_on_after(11) as scope:
            await home.router.call("q", timeout=10)
        assert scope.cancelled_caught
        assert [call.result for call in home.news.calls] == ["cancelled"]
