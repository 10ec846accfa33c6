"""A provider: a name, a coroutine function to call, perhaps one to stream from, and its terms."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, Never, get_origin, overload

from typing_extensions import TypedDict, Unpack

from multirouter.core import validation as check
from multirouter.core.cost.budgets import Budget, budgets
from multirouter.core.cost.price import Price
from multirouter.core.cost.usage import ReadUsage
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.errors import ConfigurationError
from multirouter.model import ChunkT, ChunkT_co, RequestT, RequestT_contra, ResponseT, ResponseT_co


class ProviderSettings(TypedDict, total=False):
    """What every `Provider` may be told besides its functions; see there."""

    weight: float
    attempt_timeout: float | None
    circuit: CircuitPolicy | None
    limits: LimitPolicy | None
    domains: Iterable[str]
    tags: Iterable[str]
    context_window: int | None
    max_output: int | None
    quality: float | None
    transform: Callable[[Any], Any] | None
    capabilities: Iterable[str]
    first_token: float | None
    idle: float | None
    health_check: Callable[[], Awaitable[object]] | None
    price: Price | None
    usage: ReadUsage | None
    budget: Budget | Iterable[Budget] | None


class Provider(Generic[RequestT_contra, ResponseT_co, ChunkT_co]):
    """One provider, as the user describes it; never changed after it was made.

    Attributes:
        name: unique within a router; it is the label in metrics and logs.
        call: any callable that takes the request and returns an awaitable of the response.
        stream: any callable that takes the request and returns an async iterator of chunks.
        weight: its share in the weighted draw, 0 or from 1e-9 to 1e9. Weight 0 is never drawn;
            it serves only when nobody else of its tier can.
        attempt_timeout: the longest one await may take, seconds; None inherits from the route,
            else the router; `math.inf` is none.
        circuit: its own circuit policy; None inherits the router's.
        limits: its own limits, on top of those of the route and the router.
        domains: what it fails together with (`("openai", "us-east")`).
        tags: names under which routes may pick it (`tag:cheap`).
        context_window: tokens that fit into it, at least 1. A request that was too long for one
            provider goes on to a larger window only; left out, it counts as the smallest there.
            Who is surely too small for a request is not asked (see `Route.size`).
        max_output: the most tokens it writes in one answer, at least 1; left out, any number.
        quality: how good its answers are, a number of the user's own scale, for the strategy
            `highest_quality`.
        transform: makes its own request out of the caller's, just before each attempt (another
            system prompt, say); a plain function of the request, after that of the route.
        capabilities: what its model can do; `prefill` means that it goes on from a trailing
            assistant message.
        first_token: the longest a stream may take to its first content, seconds; None inherits.
        idle: the longest a stream may rest between two chunks, seconds; None inherits.
        probe: a cheap test of its health without a request; when given, an open circuit is
            tested by it from the reset task instead of by a user's call, and without waiting
            for one. It may take as long as an attempt, at most 20 s.
        aclose: awaited when the router closes.
        price: what it charges; left out, its attempts cost nothing and nobody reads their usage.
        usage: reads usage from its answers and chunks; None inherits from the router, which
            knows the shapes of OpenAI, Anthropic and Gemini. Given without `price`, its tokens
            are counted and cost nothing.
        budget: what may be spent on it; used up, it is passed over until the period ends. A
            tuple, as given by one Budget or several of unlike periods.
    """

    __slots__ = (
        "aclose",
        "attempt_timeout",
        "budget",
        "call",
        "capabilities",
        "circuit",
        "context_window",
        "domains",
        "first_token",
        "health_check",
        "idle",
        "limits",
        "max_output",
        "name",
        "price",
        "quality",
        "stream",
        "tags",
        "transform",
        "usage",
        "weight",
    )

    @overload
    def __init__(
        self: Provider[RequestT, ResponseT, Never],
        name: str,
        call: Callable[[RequestT], Awaitable[ResponseT]],
        *,
        aclose: Callable[[], Awaitable[object]] | None = ...,
        **settings: Unpack[ProviderSettings],
    ) -> None: ...

    @overload
    def __init__(
        self: Provider[RequestT, Never, ChunkT],
        name: str,
        call: None = None,
        *,
        stream: Callable[[RequestT], AsyncIterator[ChunkT]],
        aclose: Callable[[], Awaitable[object]] | None = ...,
        **settings: Unpack[ProviderSettings],
    ) -> None: ...

    @overload
    def __init__(
        self,
        name: str,
        call: Callable[[RequestT_contra], Awaitable[ResponseT_co]],
        *,
        stream: Callable[[RequestT_contra], AsyncIterator[ChunkT_co]],
        aclose: Callable[[], Awaitable[object]] | None = ...,
        **settings: Unpack[ProviderSettings],
    ) -> None: ...

    def __init__(
        self,
        name: str,
        call: Callable[[Any], Awaitable[Any]] | None = None,
        *,
        stream: Callable[[Any], AsyncIterator[Any]] | None = None,
        weight: float = 1.0,
        attempt_timeout: float | None = None,
        circuit: CircuitPolicy | None = None,
        limits: LimitPolicy | None = None,
        domains: Iterable[str] = (),
        tags: Iterable[str] = (),
        context_window: int | None = None,
        max_output: int | None = None,
        quality: float | None = None,
        transform: Callable[[Any], Any] | None = None,
        capabilities: Iterable[str] = (),
        first_token: float | None = None,
        idle: float | None = None,
        health_check: Callable[[], Awaitable[object]] | None = None,
        aclose: Callable[[], Awaitable[object]] | None = None,
        price: Price | None = None,
        usage: ReadUsage | None = None,
        budget: Budget | Iterable[Budget] | None = None,
    ) -> None:
        self.name: str = check.name("Provider.name", name)
        me = f"Provider({name!r})"
        if call is None and stream is None:
            raise ConfigurationError(me, "needs call= or stream=, or both")
        self.call: Callable[[Any], Awaitable[Any]] | None = (
            call if call is None else _asynchronous(f"{me}.call", call)
        )
        self.stream: Callable[[Any], AsyncIterator[Any]] | None = (
            stream if stream is None else _streaming(f"{me}.stream", stream)
        )
        self.weight: float = check.weight(f"{me}.weight", weight)
        self.attempt_timeout: float | None = _limit(f"{me}.attempt_timeout", attempt_timeout)
        self.circuit: CircuitPolicy | None = circuit
        self.limits: LimitPolicy | None = limits
        self.domains: tuple[str, ...] = _names(f"{me}.domains", domains)
        self.tags: tuple[str, ...] = _names(f"{me}.tags", tags)
        self.context_window: int | None = _tokens(f"{me}.context_window", context_window)
        self.max_output: int | None = _tokens(f"{me}.max_output", max_output)
        if quality is not None:
            check.number(f"{me}.quality", quality)
        self.quality: float | None = quality
        self.transform: Callable[[Any], Any] | None = check.function(f"{me}.transform", transform)
        self.capabilities: tuple[str, ...] = _names(f"{me}.capabilities", capabilities)
        self.first_token: float | None = _limit(f"{me}.first_token", first_token)
        self.idle: float | None = _limit(f"{me}.idle", idle)
        self.health_check: Callable[[], Awaitable[object]] | None = (
            health_check
            if health_check is None
            else _asynchronous(f"{me}.health_check", health_check)
        )
        self.aclose: Callable[[], Awaitable[object]] | None = aclose
        if price is not None and not isinstance(price, Price):
            raise ConfigurationError(f"{me}.price", f"must be a Price, not {price!r}")
        self.price: Price | None = price
        self.usage: ReadUsage | None = check.function(f"{me}.usage", usage)
        self.budget: tuple[Budget, ...] = budgets(f"{me}.budget", budget)
        if self.budget and price is None:
            raise ConfigurationError(f"{me}.budget", "needs price=, to know what was spent")

    def replace(self, **changes: Any) -> Provider[RequestT_contra, ResponseT_co, ChunkT_co]:
        """A copy with some settings changed, checked like a new one.

        Raises:
            ConfigurationError: for an unknown setting, or a value that is refused.
        """
        unknown = sorted(changes.keys() - set(self.__slots__))
        if unknown:
            raise ConfigurationError(f"Provider({self.name!r}).{unknown[0]}", "is no setting")
        settings = {slot: getattr(self, slot) for slot in self.__slots__}
        return type(self)(**{**settings, **changes})

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, weight={self.weight:g})"


def _limit(what: str, seconds: float | None) -> float | None:
    return seconds if seconds is None else check.span(what, seconds, endless=True)


def _tokens(what: str, tokens: int | None) -> int | None:
    return tokens if tokens is None else check.count(what, tokens)


def _names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ConfigurationError(what, f"must be a list of names, not the string {names!r}")
    return tuple(check.name(what, name) for name in names)


def _asynchronous(what: str, call: Any) -> Any:
    """Refuses what is surely no coroutine function; what only a call can tell waits for it."""
    if not callable(call):
        raise ConfigurationError(what, f"must be an async function, not {call!r}")
    function = _function_of(call)
    if inspect.isasyncgenfunction(function):
        raise ConfigurationError(what, "is an async generator function: give it as stream=")
    if inspect.iscoroutinefunction(function):
        return call
    returned = getattr(function, "__annotations__", {}).get("return", inspect.Parameter.empty)
    if inspect.isfunction(function) and _surely_plain(returned):
        raise ConfigurationError(
            what, f"must be an async function; {function.__name__}() is a plain one"
        )
    return call


def _streaming(what: str, stream: Any) -> Any:
    if not callable(stream):
        raise ConfigurationError(what, f"must be an async generator function, not {stream!r}")
    if inspect.iscoroutinefunction(_function_of(stream)):
        raise ConfigurationError(
            what, "must return an async iterator (async def with yield), and returns a coroutine"
        )
    return stream


def _function_of(call: Any) -> Any:
    """The function that does the work: behind a partial, a bound method or `__call__`."""
    while isinstance(call, functools.partial):
        call = call.func
    if inspect.isroutine(call) or inspect.isclass(call):
        return call
    return type(call).__call__


_PLAIN = (str, bytes, int, float, bool, dict, list, tuple, type(None))
_PLAIN_NAMES = frozenset({"str", "bytes", "int", "float", "bool", "dict", "list", "tuple", "None"})


def _surely_plain(returned: Any) -> bool:
    """Whether a return annotation names a type that nobody can await."""
    if isinstance(returned, str):
        return returned.split("[", 1)[0] in _PLAIN_NAMES
    return returned is None or returned in _PLAIN or get_origin(returned) in _PLAIN
