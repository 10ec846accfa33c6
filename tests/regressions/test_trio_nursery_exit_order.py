"""On trio a router exits its nursery in order, so that `async with router:` ends without error."""

from __future__ import annotations

import anyio
import pytest

from tests.scenarios.harness import harness, scripted


async def test_the_block_ends_without_error() -> None:
    """`async with router:` ends without an error on every backend, with an open circuit too."""
    async with harness("a") as env:
        await env.fail("a", times=3)
        assert env.state("a") == "open"


@pytest.mark.backends("trio")
async def test_a_cancelled_block_ends_its_tasks() -> None:
    """A block that is cancelled while its router closes still ends its tasks."""
    with anyio.move_on_after(1) as scope:
        async with harness(scripted("a", latency=3.0), timeout=10) as env:
            env.start_soon("a")
            await anyio.sleep(2)
    assert scope.cancelled_caught


async def test_a_router_may_be_closed_inside_its_block() -> None:
    """`aclose` in a task group within `async with router:` ends tasks, and leaves no nursery."""
    async with harness("a") as env:
        async with anyio.create_task_group() as group:
            group.start_soon(env.router.aclose)
        await env.router.aclose()
