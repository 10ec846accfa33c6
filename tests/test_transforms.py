"""Each provider gets the request in its own form, and the route's hooks work through a router."""

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


async def echoing(request: str) -> AsyncIterator[str]:
    yield request


async def test_each_provider_gets_its_own_form() -> None:
    """The route's transform, then the provider's; the next one starts from the caller's."""
    providers = [
        Provider("a", failing, transform=lambda request: f"<a {request}>"),
        Provider("b", echo, transform=lambda request: f"<b {request}>"),
    ]
    chain = Route("chain", ["a", "b"], transform=str.upper)
    async with router(*providers, routes=[chain]) as r:
        outcome = await r.call_outcome("hi", route="chain")
    assert outcome.value == "<b HI>"
    assert str(outcome.attempts[0].error) == "<a HI>"


async def test_streams_are_transformed_too() -> None:
    """What a stream is asked goes through the same."""
    provider = Provider("a", stream=echoing, transform=str.upper)
    async with router(provider) as r, r.stream("hi") as stream:
        assert [chunk async for chunk in stream] == ["HI"]


async def test_a_transform_that_raises_is_the_requests_fault() -> None:
    """The user's exception comes out as it is, with a note; nobody is asked or blamed."""

    def broken(request: Any) -> Any:
        return request["system"]

    async with router(Provider("a", echo, transform=broken), Provider("b", echo, weight=0)) as r:
        with pytest.raises(KeyError) as caught:
            await r.call({})
        assert "raised by transform= before 'a' was asked" in caught.value.__notes__[0]
        assert "the request's own fault" in caught.value.__notes__[1]
        assert r.snapshot()["providers"]["a"]["failures"] == 0


async def test_a_function_that_cannot_be_awaited_is_still_found() -> None:
    """Behind a transform, too, a provider that returns no awaitable is a usage error."""

    def plain(request):
        return "not awaited"

    async with router(Provider("a", plain, transform=str.upper)) as r:
        with pytest.raises(UsageError, match="cannot be awaited"):
            await r.call("hi")


async def test_the_router_chooses_the_route() -> None:
    """By length, or by name with a substitute for unknown ones; for streams as well."""
    settings: dict[str, Any] = {
        "routes": [Route("short", ["a"]), Route("long", ["b"])],
        "route": by_length({5: "short", 50: "long"}, size=len),
        "unknown_route": "short",
    }
    providers = [Provider(name, echo, stream=echoing) for name in ("a", "b")]
    async with router(*providers, **settings) as r:
        assert (await r.call_outcome("hi")).provider == "a"
        assert (await r.call_outcome("hi there")).provider == "b"
        assert (await r.call_outcome("hi there", route="shrot")).provider == "a"
        async with r.stream("hi there") as stream:
            assert stream.provider == "b"
            assert [chunk async for chunk in stream] == ["hi there"]
        assert r.explain(request="hi there").route == "long"
        assert r.explain().route == "default"


async def test_who_does_not_fit_is_not_asked() -> None:
    """`requires=` and `size=` of the router hold for calls and streams on every route."""
    providers = [
        Provider("blind", echo, stream=echoing),
        Provider("seeing", echo, stream=echoing, capabilities=["vision"]),
    ]
    async with router(*providers, requires=lambda request: ["vision"]) as r:
        for _ in range(5):
            assert (await r.call_outcome("q")).provider == "seeing"
            async with r.stream("q") as stream:
                assert stream.provider == "seeing"
                assert [chunk async for chunk in stream] == ["q"]
        assert "lacks vision" in str(r.explain(request="q"))
