"""A router on trio left its nursery inside of a shield of its own: no `async with` could end."""

from __future__ import annotations

import anyio
import pytest

from tests.scenarios.kit import house, play


async def test_a_block_ends_in_order() -> None:
    """`async with router:` ends without an error on every backend, open circuits or not."""
    async with house("a") as home:
        await home.fail("a", times=3)
        assert home.state("a") == "open"


@pytest.mark.backends("trio")
async def test_a_block_ends_in_order_when_it_is_cancelled() -> None:
    """A block that is cancelled while its router closes still takes its tasks along."""
    with anyio.move_on_after(1) as scope:
        async with house(play("a", latency=3.0), timeout=10) as home:
            home.begin("a")
            await anyio.sleep(2)
    assert scope.cancelled_caught


async def test_a_router_may_be_closed_deep_inside_of_its_block() -> None:
    """`aclose` in a task group within `async with router:` ends tasks, and leaves no nursery."""
    async with house("a") as home:
        async with anyio.create_task_group() as group:
            group.start_soon(home.router.aclose)
        await home.router.aclose()
