"""Client keys: in which calls they appear."""

from __future__ import annotations

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, UsageError, client_key
from multirouter.core.client_key import current_client_key
from multirouter.testing import Recorder, ScriptedProvider


async def test_calls_have_the_key_of_their_start() -> None:
    """Nested names replace each other; a stream keeps the one with which it was opened."""
    a = ScriptedProvider("a")
    recorder = Recorder()
    router = MultiProviderRouter(
        [Provider("a", a, stream=a.stream)], registry=CollectorRegistry(), listeners=[recorder]
    )
    async with router:
        await router.call("q")
        with client_key("outer"):
            with client_key("inner"):
                await router.call("q")
                stream = await router.stream("q")
            await router.call("q")
        async with stream:
            assert [chunk async for chunk in stream]
    assert [outcome.client_key for outcome in recorder.of("call_ended")] == [
        "",
        "inner",
        "outer",
        "inner",
    ]


async def test_a_task_keeps_the_name_with_which_it_started() -> None:
    """A name that is set elsewhere meanwhile is of another context."""
    names = []

    async def read() -> None:
        await anyio.sleep(1)
        names.append(current_client_key())

    async with anyio.create_task_group() as group:
        with client_key("first"):
            group.start_soon(read)
        with client_key("second"):
            await anyio.sleep(2)
    assert names == ["first"]
    assert current_client_key() == ""


def test_a_block_that_is_left_again_changes_nothing() -> None:
    """The key of the block around it stays."""
    with client_key("outer"):
        inner = client_key("inner")
        with inner:
            assert current_client_key() == "inner"
        inner.__exit__(None, None, None)
        assert current_client_key() == "outer"


def test_a_name_must_be_a_string() -> None:
    """Anything else is an error at once."""
    with (
        pytest.raises(UsageError, match=r"^client_key\(\) must get a string, got 7$"),
        client_key(7),
    ):  # type: ignore[arg-type]
        pass
