"""Asks the router for a request: one model after the other, until one of them answers."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from multirouter.errors import CallTimeout, NoProviderAvailable, UsageError
from multirouter.gateway.http.error_responses import Refusal
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.routing.model_catalogue import Target
from multirouter.gateway.routing.request_options import Wanted
from multirouter.model import CallOutcome
from multirouter.router import MultiProviderRouter
from multirouter.runtime.streams.stream import Stream

Router = MultiProviderRouter[Any, Any, Any]


async def call(router: Router, wanted: Wanted, exchange: Exchange) -> Any:
    """The whole answer.

    Raises:
        Exception: what `refusal_of` knows to tell.
    """
    for chance in _chances(wanted, exchange.clock):
        exchange.route = chance.name
        with _UsageTold():
            outcome: CallOutcome[Any] = await router.call_outcome(
                chance.request, route=chance.target.route, timeout=chance.timeout()
            )
            wait = exchange.patience.worth(outcome.error, chance.name)
            if wait:
                with exchange.patience.standing():
                    outcome = await router.call_outcome(
                        chance.request,
                        route=chance.target.route,
                        timeout=chance.timeout(),
                        wait=wait,
                    )
        exchange.trail.extend(outcome.attempts)
        if outcome.error is None:
            exchange.provider = outcome.provider
            return outcome.value
        if chance.last or not wanted.conditions.allow(outcome.error):
            raise outcome.error
    raise AssertionError("the last chance answers or raises")


async def open_stream(router: Router, wanted: Wanted, exchange: Exchange) -> Stream[Any]:
    """A stream that has brought its first content.

    Raises:
        Exception: what `refusal_of` knows to tell.
    """
    for chance in _chances(wanted, exchange.clock):
        exchange.route = chance.name
        try:
            stream = await _patiently(router, chance, exchange)
        except Exception as error:
            if chance.last or not wanted.conditions.allow(error):
                raise
        else:
            exchange.provider = stream.provider
            return stream
    raise AssertionError("the last chance answers or raises")


async def _patiently(router: Router, chance: _Chance, exchange: Exchange) -> Stream[Any]:
    """A stream that has begun, in the second place after a wait."""
    try:
        return await _begun(router, chance, exchange, 0.0)
    except NoProviderAvailable as error:
        wait = exchange.patience.worth(error, chance.name)
        if not wait:
            raise
    with exchange.patience.standing():
        return await _begun(router, chance, exchange, wait)


async def _begun(router: Router, chance: _Chance, exchange: Exchange, wait: float) -> Stream[Any]:
    target, timeout = chance.target, chance.timeout()
    stream = router.stream(chance.request, route=target.route, timeout=timeout, wait=wait)
    try:
        with _UsageTold():
            return await stream
    finally:
        exchange.trail.extend(stream.attempts)


class _Chance:
    """One model's turn to answer.

    Attributes:
        target: where it goes.
        name: the same in a word, for the log.
        request: what it is asked.
        last: whether nobody comes after it.
    """

    def __init__(self, wanted: Wanted, target: Target, left: Callable[[], float | None]) -> None:
        self.target = target
        self.name = target.route if isinstance(target.route, str) else ",".join(target.route)
        self.last = target is wanted.targets[-1]
        self.request = {**wanted.body, "model": target.model} if target.model else wanted.body
        self._patience = None if self.last else wanted.conditions.patience
        self._left = left

    def timeout(self) -> float | None:
        """Seconds it may take: what is left of the request's, and its own patience."""
        limits = [limit for limit in (self._left(), self._patience) if limit is not None]
        return min(limits, default=None)


def _chances(wanted: Wanted, clock: Callable[[], float]) -> list[_Chance]:
    timeout, began = wanted.timeout, clock()

    def left() -> float | None:
        if timeout is None:
            return None
        seconds = began + timeout - clock()
        if seconds <= 0:
            raise CallTimeout(f"no answer within timeout={timeout:g} s")
        return max(seconds, 1e-6)

    return [_Chance(wanted, target, left) for target in wanted.targets]


class _UsageTold:
    """Tells what a client asked for and cannot have (a route without streams) as a 400."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, UsageError):
            raise Refusal(400, str(error), code="invalid_value") from error
