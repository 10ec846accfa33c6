"""Calls the router for a request: one call, whatever targets and waits the request has."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from multirouter.core.client_key import client_key
from multirouter.core.selection.conversation_key import conversation
from multirouter.errors import OperationMissing, UsageError
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.routing.sessions import session_of
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
    with (
        _UsageErrorAsHTTPError(options, exchange),
        conversation(session_of(exchange.request.headers)),
        client_key(exchange.key or ""),
    ):
        outcome: CallOutcome[Any] = await router.call_outcome(
            options.request,
            route=options.route,
            timeout=_timeout(router, options),
            wait=exchange.short_wait.policy(exchange.route),
        )
    exchange.trail.extend(outcome.attempts)
    exchange.provider = outcome.provider
    exchange.dropped = outcome.dropped
    try:
        return outcome.value
    finally:
        del outcome  # the traceback of its error holds this frame


async def open_stream(router: Router, options: RequestOptions, exchange: Exchange) -> Stream[Any]:
    """A stream whose first content has arrived.

    Raises:
        Exception: see `http_error_from`.
    """
    exchange.route = str(options.targets[0])
    stream = router.stream(
        options.request,
        route=options.route,
        timeout=_timeout(router, options),
        wait=exchange.short_wait.policy(exchange.route),
    )
    try:
        with (
            _UsageErrorAsHTTPError(options, exchange),
            conversation(session_of(exchange.request.headers)),
            client_key(exchange.key or ""),
        ):
            opened = await stream
    finally:
        exchange.trail.extend(stream.attempts)
        del stream  # the traceback of an error that it has holds this frame
    exchange.provider = opened.provider
    exchange.dropped = opened.dropped
    return opened


def _timeout(router: Router, options: RequestOptions) -> float | None:
    """The timeout that a client wishes, at most the one that the operator has set for its routes.

    Raises:
        UsageError: a route is unknown.
    """
    if options.timeout is None:
        return None
    longest = max(router.explain(target.route).timeout for target in options.targets)
    return min(options.timeout, longest)


class _UsageErrorAsHTTPError:
    """Translates a UsageError of the router.

    A route whose providers lack the operation is a 404, any other error (a route without streams,
    or without the provider that made an id of the request) a 400.
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
            message = f"no provider of {self._named()} supports {self._exchange.path}"
            raise HTTPError(404, message, code="path_not_found") from error
        if self._options.only is not None:
            made = ", ".join(sorted(self._options.only))
            message = (
                f"what the request refers to was made by {made}, which does not serve "
                f"{self._named()}"
            )
            raise HTTPError(400, message, code="invalid_value") from error
        raise HTTPError(400, str(error), code="invalid_value") from error

    def _named(self) -> str:
        model = self._options.targets[0].model
        return f"the model {model!r}" if model else f"route {self._exchange.route!r}"
