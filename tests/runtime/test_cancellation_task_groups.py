"""Cancellations that task groups hide, repeat, or leave in a task's count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest

from multirouter import Provider
from tests.runtime.test_stray_cancellation import current, two
from tests.scenarios.harness import Harness, harness, scripted

pytestmark = pytest.mark.backends("asyncio", "uvloop")


# ── hidden by a task group that is failing ──────────────────────────────────────────────────────


async def fails_soon() -> None:
    await asyncio.sleep(1)
    raise ConnectionResetError("down")


async def slow_to_end() -> None:
    """Takes two seconds to end after its cancellation."""
    try:
        await asyncio.sleep(60)
    finally:
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(2)


async def in_task_group(request: object) -> str:
    async with asyncio.TaskGroup() as group:
        group.create_task(slow_to_end())
        group.create_task(fails_soon())
    raise AssertionError


async def in_task_group_with_a_body(request: object) -> str:
    """Its failure cancels the body, and that cancellation is taken back by asyncio itself."""
    async with asyncio.TaskGroup() as group:
        group.create_task(slow_to_end())
        group.create_task(fails_soon())
        await asyncio.sleep(60)
    raise AssertionError


async def in_anyio_group(request: object) -> str:
    async with anyio.create_task_group() as group:
        group.start_soon(slow_to_end)
        group.start_soon(fails_soon)
    raise AssertionError


GROUPS = pytest.mark.parametrize(
    "grouped", [in_task_group, in_task_group_with_a_body, in_anyio_group]
)


@GROUPS
async def test_a_cancellation_while_a_task_group_fails_ends_the_call(
    grouped: Callable[[object], Awaitable[str]],
) -> None:
    """Case 75: the group swallows it and raises its failure; the caller still gets it."""
    async with two() as env:
        env.router.add(Provider("c", grouped))
        task = asyncio.create_task(env.call("c", "a"))
        await asyncio.sleep(2)
        assert task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert task.cancelling() == 1
        assert env.records("a") == []
        assert env.state("c") == "closed"


@GROUPS
async def test_a_timeout_while_a_task_group_fails_ends_the_call(
    grouped: Callable[[object], Awaitable[str]],
) -> None:
    """The caller gets its TimeoutError."""
    async with two() as env:
        env.router.add(Provider("c", grouped))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await env.call("c", "a")
        assert env.records("a") == []
        assert not current().cancelling()


async def test_a_scope_recognises_its_cancellation_behind_a_failed_task_group() -> None:
    """The group repeats the cancellation of anyio's scope as one of its own."""

    async def two_steps_to_end() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(0)
                await asyncio.sleep(0)

    async def grouped(request: object) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(two_steps_to_end())
            group.create_task(fails_soon())
        raise AssertionError

    async with two() as env:
        env.router.add(Provider("c", grouped))
        with anyio.CancelScope() as scope:
            # In the step after the failure, while the group waits for its other task.
            loop = asyncio.get_running_loop()
            loop.call_at(loop.time() + 1, loop.call_soon, lambda: loop.call_soon(scope.cancel))
            await env.call("c", "a")
        assert scope.cancelled_caught
        assert not current().cancelling()


@GROUPS
async def test_a_failed_task_group_alone_fails_over(
    grouped: Callable[[object], Awaitable[str]],
) -> None:
    """Without a cancellation it is a failure like any other."""
    async with two() as env:
        env.router.add(Provider("c", grouped))
        assert await env.call("c", "a") == "a: q"
        assert env.state("c") == "open"
        assert not current().cancelling()


async def test_a_cancellation_after_that_of_a_scope_is_not_lost() -> None:
    """It arrives while the provider cleans up after the caller's scope, and leaves that scope.

    Scopes of anyio 4.6 to 4.15 take it for their own, also without a router.
    """

    async def cleans_up(request: object) -> str:
        await slow_to_end()
        raise AssertionError

    async def in_a_scope(call: Callable[[object], Awaitable[object]], seen: list[object]) -> None:
        with anyio.move_on_after(1):
            try:
                await call("q")
            except asyncio.CancelledError as error:
                seen.extend(error.args)
                raise

    async def end_of(call: Callable[[object], Awaitable[object]]) -> tuple[bool, list[object]]:
        seen: list[object] = []
        task = asyncio.create_task(in_a_scope(call, seen))
        await asyncio.sleep(2)
        task.cancel("by the caller")
        await asyncio.wait([task])
        return task.cancelled(), seen

    async with harness() as env:
        env.router.add(Provider("c", cleans_up))
        assert await end_of(env.router.call) == await end_of(cleans_up)


# ── left in the count by a TaskGroup, before Python 3.13 ────────────────────────────────────────


async def test_a_leftover_does_not_turn_the_callers_timeout_into_a_cancellation() -> None:
    """A provider's failed TaskGroup leaves the count as it was before the attempt."""

    async def group_fails(request: object) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails_soon())
        raise AssertionError

    async with harness(scripted("b", "hang")) as env:
        env.router.add(Provider("a", group_fails))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await env.call("a", "b")
        assert not current().cancelling()


async def handles_a_failed_group(request: object) -> str:
    """A provider with a second try of its own, which hangs."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails_soon())
    except* ConnectionResetError:
        pass
    await asyncio.sleep(60)
    return "late"


async def test_the_attempt_timeout_after_a_leftover_fails_over() -> None:
    """It is the provider's timeout, not a cancellation of the call."""
    async with two(attempt_timeout=5) as env:
        env.router.add(Provider("c", handles_a_failed_group))
        assert await env.call("c", "a") == "a: q"
        assert [str(record.verdict.kind) for record in env.records("c")] == ["timeout"]
        assert not current().cancelling()


