"""Background tasks were called `multirouter multirouter reset a`."""

from __future__ import annotations

import anyio

from tests.scenarios.kit import BRITTLE, house


async def test_background_tasks_name_the_library_once() -> None:
    """A reset and a copy are told apart by what they do and for whom, on every event loop."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.fail("a")
        await anyio.sleep(1)
        names = {task.name for task in anyio.get_running_tasks()}
        assert "multirouter reset a" in names
        await anyio.sleep(9)
        home["a"].then("hang")
        await home.call()
        await anyio.sleep(1)
        names = {task.name for task in anyio.get_running_tasks()}
        assert "multirouter probe a" in names
