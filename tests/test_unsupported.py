"""`unsupported=` of a route, through whole calls and streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, RequestUnsupported, Route, UsageError


async def echo(request: Any) -> Any:
    return dict(request)


async def failing(request: Any) -> Any:
    raise ConnectionError


async def echo_stream(request: Any) -> AsyncIterator[Any]:
    yield dict(request)


def lacks(request: Any) -> dict[str, str]:
    return {"holo": "flat only"} if "holo" in request else {}


def router(*routes: Route, **settings: Any) -> MultiProviderRouter[Any, Any, Any]:
    providers = [
        Provider("plain", echo, stream=echo_stream, lacks=lacks),
        Provider("rich", echo, stream=echo_stream),
        Provider("down", failing),
    ]
    return MultiProviderRouter(providers, routes=routes, registry=CollectorRegistry(), **settings)


async def test_pass_over() -> None:
    """The provider that can is the only one attempted, for calls and streams."""
    async with router(Route("r", ["plain", "rich"])) as r:
        outcome = await r.call_outcome({"holo": 1}, route="r")
        assert (outcome.provider, len(outcome.attempts)) == ("rich", 1)
        assert outcome.dropped == ()
        async with r.stream({"holo": 1}, route="r") as stream:
            assert (stream.provider, stream.dropped) == ("rich", ())
        assert (await r.call_outcome({}, route="r")).provider == "plain"


async def test_drop() -> None:
    """The provider is sent the rest, and the outcome and the stream name what was left out."""
    async with router(Route("r", ["plain", "rich"], unsupported="drop")) as r:
        request = {"holo": 1, "x": 2}
        outcome = await r.call_outcome(request, route="r")
        assert (outcome.value, outcome.provider) == ({"x": 2}, "plain")
        assert outcome.dropped == outcome.attempts[0].dropped == ("holo",)
        assert request == {"holo": 1, "x": 2}
        stream = r.stream(request, route="r")
        with pytest.raises(UsageError, match="not open"):
            _ = stream.dropped
        async with stream:
            assert stream.dropped == ("holo",)
            assert [chunk async for chunk in stream] == [{"x": 2}]


async def test_drop_only_where_it_must() -> None:
    """After a failover to a provider that has the field, it is sent again."""
    async with router(Route("r", ["down", "rich"], unsupported="drop")) as r:
        outcome = await r.call_outcome({"holo": 1}, route="r")
        assert (outcome.value, outcome.dropped) == ({"holo": 1}, ())


async def test_reject_of_the_router() -> None:
    """Routes inherit the router's policy, which may change while it runs."""
    async with router(Route("r", ["rich", "plain"]), unsupported="reject") as r:
        with pytest.raises(RequestUnsupported, match="plain: cannot express holo: flat only"):
            await r.call({"holo": 1}, route="r")
        routes = [Route("r", ["rich", "plain"])]
        r.reconfigure(r.providers, routes, unsupported="pass_over")
        assert await r.call({"holo": 1}, route="r") == {"holo": 1}
