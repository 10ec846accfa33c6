"""Headers reach the router that made the attempt, and no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextvars import copy_context
from typing import Any

import pytest

from multirouter.core.limits.header_reports import ReportingCall, ReportingStream, report_headers

HEADERS = {"a": "b"}


async def call(request: Any) -> Any:
    report_headers(HEADERS)
    return request


async def chunks(request: Any) -> AsyncIterator[Any]:
    report_headers(HEADERS)
    yield request
    report_headers({"late": "b"})
    yield request


def to(seen: list[Any], requests: list[Any] | None = None) -> Any:
    """Reads headers into a list, and requests into another one."""

    def reader(request: Any) -> Callable[[Any], None]:
        if requests is not None:
            requests.append(request)
        return seen.append

    return reader


async def test_a_call_reports_its_headers() -> None:
    """To the attempt that makes it, with its request; outside of one nothing happens."""
    seen: list[Any] = []
    requests: list[Any] = []
    assert await ReportingCall(call, to(seen, requests))("x") == "x"
    assert await call("x") == "x"
    assert (seen, requests) == ([HEADERS], ["x"])


async def test_an_attempt_within_an_attempt_reports_to_the_inner_one() -> None:
    """A router that is a provider of another one learns for itself."""
    outer: list[Any] = []
    inner: list[Any] = []
    nested = ReportingCall(ReportingCall(call, to(inner)), to(outer))
    await nested("x")
    assert (outer, inner) == ([], [HEADERS])


async def test_a_stream_reports_until_its_first_chunk() -> None:
    """Headers come before the first chunk; later ones belong to no attempt."""
    seen: list[Any] = []
    requests: list[Any] = []
    stream = ReportingStream(chunks, to(seen, requests))("x")
    assert [chunk async for chunk in stream] == ["x", "x"]
    assert (seen, requests) == ([HEADERS], ["x"])


async def test_a_stream_is_closed() -> None:
    """Closing it closes the provider's generator, and nothing where that cannot be closed."""
    closed: list[bool] = []

    async def endless(_: Any) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    class Bare:
        def __aiter__(self) -> Bare:
            return self

        async def __anext__(self) -> int:
            return 1

    stream: Any = ReportingStream(endless, to([]))("x")
    assert await anext(stream) == 1
    await stream.aclose()
    assert closed == [True]
    bare: Any = ReportingStream(lambda _: Bare(), to([]))("x")
    assert await anext(bare) == 1
    await bare.aclose()


async def test_what_returns_no_iterator_is_the_providers_error() -> None:
    """The error is that of a stream without this wrapper."""
    broken: Any = lambda _: None  # noqa: E731 - a provider's mistake
    with pytest.raises(TypeError):
        ReportingStream(broken, to([]))("x")


class _Pending:
    def __await__(self) -> Any:
        yield


@pytest.mark.parametrize("streams", [False, True])
def test_an_attempt_that_is_collected_in_another_context_raises_nothing(*, streams: bool) -> None:
    """Its loop is gone: an exception would count as one that the provider raised."""

    async def call(request: Any) -> None:
        await _Pending()

    async def stream(request: Any) -> Any:
        await _Pending()
        yield request

    async def attempt() -> None:
        if streams:
            await anext(ReportingStream(stream, to(seen))(None))
        else:
            await ReportingCall(call, to(seen))(None)

    seen: list[Any] = []
    running = attempt()
    copy_context().run(running.send, None)
    running.close()
    report_headers({"a": "b"})
    assert seen == []