async def times_out_itself(request: object) -> str:
    """A provider that handles a failed TaskGroup, and limits its next try itself."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails_soon())
    except* ConnectionResetError:
        pass
    async with asyncio.timeout(2):
        await asyncio.sleep(60)
    return "late"


async def times_out_as_client_libraries_do(request: object) -> str:
    try:
        return await times_out_itself(request)
    except TimeoutError as error:
        raise ConnectionError("no answer") from error


@pytest.mark.parametrize("function", [times_out_itself, times_out_as_client_libraries_do])
async def test_a_timeout_of_the_provider_after_a_leftover_fails_over(
    function: Callable[[object], Awaitable[str]],
) -> None:
    """It is the provider's failure, not a cancellation of the call."""
    async with two() as env:
        env.router.add(Provider("c", function))
        assert await env.call("c", "a") == "a: q"
        assert not current().cancelling()


@pytest.mark.parametrize("after", [0.5, 2])
async def test_a_cancellation_is_not_taken_for_the_providers_timeout(after: float) -> None:
    """A call that is cancelled before or while its provider times out is cancelled."""
    async with two() as env:
        env.router.add(Provider("c", times_out_itself))
        task = asyncio.create_task(env.call("c", "a"))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert env.records("a") == []


async def test_a_timeout_during_cleanup_is_not_taken_for_a_leftover() -> None:
    """The provider limits its cleanup after the caller's cancellation: that one counts."""

    async def cleans_up(request: object) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails_soon())
                await asyncio.sleep(60)
        except* ConnectionResetError:
            pass
        try:
            await asyncio.sleep(60)
        finally:
            async with asyncio.timeout(2):
                await asyncio.sleep(60)
        return "late"

    async with two() as env:
        env.router.add(Provider("c", cleans_up))
        task = asyncio.create_task(env.call("c", "a"))
        await asyncio.sleep(3)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert env.records("a") == []


@pytest.mark.parametrize("after", [0.5, 3], ids=["before the leftover", "after it"])
async def test_a_cancellation_is_not_taken_for_a_leftover(after: float) -> None:
    """A call that is cancelled before or after the group has failed is cancelled."""
    async with two(attempt_timeout=5) as env:
        env.router.add(Provider("c", handles_a_failed_group))
        task = asyncio.create_task(env.call("c", "a"))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert env.records("a") == []


@pytest.mark.parametrize("body", [0, 60], ids=["leftover", "none"])
async def test_a_cancellation_during_cleanup_is_not_taken_for_a_leftover(body: float) -> None:
    """The attempt's timeout ends a cleanup after the caller's cancellation: that one counts."""

    async def cleans_up(request: object) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails_soon())
                await asyncio.sleep(body)
        except* ConnectionResetError:
            pass
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(60)
        return "late"

    async with two(attempt_timeout=5) as env:
        env.router.add(Provider("c", cleans_up))
        task = asyncio.create_task(env.call("c", "a"))
        await asyncio.sleep(3)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert env.records("a") == []


async def test_a_leftover_is_taken_back_once() -> None:
    """The error passes two routers, and with it a cancellation of the caller."""
    async with two() as inner, harness("b") as outer:
        inner.router.add(Provider("c", in_task_group))
        outer.router.add(Provider("a", lambda request: inner.call("c")))
        task = asyncio.create_task(outer.call("a", "b"))
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert task.cancelling() == 1
        assert outer.records("b") == []


async def test_a_count_of_before_the_call_is_not_taken_back() -> None:
    """Two groups of a provider failed, and it took back one leftover itself."""

    async def takes_one_back(request: object) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails_soon())
        except ExceptionGroup:
            if current().cancelling() > 1:
                current().uncancel()
            async with asyncio.TaskGroup() as group:
                group.create_task(fails_soon())
        raise AssertionError

    async def caller(env: Harness) -> int:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        assert await env.call("c", "a") == "a: q"
        return current().cancelling()

    async with two() as env:
        env.router.add(Provider("c", takes_one_back))
        task = asyncio.create_task(caller(env))
        await asyncio.sleep(1)
        task.cancel()
        assert await task == 1


async def swallows_and_fails(request: object) -> str:
    """Swallows its cancellation, and fails a moment later."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    await asyncio.sleep(1)
    raise ConnectionResetError


async def hangs(request: object) -> str:
    await asyncio.sleep(60)
    return "late"


@pytest.mark.parametrize("function", [hangs, swallows_and_fails])
async def test_a_group_that_the_caller_handles_is_the_callers(
    function: Callable[[object], Awaitable[str]],
) -> None:
    """A call from the handler of a failed TaskGroup is cancelled like any other."""

    async def caller(env: Harness) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails_soon())
        except ExceptionGroup:
            await env.call("a", "b")

    async with harness("b") as env:
        env.router.add(Provider("a", function))
        task = asyncio.create_task(caller(env))
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert env.records("b") == []


async def test_a_group_around_the_provider_is_the_callers() -> None:
    """A provider that uses a failed group of its caller, and swallows a cancellation."""

    async def caller(env: Harness) -> None:
        group = asyncio.TaskGroup()

        async def swallows(request: object) -> str:
            assert group is not None
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            await asyncio.sleep(60)
            return "late"

        env.router.add(Provider("a", swallows))
        try:
            async with group:
                group.create_task(fails_soon())
        except ExceptionGroup:
            pass
        await env.call("a", "b")

    async with harness("b", attempt_timeout=5) as env:
        task = asyncio.create_task(caller(env))
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert env.records("b") == []
