"""`aclose=` of providers: each once, when no call can use it, whatever the others do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, Route, Shadow
from multirouter.runtime.provider_closing import CLEANUP_TIMEOUT, CLOSE_TIMEOUT
from multirouter.testing import Answer, Fault, VirtualClock
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, Logger, harness, scripted
from tests.scenarios.scripted_streams import scripted_stream

asyncio_only = pytest.mark.backends("asyncio", "uvloop")


class Client:
    """What a provider holds open, with the times at which it was closed.

    Args:
        how: what closing does: `ok`, `slow` (one second), `hangs`, `raises`, `cancelled` (raises
            CancelledError), or `stubborn` (ignores its cancellations).
    """

    def __init__(self, how: str = "ok") -> None:
        self.how = how
        self.begun: list[float] = []
        self.closed: list[float] = []

    async def aclose(self) -> None:
        self.begun.append(anyio.current_time())
        if self.how == "raises":
            raise OSError("already gone")
        if self.how == "cancelled":
            raise asyncio.CancelledError("of a pool")
        if self.how == "slow":
            await anyio.sleep(1)
        if self.how == "hangs":
            await anyio.sleep_forever()
        while self.how == "stubborn":
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                continue
        self.closed.append(anyio.current_time())


def closable(name: str, client: Client, **settings: Any) -> Provider[Any, Any, Any]:
    return scripted(name, aclose=client.aclose, **settings)


# ── the end of the router ─────────────────────────────────────────────────────────────────────────


async def test_all_are_closed_at_once() -> None:
    """Four that take a second take a second together."""
    clients = [Client("slow") for _ in range(4)]
    providers = [closable(name, client) for name, client in zip("abcd", clients, strict=True)]
    async with harness(*providers) as env:
        start = anyio.current_time()
        await env.router.aclose()
        assert [client.closed for client in clients] == [[pytest.approx(start + 1)]] * 4


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("hangs", "TimeoutError"),
        ("raises", "OSError"),
    ],
)
async def test_one_that_fails_delays_no_other(how: str, said: str) -> None:
    """One that hangs, raises or raises CancelledError is logged; the others are closed at once."""
    bad, good = Client(how), Client()
    async with harness(closable("a", bad), closable("b", good)) as env:
        start = anyio.current_time()
        await env.router.aclose()
        assert anyio.current_time() - start <= CLOSE_TIMEOUT
        assert good.closed == [start]
        assert (len(bad.begun), bad.closed) == (1, [])
        (logged,) = env.logger.of("background task failed")
        assert logged["task"] == "aclose of a"
        assert said in logged.values()
        await env.router.aclose()
        assert (len(good.begun), len(bad.begun)) == (1, 1)


@asyncio_only
async def test_one_that_raises_cancelled_error_has_failed() -> None:
    """A CancelledError of a pool's own ends neither the others nor the router's `aclose`."""
    bad, good = Client("cancelled"), Client()
    async with harness(closable("a", bad), closable("b", good)) as env:
        await env.router.aclose()
        assert len(good.closed) == 1
        assert [e["task"] for e in env.logger.of("background task failed")] == ["aclose of a"]


@asyncio_only
async def test_one_that_ignores_its_cancellation_is_left() -> None:
    """`aclose` ends all the same, and says which task did not."""
    stubborn, good = Client("stubborn"), Client()
    try:
        async with harness(closable("a", stubborn), closable("b", good)) as env:
            start = anyio.current_time()
            await env.router.aclose()
            assert anyio.current_time() - start < 10
            assert good.closed == [start]
            assert [e["task"] for e in env.logger.of("background task failed")] == ["aclose of a"]
    finally:
        stubborn.how = "ok"
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


async def test_a_cancelled_close_closes_all_the_same() -> None:
    """In a cancelled scope each is begun, and gets its time; the scope ends soon after."""
    hanging, slow = Client("hangs"), Client("slow")
    async with harness(closable("a", hanging), closable("b", slow)) as env:
        env["a"].then("hang")
        await env.start("a", timeout=30)
        start = anyio.current_time()
        with anyio.move_on_after(1) as scope:
            await env.router.aclose(grace=10)
        assert scope.cancelled_caught
        assert len(slow.closed) == len(hanging.begun) == 1
        assert anyio.current_time() - start <= 1 + CLOSE_TIMEOUT + CLEANUP_TIMEOUT


@asyncio_only
async def test_a_task_cancelled_during_its_close_closes_all_the_same() -> None:
    """The cancellation of an asyncio task is raised once all are closed."""
    slow = Client("slow")
    async with harness(closable("a", slow)) as env:
        closing = asyncio.create_task(env.router.aclose())
        await asyncio.sleep(0.5)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert len(slow.closed) == 1


async def test_one_shared_by_providers_is_closed_once() -> None:
    """A method of one object is the same resource, for any provider that has it."""
    client = Client()
    async with harness(closable("a", client), closable("b", client)) as env:
        await env.router.aclose()
        assert len(client.closed) == 1


@asyncio_only
def test_a_router_without_a_loop_of_its_own_is_closed(virtual_clock: VirtualClock) -> None:
    """A router that was never used, or used in a loop that has ended, closes its providers."""
    client, unused = Client(), Client()
    settings: dict[str, Any] = {"registry": CollectorRegistry(), "logger": Logger()}
    router = MultiProviderRouter([closable("a", client)], **settings)
    other = MultiProviderRouter([closable("a", unused)], **settings)

    async def use() -> None:
        await router.call("q")

    async def close() -> None:
        await router.aclose()
        await other.aclose()

    virtual_clock.run(use)
    virtual_clock.run(close)
    assert (len(client.closed), len(unused.closed)) == (1, 1)


# ── providers that leave ────────────────────────────────────────────────────────────────────────


async def test_a_removed_provider_is_closed() -> None:
    """At once when no call is in flight, and not again with the router."""
    client = Client()
    async with harness(closable("a", client), "b") as env:
        await env.call("a")
        env.router.remove("a")
        await anyio.sleep(0.1)
        assert len(client.closed) == 1
        await env.router.aclose()
        assert len(client.closed) == 1


@pytest.mark.parametrize("change", ["update", "reconfigure"])
async def test_a_replaced_provider_is_closed(change: str) -> None:
    """One with a new client closes the old one, one with the same client does not."""
    old, new = Client(), Client()
    async with harness(closable("a", old)) as env:
        await env.call()
        env.router.update("a", weight=2.0)
        env.router.reconfigure([closable("a", old)])
        await anyio.sleep(0.1)
        assert old.begun == []
        if change == "update":
            env.router.update("a", aclose=new.aclose)
        else:
            env.router.reconfigure([closable("a", new)])
        await anyio.sleep(0.1)
        assert (len(old.closed), new.begun) == (1, [])
        await env.router.aclose()
        assert (len(old.closed), len(new.closed)) == (1, 1)


async def test_it_is_closed_after_the_last_call_that_may_use_it() -> None:
    """A call that began before may fail over to it, so it stays open until that call has ended."""
    client = Client()
    async with harness("a", closable("b", client), routes=[Route("r", ["a", "b"])]) as env:
        env["a"].then(Fault("error", after=2.0))
        env["b"].then(Answer(after=2.0))
        caller = await env.start("a", "b")
        env.router.reconfigure(env.router.providers[:1])
        await anyio.sleep(3)
        assert client.begun == []
        outcome = await caller.end()
        assert (outcome.provider, outcome.elapsed) == ("b", 4.0)
        await anyio.sleep(0.1)
        assert len(client.closed) == 1


def long_call(env: Harness, name: str, seconds: float) -> Any:
    env[name].then(Answer(after=seconds))
    return env.start(name)


async def test_calls_of_other_configurations_do_not_delay_it() -> None:
    """Only calls that began while the provider belonged to the router keep it open."""
    first, second = Client(), Client()
    async with harness("a", closable("b", first)) as env:
        before = await long_call(env, "a", 10)
        env.router.reconfigure([env.router.providers[0], closable("c", second)])
        await anyio.sleep(0.1)
        assert first.begun == [], "the call in flight may use it"
        env.router.remove("c")
        await anyio.sleep(0.1)
        assert (first.begun, len(second.closed)) == ([], 1)
        await before.end()
        await anyio.sleep(0.1)
        assert len(first.closed) == 1


async def test_a_stream_keeps_its_provider_open() -> None:
    """Until it ends, however long that takes."""
    client = Client()
    provider = scripted_stream("a", ["one", "two", "three"], aclose=client.aclose)
    async with harness(provider, "b") as env:
        async with env.router.stream("q", route=["a"]) as stream:
            await anext(stream)
            env.router.remove("a")
            await anyio.sleep(1)
            assert client.begun == []
        await anyio.sleep(0.1)
        assert len(client.closed) == 1


async def test_background_work_keeps_its_provider_open() -> None:
    """A trial, a shadow copy and a health check of a removed provider are completed first."""
    client = Client()
    async with harness(closable("a", client), "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then(Answer(after=3.0))
        await env.call()
        await anyio.sleep(0.1)
        env.router.remove("a")
        await anyio.sleep(2)
        assert client.begun == []
        await anyio.sleep(2)
        assert len(client.closed) == 1
    client = Client()
    shadow = Shadow(["a"], share=1.0)
    async with harness(closable("a", client, latency=3.0), "b", shadow=shadow) as env:
        await env.call("b")
        await env.router.call("q", route=["b"])
        env.router.reconfigure([env.router.providers[1]], shadow=None)
        await anyio.sleep(2)
        assert client.begun == []
        await anyio.sleep(2)
        assert len(client.closed) == 1


async def test_closing_waits_for_calls_but_not_for_background_work() -> None:
    """A copy that hangs is cancelled at once, a call gets its grace."""
    client = Client()
    async with harness(closable("a", client), "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then("hang")
        await env.call()
        await anyio.sleep(0.1)
        start = anyio.current_time()
        await env.router.aclose(grace=50)
        assert client.closed == [start]


async def test_one_that_comes_back_is_not_closed() -> None:
    """A provider that is added again before it was closed stays open."""
    client = Client()
    async with harness(closable("a", client), "b") as env:
        caller = await long_call(env, "b", 5)
        provider = env.router.providers[0]
        env.router.remove("a")
        env.router.add(provider)
        await caller.end()
        await anyio.sleep(0.1)
        assert client.begun == []
        assert await env.call("a") == "a: q"


async def test_closing_the_router_completes_a_closing_in_the_background() -> None:
    """One that is being closed when the router closes gets its time, and is not closed twice."""
    client = Client("slow")
    async with harness(closable("a", client), "b") as env:
        await env.call()
        env.router.remove("a")
        await anyio.sleep(0.1)
        await env.router.aclose()
        assert (len(client.begun), len(client.closed)) == (1, 1)


async def test_one_in_use_when_the_router_closes_is_closed_after_the_grace() -> None:
    """A call that outlives the grace keeps no provider open."""
    client = Client()
    async with harness(closable("a", client), "b") as env:
        env["a"].then("hang")
        caller = await env.start("a", timeout=20)
        env.router.remove("a")
        start = anyio.current_time()
        await env.router.aclose(grace=5)
        assert client.closed == [pytest.approx(start + 5)]
        assert not (await caller.end()).ok


async def test_a_router_that_is_configured_before_its_first_call() -> None:
    """Without a loop nothing can be closed; it is when the loop is there."""
    client = Client()
    env = Harness((closable("a", client), scripted("b")), {})
    env.router.remove("a")
    assert client.begun == []
    async with env.router:
        await anyio.sleep(0.1)
        assert len(client.closed) == 1


async def test_reloads_do_not_pile_up_clients() -> None:
    """After many changes of one provider, only the newest client is open."""
    clients = [Client() for _ in range(20)]
    async with harness("b") as env:
        for client in clients:
            env.router.reconfigure([closable("a", client)])
            await env.call()
            await anyio.sleep(0.1)
        assert [len(client.closed) for client in clients] == [1] * 19 + [0]


def test_identity_of_functions() -> None:
    """Plain functions are resources of their own; two methods of one object are one."""
    from multirouter.runtime.provider_closing import _identity

    def function() -> None: ...

    same: Callable[[], Any] = function
    first, second = Client(), Client()
    assert _identity(function) == _identity(same)
    assert _identity(first.aclose) == _identity(first.aclose)
    assert _identity(first.aclose) != _identity(second.aclose)
    assert _identity(lambda: None) != _identity(lambda: None)
