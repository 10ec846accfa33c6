"""Calls the router for a request: one call, whatever targets and waits the request has."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from multirouter.errors import OperationMissing, UsageError
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
    with _UsageErrorAsHTTPError(options, exchange):
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
        with _UsageErrorAsHTTPError(options, exchange):
            opened = await stream
    finally:
        exchange.trail.extend(stream.attempts)
    exchange.provider = opened.provider
    return opened


class _UsageErrorAsHTTPError:
    """Translates a UsageError of the router.

    A route whose providers lack the operation is a 404, any other error (a route without streams)
    a 400.
    """

    def __init__(self, options: RequestOptions, exchange: Exchange) -> None:
        self._options = options
        self._exchange = exchange

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, UsageError):
            return
        if isinstance(error, OperationMissing):
            model = self._options.targets[0].model
            named = f"the model {model!r}" if model else f"route {self._exchange.route!r}"
            message = f"no provider of {named} supports {self._exchange.path}"
            raise HTTPError(404, message, code="path_not_found") from error
        raise HTTPError(400, str(error), code="invalid_value") from error
