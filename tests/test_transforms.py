"""Transforms and the route hooks, through a whole router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, Route, UsageError, by_length


def router(*providers: Any, **settings: Any) -> MultiProviderRouter[Any, Any, Any]:
    return MultiProviderRouter(providers, registry=CollectorRegistry(), **settings)


async def echo(request: Any) -> Any:
    return request


async def failing(request: Any) -> Any:
    raise ConnectionError(request)


async def echo_stream(request: str) -> AsyncIterator[str]:
    yield request


async def test_each_provider_gets_its_own_request() -> None:
    """The route's transform, then the provider's; each provider starts from the caller's."""
    providers = [
        Provider("a", failing, transform=lambda request: f"<a {request}>"),
        Provider("b", echo, transform=lambda request: f"<b {request}>"),
    ]
    chain = Route("chain", ["a", "b"], transform=str.upper)
    async with router(*providers, routes=[chain]) as r:
        outcome = await r.call_outcome("hi", route="chain")
    assert outcome.value == "<b HI>"
    assert str(outcome.attempts[0].error) == "<a HI>"


async def test_stream_requests_are_transformed() -> None:
    """Transforms apply to the requests of streams too."""
    provider = Provider("a", stream=echo_stream, transform=str.upper)
    async with router(provider) as r, r.stream("hi") as stream:
        assert [chunk async for chunk in stream] == ["HI"]


async def test_failing_transform_is_a_request_fault() -> None:
    """The user's exception is raised unchanged; no provider is attempted."""

    def failing_transform(request: Any) -> Any:
        return request["system"]

    async with router(
        Provider("a", echo, transform=failing_transform), Provider("b", echo, weight=0)
    ) as r:
        with pytest.raises(KeyError) as caught:
            await r.call({})
        assert vars(caught.value) == {}
        assert r.snapshot()["providers"]["a"]["failures"] == 0


async def test_non_awaitable_behind_a_transform() -> None:
    """A provider that returns no awaitable is a usage error behind a transform too."""

    def plain(request: Any) -> Any:
        return "not awaited"

    async with router(Provider("a", plain, transform=str.upper)) as r:
        with pytest.raises(UsageError, match="cannot be called or awaited"):
            await r.call("hi")


async def test_route_selection() -> None:
    """By length, or by name with `unknown_route=`; for streams as well."""
    settings: dict[str, Any] = {
        "routes": [Route("short", ["a"]), Route("long", ["b"])],
        "route": by_length({5: "short", 50: "long"}, size=len),
        "unknown_route": "short",
    }
    providers = [Provider(name, echo, stream=echo_stream) for name in ("a", "b")]
    async with router(*providers, **settings) as r:
        assert (await r.call_outcome("hi")).provider == "a"
        assert (await r.call_outcome("hi there")).provider == "b"
        assert (await r.call_outcome("hi there", route="shrot")).provider == "a"
        async with r.stream("hi there") as stream:
            assert stream.provider == "b"
            assert [chunk async for chunk in stream] == ["hi there"]
        assert r.explain(request="hi there").route == "long"
        assert r.explain().route == "default"


async def test_ineligible_providers_are_not_attempted() -> None:
    """`requires=` of the router applies to calls and streams on every route."""
    providers = [
        Provider("text-only", echo, stream=echo_stream),
        Provider("vision", echo, stream=echo_stream, capabilities=["vision"]),
    ]
    async with router(*providers, requires=lambda request: ["vision"]) as r:
        for _ in range(5):
            assert (await r.call_outcome("q")).provider == "vision"
            async with r.stream("q") as stream:
                assert stream.provider == "vision"
                assert [chunk async for chunk in stream] == ["q"]
        assert "lacks vision" in str(r.explain(request="q"))
