"""Calls the router for a request: one call, whatever targets and waits the request has."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from multirouter.errors import UsageError
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.model import CallOutcome
from multirouter.router import MultiProviderRouter
from multirouter.runtime.streams.stream import Stream

Router = MultiProviderRouter[Any, Any, Any]


async def call(router: Router, options: RequestOptions, exchange: Exchange) -> Any:
    """The whole answer.

    Raises:
        Exception: see `http_error_from`.
    """
    exchange.route = str(options.targets[0])
    with _UsageErrorAs400():
        outcome: CallOutcome[Any] = await router.call_outcome(
            options.request,
            route=options.route,
            timeout=options.timeout,
            wait=exchange.short_wait.policy(exchange.route),
        )
    exchange.trail.extend(outcome.attempts)
    if outcome.error is not None:
        raise outcome.error
    exchange.provider = outcome.provider
    return outcome.value


async def open_stream(router: Router, options: RequestOptions, exchange: Exchange) -> Stream[Any]:
    """A stream whose first content has arrived.

    Raises:
        Exception: see `http_error_from`.
    """
    exchange.route = str(options.targets[0])
    stream = router.stream(
        options.request,
        route=options.route,
        timeout=options.timeout,
        wait=exchange.short_wait.policy(exchange.route),
    )
    try:
        with _UsageErrorAs400():
            opened = await stream
    finally:
        exchange.trail.extend(stream.attempts)
    exchange.provider = opened.provider
    return opened


class _UsageErrorAs400:
    """Translates a UsageError of the router (a route without streams) to an HTTP 400."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, UsageError):
            raise HTTPError(400, str(error), code="invalid_value") from error
