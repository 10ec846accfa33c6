"""What one process reads of a provider's limits is kept by the whole fleet."""

from __future__ import annotations

import asyncio
from typing import Any

from multirouter import LimitPolicy, Provider, Route, report_headers
from multirouter.testing import virtual_clock
from tests.sharing.fleet import Fleet, fleet

IN_ORDER = [Route("default", ["a", "b"])]


def headers(remaining: int, reset: float) -> dict[str, str]:
    return {
        "acme-ratelimit-requests-limit": "100",
        "acme-ratelimit-requests-remaining": str(remaining),
        "acme-ratelimit-requests-reset": f"{reset}s",
    }


class Reported:
    """A provider whose answers have rate-limit headers."""

    def __init__(self) -> None:
        self.remaining, self.reset = 100, 60.0
        self.calls: list[int] = []

    def provider(self, process: int, *, learn: bool = True) -> Provider[Any, Any]:
        async def call(request: Any) -> str:
            self.calls.append(process)
            await asyncio.sleep(0.01)
            report_headers(headers(self.remaining, self.reset))
            return "a"

        return Provider("a", call, limits=LimitPolicy(learn=True) if learn else None)


async def add(found: Fleet, upstream: Reported, host: str, **settings: Any) -> Any:
    router = found.make(host, routes=IN_ORDER, **settings)
    process = len(found.routers) - 1
    providers = [upstream.provider(process), found.world.provider("b", process, host)]
    router.reconfigure(providers, routes=IN_ORDER)
    await found._stack.enter_async_context(router)
    return router


def run(function: Any) -> None:
    virtual_clock.run(function)


def test_a_used_up_limit_is_kept_by_all_until_it_is_refilled() -> None:
    """One process reads that nothing is left; the others attempt nothing, with their own clocks."""

    async def main() -> None:
        async with fleet() as found:
            upstream = Reported()
            one, two, three = [await add(found, upstream, host) for host in "xyz"]
            await found.settle()
            assert await one.call("?") == await two.call("?") == "a"
            upstream.remaining, upstream.reset = 0, 30.0
            assert await one.call("?") == "a"
            await asyncio.sleep(0.05)
            attempts = len(upstream.calls)
            for router in (one, two, three):
                assert await router.call("?") == "b"
            assert len(upstream.calls) == attempts
            late = await add(found, upstream, "w")  # it reads the state as it joins
            assert await late.call("?") == "b"
            facts = (await two.membership.overview())["facts"]
            limits = [fact for fact in facts if fact["kind"] == "limit"]
            assert [fact["subject"] for fact in limits] == ["a"]
            assert limits[0]["value"][0]["remaining"] == 0.0
            upstream.remaining, upstream.reset = 100, 60.0
            await asyncio.sleep(30.0)
            for router in (one, two, three, late):
                assert await router.call("?") == "a"

    run(main)


def test_a_used_up_limit_of_one_model_is_that_of_the_model() -> None:
    """The others of the provider are attempted by all processes."""

    async def main() -> None:
        async with fleet() as found:
            upstream = Reported()
            one, two = [await add(found, upstream, host) for host in "xy"]
            await found.settle()
            upstream.remaining, upstream.reset = 0, 30.0
            assert await one.call({"model": "m"}) == "a"
            upstream.remaining = 100
            await asyncio.sleep(0.05)
            for router in (one, two):
                assert await router.call({"model": "m"}) == "b"
                assert await router.call({"model": "n"}) == "a"

    run(main)


def test_few_messages_are_sent_and_none_while_there_is_enough() -> None:
    """At most one a second for a provider, whichever process reads it."""

    async def main() -> None:
        async with fleet() as found:
            upstream = Reported()
            routers = [await add(found, upstream, host) for host in "xy"]
            await found.settle()
            published = found.server.commands["publish"]
            for _ in range(20):
                await asyncio.gather(*(router.call("?") for router in routers))
            assert found.server.commands["publish"] == published
            upstream.remaining = 5
            began = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < began + 3.0:
                await asyncio.gather(*(router.call("?") for router in routers))
                await asyncio.sleep(0.02)
            assert 1 <= found.server.commands["publish"] - published <= 8

    run(main)


def test_a_process_that_does_not_learn_is_not_affected() -> None:
    """Nor one without the provider."""

    async def main() -> None:
        async with fleet() as found:
            upstream = Reported()
            one = await add(found, upstream, "x")
            other = found.make("y", routes=[Route("default", ["b"])], providers=("b",))
            await found._stack.enter_async_context(other)
            unlearning = found.make("z", routes=IN_ORDER)
            await found._stack.enter_async_context(unlearning)
            await found.settle()
            upstream.remaining = 0
            await one.call("?")
            await asyncio.sleep(0.05)
            assert await other.call("?") == "b"
            assert await unlearning.call("?") == "a"

    run(main)
