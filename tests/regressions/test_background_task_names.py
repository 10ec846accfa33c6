"""Names of background tasks contain the library's name once."""

from __future__ import annotations

import anyio

from tests.scenarios.harness import TRIPS_AT_ONCE, harness


async def test_background_tasks_name_the_library_once() -> None:
    """They are named by purpose and provider, on every event loop."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then("hang")
        await env.call()
        await anyio.sleep(1)
        names = {task.name for task in anyio.get_running_tasks()}
        assert "multirouter trial a" in names
