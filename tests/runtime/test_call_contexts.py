"""Context variables: work for a call runs in a copy of that call's context, other work in none."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from multirouter import (
    Alarms,
    AllOpen,
    HedgePolicy,
    LimitPolicy,
    Provider,
    RetryPolicy,
    Route,
    Shadow,
    Sticky,
    StreamPolicy,
)
from multirouter.core.events import AlarmChanged
from tests.scenarios.harness import TICK, TRIPS_AT_ONCE, Harness, harness, scripted

TENANT: ContextVar[str] = ContextVar("TENANT")


class ByTenant:
    """A provider that reads the tenant from the context, as for an API key of the tenant's own."""

    def __init__(self, *, down: bool = False) -> None:
        self.down = down
        self.seen: list[str] = []

    async def __call__(self, request: Any) -> str:
        self.seen.append(TENANT.get("no tenant"))
        if self.down:
            raise ConnectionError
        return f"answer for {TENANT.get()}"

    async def stream(self, request: Any) -> AsyncIterator[str]:
        self.seen.append(TENANT.get("no tenant"))
        if self.down:
            raise ConnectionError
        yield f"answer for {TENANT.get()}"


async def call_as(env: Harness, tenant: str, *route: str, **options: Any) -> Any:
    TENANT.set(tenant)
    return await env.outcome(*route, **options)


async def test_a_trial_sees_the_variables_of_its_call() -> None:
    """So a provider that needs them recovers; the caller does not see what the trial sets."""
    primary = ByTenant(down=True)
    providers = Provider("a", primary), Provider("b", ByTenant())
    chain = [Route("default", ["a", "b"])]
    async with harness(*providers, routes=chain, circuit=TRIPS_AT_ONCE) as env:
        await call_as(env, "one")
        primary.down = False
        await anyio.sleep(11)
        assert (await call_as(env, "two")).provider == "b"
        TENANT.set("three")
        await anyio.sleep(TICK)
        assert primary.seen == ["one", "two"]
        assert env.state("a") == "closed"


async def test_a_streamed_trial_sees_the_variables_of_its_call() -> None:
    """The same for a call that streams."""
    primary, backup = ByTenant(down=True), ByTenant()
    providers = Provider("a", stream=primary.stream), Provider("b", stream=backup.stream)
    chain = [Route("default", ["a", "b"])]
    async with harness(*providers, routes=chain, circuit=TRIPS_AT_ONCE) as env:
        for tenant in ("one", "two"):
            TENANT.set(tenant)
            async with env.router.stream("q") as stream:
                assert [chunk async for chunk in stream] == [f"answer for {tenant}"]
            primary.down = False
            await anyio.sleep(11)
        assert primary.seen == ["one", "two"]
        assert env.state("a") == "closed"


async def test_a_shadow_copy_and_its_comparison_see_the_variables_of_their_call() -> None:
    """Both of them, whatever the caller sets meanwhile."""
    compared: list[str] = []
    backup = ByTenant()

    async def compare(request: Any, answer: Any, shadow: Any) -> None:
        await anyio.sleep(1)
        compared.append(f"{TENANT.get()}: {answer}, {shadow}")

    async with harness(
        Provider("a", ByTenant()),
        Provider("b", backup),
        routes=[Route("default", ["a"])],
        shadow=Shadow(["b"], share=1.0, compare=compare),
    ) as env:
        await call_as(env, "one")
        TENANT.set("another")
        await anyio.sleep(2)
        assert backup.seen == ["one"]
        assert compared == ["one: answer for one, answer for one"]


async def test_a_hedge_sees_the_variables_of_its_call() -> None:
    """Every attempt of a race does."""
    backup = ByTenant()
    slow = scripted("a", "hang")
    async with harness(
        slow,
        Provider("b", backup),
        routes=[Route("default", ["a", "b"])],
        hedge=HedgePolicy(after=1.0),
        retry=RetryPolicy(attempts=2),
    ) as env:
        assert (await call_as(env, "one")).provider == "b"
        assert backup.seen == ["one"]


async def test_a_waiting_call_is_decided_in_its_own_context() -> None:
    """A strategy that reads a variable sees that of the call that waits, not of the one that ends.

    The end of a call frees capacity, and its task lets the waiting calls choose.
    """
    keys: list[str] = []

    def key(request: Any) -> str:
        keys.append(TENANT.get())
        return TENANT.get()

    async with harness(
        scripted("a", "hang", latency=1.0),
        scripted("b", latency=1.0),
        routes=[Route("default", [["a", "b"]], strategy=Sticky(key))],
        limits=LimitPolicy(in_flight=1),
        attempt_timeout=5,
    ) as env:
        TENANT.set("first")
        first = await env.start()
        TENANT.set("second")
        second = await env.start(wait=60)
        TENANT.set("neither")
        keys.clear()
        await first.end()
        await second.end()
        assert set(keys) == {"second"}


async def test_a_health_check_runs_in_an_empty_context() -> None:
    """It belongs to no call: it sees no call's variables, and none of the router's construction."""
    seen: list[str] = []

    async def check() -> None:
        seen.append(TENANT.get("no tenant"))

    TENANT.set("construction")
    async with harness(scripted("a", health_check=check), "b", circuit=TRIPS_AT_ONCE) as env:
        TENANT.set("one")
        await env.fail("a")
        await anyio.sleep(10.1)
        assert seen == ["no tenant"]


async def test_an_alarm_runs_in_an_empty_context() -> None:
    """Its target belongs to no call either."""
    seen: list[str] = []

    async def target(event: AlarmChanged) -> None:
        seen.append(TENANT.get("no tenant"))

    TENANT.set("construction")
    alarms = Alarms([AllOpen()], to=[target], interval=1.0)
    async with harness("a", circuit=TRIPS_AT_ONCE, alarms=alarms) as env:
        TENANT.set("one")
        await env.fail("a")
        await anyio.sleep(2)
        assert seen == ["no tenant"]


class Payload:
    """A value that can be weakly referenced."""


@pytest.mark.parametrize("streamed", [False, True], ids=["call", "stream"])
async def test_timers_keep_no_context_alive(streamed: bool) -> None:
    """After a call, its variables are released: no timer, alarm or health check holds them."""
    variable: ContextVar[Any] = ContextVar("variable")
    alive: weakref.WeakSet[Payload] = weakref.WeakSet()

    async def words(request: Any) -> AsyncIterator[str]:
        raise ConnectionError
        yield "never"

    async def check() -> None:
        await anyio.sleep_forever()

    async def one(env: Harness) -> None:
        variable.set(Payload())
        alive.add(variable.get())
        with pytest.raises(Exception, match="all attempts"):
            if streamed:
                await env.router.stream("q")
            else:
                await env.router.call("q")

    provider = scripted("a", error_rate=1.0, stream=words, health_check=check)
    settings: dict[str, Any] = {"circuit": TRIPS_AT_ONCE, "stream": StreamPolicy(idle=5)}
    async with harness(provider, alarms=Alarms([AllOpen()], interval=1.0), **settings) as env:
        async with anyio.create_task_group() as group:
            group.start_soon(one, env)
        await anyio.sleep(5)
        gc.collect()
        assert not alive
        await anyio.sleep(15)
        assert env.state("a") in {"half_open", "open"}
