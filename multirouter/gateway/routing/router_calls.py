"""Calls the router for a request: one model after the other, until one answers."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from multirouter.errors import CallTimeout, NoProviderAvailable, UsageError
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.routing.model_catalogue import Target
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
    for model_call in _model_calls(options, exchange.clock):
        exchange.route = model_call.name
        with _UsageErrorAs400():
            outcome: CallOutcome[Any] = await router.call_outcome(
                model_call.request, route=model_call.target.route, timeout=model_call.timeout()
            )
            wait = exchange.short_wait.seconds_for(outcome.error, model_call.name)
            if wait:
                with exchange.short_wait.counted():
                    outcome = await router.call_outcome(
                        model_call.request,
                        route=model_call.target.route,
                        timeout=model_call.timeout(),
                        wait=wait,
                    )
        exchange.trail.extend(outcome.attempts)
        if outcome.error is None:
            exchange.provider = outcome.provider
            return outcome.value
        if model_call.last or not options.conditions.met_by(outcome.error):
            raise outcome.error
    raise AssertionError("the last model's call returns or raises")


async def open_stream(router: Router, options: RequestOptions, exchange: Exchange) -> Stream[Any]:
    """A stream whose first content has arrived.

    Raises:
        Exception: see `http_error_from`.
    """
    for model_call in _model_calls(options, exchange.clock):
        exchange.route = model_call.name
        try:
            stream = await _open_or_wait(router, model_call, exchange)
        except Exception as error:
            if model_call.last or not options.conditions.met_by(error):
                raise
        else:
            exchange.provider = stream.provider
            return stream
    raise AssertionError("the last model's call returns or raises")


async def _open_or_wait(router: Router, model_call: _ModelCall, exchange: Exchange) -> Stream[Any]:
    """Opens a stream at once, or a second time with a wait for a provider."""
    try:
        return await _open(router, model_call, exchange, 0.0)
    except NoProviderAvailable as error:
        wait = exchange.short_wait.seconds_for(error, model_call.name)
        if not wait:
            raise
    with exchange.short_wait.counted():
        return await _open(router, model_call, exchange, wait)


async def _open(
    router: Router, model_call: _ModelCall, exchange: Exchange, wait: float
) -> Stream[Any]:
    target, timeout = model_call.target, model_call.timeout()
    stream = router.stream(model_call.request, route=target.route, timeout=timeout, wait=wait)
    try:
        with _UsageErrorAs400():
            return await stream
    finally:
        exchange.trail.extend(stream.attempts)


class _ModelCall:
    """The call of one model of a request.

    Attributes:
        target: its route and model.
        name: the name of the route, for the log.
        request: the request for the router.
        last: whether no other model follows.
    """

    def __init__(
        self, options: RequestOptions, target: Target, remaining: Callable[[], float | None]
    ) -> None:
        self.target = target
        self.name = target.route if isinstance(target.route, str) else ",".join(target.route)
        self.last = target is options.targets[-1]
        self.request = {**options.body, "model": target.model} if target.model else options.body
        self._timeout = None if self.last else options.conditions.timeout
        self._remaining = remaining

    def timeout(self) -> float | None:
        """Seconds it may take: the smaller of what remains of the request's and its own."""
        limits = [limit for limit in (self._remaining(), self._timeout) if limit is not None]
        return min(limits, default=None)


def _model_calls(options: RequestOptions, clock: Callable[[], float]) -> list[_ModelCall]:
    timeout, started = options.timeout, clock()

    def remaining() -> float | None:
        if timeout is None:
            return None
        seconds = started + timeout - clock()
        if seconds <= 0:
            raise CallTimeout(f"no answer within timeout={timeout:g} s")
        return max(seconds, 1e-6)

    return [_ModelCall(options, target, remaining) for target in options.targets]


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
