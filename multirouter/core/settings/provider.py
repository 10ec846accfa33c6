"""A provider: its name, its functions for calls and streams, and its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, Never, overload

from typing_extensions import TypedDict, Unpack

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.cost.budget import Budget, as_budgets
from multirouter.core.cost.metering import ModelOf
from multirouter.core.cost.price import Prices, checked_prices
from multirouter.core.cost.usage import ReadUsage
from multirouter.core.request_transform import Lacks
from multirouter.core.settings.article_names import refuse_unknown
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.errors import ConfigurationError
from multirouter.model import ChunkT, ChunkT_co, RequestT, RequestT_contra, ResponseT, ResponseT_co

NO_OPERATIONS: Mapping[str, Operation] = MappingProxyType({})


class ProviderSettings(TypedDict, total=False):
    """Keyword arguments of `Provider` besides its functions; see `Provider`."""

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
    retries: int | None
    backoff: float | None
    price: Prices | None
    usage: ReadUsage | None
    budget: Budget | Iterable[Budget] | None
    operations: Mapping[str, Operation]
    lacks: Lacks | None


class Provider(Generic[RequestT_contra, ResponseT_co, ChunkT_co]):
    """One provider and its settings; immutable by convention (use `replace`).

    Attributes:
        name: unique within a router; the label in metrics and logs.
        call: a callable that takes the request and returns an awaitable of the response.
        stream: a callable that takes the request and returns an async iterator of chunks.
        weight: share in the weighted choice, 0 or from 1e-9 to 1e9. A provider of weight 0 is
            used only when no other provider of its tier is available.
        attempt_timeout: longest duration of one attempt, seconds; `math.inf` for no limit; None
            inherits from the route, else the router.
        circuit: its own circuit policy; None inherits the router's.
        limits: its own limits, in addition to those of the route and the router.
        domains: failure domains that it shares with other providers (`("openai", "us-east")`).
        tags: names by which routes select it (`tag:cheap`).
        context_window: tokens that fit into its context window, at least 1. A request that was
            too long for one provider fails over to the others, except to those whose window is
            known to be no larger. A provider whose window is certainly too small for a request is
            not attempted (see `Route.size`).
        max_output: most tokens of one answer, at least 1; None for no known limit.
        quality: quality of its answers, a finite number on the user's own scale, for the strategy
            `highest_quality`.
        transform: a plain function that returns its own form of the request (another system
            prompt, say); applied before each attempt, after the transform of the route.
        capabilities: what its model can do; `prefill` means that it continues a trailing
            assistant message.
        first_token: longest time to the first content of a stream, seconds; `math.inf` for no
            limit; None inherits.
        idle: longest pause between two chunks of a stream, seconds; `math.inf` for no limit; None
            inherits.
        health_check: a coroutine function without arguments that checks the provider cheaply, and
            raises, or returns what counts as False but not None, when it is unhealthy. When set, a
            half-open circuit is decided by it, in the background, instead of by a user's call. It
            may take as long as an attempt, at most 20 s. It belongs to no call, so it runs in an
            empty context: context variables have their defaults.
        retries: how often it is retried after a failure before the next provider, >= 0; None
            inherits `retries_per_provider` of the route. These retries are charged to the retry
            budget, and not counted in `RetryPolicy.attempts`.
        backoff: upper limit of the first wait before such a retry, seconds, 0 to 1e9; it grows as
            `RetryPolicy.base`, which None inherits.
        aclose: awaited once, when the router closes or when the provider has left it and the last
            call that may use it has ended; at most three seconds. Methods of one object are one.
        price: what it charges: one `Price` for all its models; a mapping of model names to prices,
            with `*` as a wildcard; or a function that returns the price of a model's name, None
            for an unknown one. The price of an attempt is that of the model that answered. Without
            a price tokens are counted, and cost nothing.
        usage: reads the usage from its answers and chunks; None inherits from the router, which
            knows the formats of OpenAI, Anthropic and Gemini.
        model: the model of its attempts: a name, or a plain function that returns it for a request.
            None takes the `model` of a request that is a mapping. An answer that names its model
            takes precedence; see `AttemptRecord.model`.
        budget: how much may be spent on it; when a budget is used up, the provider is skipped
            until the period ends. Takes one Budget or several of different periods; stored as a
            tuple.
        operations: what else it serves, such as `embeddings`, by name: the functions of calls whose
            `Chain` names the operation. They share the provider's circuit, limits, price, budget
            and model; its `transform` is not applied.
        lacks: a plain function that returns what of a request this provider cannot express: a
            mapping of fields to reasons (`{"logprobs": "not supported"}`), empty for nothing. Such
            requests go to the other providers of the route; see `Route.unsupported`. Equal
            functions are called once for all providers that have them.

    Raises:
        ConfigurationError: a setting is invalid.
    """

    __slots__ = (
        "aclose",
        "attempt_timeout",
        "backoff",
        "budget",
        "call",
        "capabilities",
        "circuit",
        "context_window",
        "domains",
        "first_token",
        "health_check",
        "idle",
        "lacks",
        "limits",
        "max_output",
        "model",
        "name",
        "operations",
        "price",
        "quality",
        "retries",
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
        model: ModelOf = ...,
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
        model: ModelOf = ...,
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
        model: ModelOf = ...,
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
        retries: int | None = None,
        backoff: float | None = None,
        aclose: Callable[[], Awaitable[object]] | None = None,
        model: ModelOf = None,
        price: Prices | None = None,
        usage: ReadUsage | None = None,
        budget: Budget | Iterable[Budget] | None = None,
        operations: Mapping[str, Operation] = NO_OPERATIONS,
        lacks: Lacks | None = None,
        **unknown: Never,
    ) -> None:
        self.name: str = check.name("Provider.name", name)
        label = f"Provider({name!r})"
        refuse_unknown(label, unknown, self.__slots__)
        if call is None and stream is None:
            raise ConfigurationError(label, "must have call= or stream=, or both")
        self.call: Callable[[Any], Awaitable[Any]] | None = hooks.async_function(
            f"{label}.call", call, "request"
        )
        self.stream: Callable[[Any], AsyncIterator[Any]] | None = hooks.stream_function(
            f"{label}.stream", stream, "request"
        )
        self.weight: float = check.weight(f"{label}.weight", weight)
        self.attempt_timeout: float | None = _optional_duration(
            f"{label}.attempt_timeout", attempt_timeout
        )
        self.circuit: CircuitPolicy | None = check.instance(
            f"{label}.circuit", circuit, CircuitPolicy
        )
        self.limits: LimitPolicy | None = check.instance(f"{label}.limits", limits, LimitPolicy)
        self.domains: tuple[str, ...] = _names(f"{label}.domains", domains)
        self.tags: tuple[str, ...] = _names(f"{label}.tags", tags)
        self.context_window: int | None = _optional_count(f"{label}.context_window", context_window)
        self.max_output: int | None = _optional_count(f"{label}.max_output", max_output)
        if quality is not None:
            check.number(f"{label}.quality", quality)
        self.quality: float | None = quality
        self.transform: Callable[[Any], Any] | None = hooks.plain_function(
            f"{label}.transform", transform, "request"
        )
        self.capabilities: tuple[str, ...] = _names(f"{label}.capabilities", capabilities)
        self.first_token: float | None = _optional_duration(f"{label}.first_token", first_token)
        self.idle: float | None = _optional_duration(f"{label}.idle", idle)
        self.health_check: Callable[[], Awaitable[object]] | None = hooks.async_function(
            f"{label}.health_check", health_check
        )
        self.aclose: Callable[[], Awaitable[object]] | None = hooks.async_function(
            f"{label}.aclose", aclose
        )
        if retries is not None:
            check.count(f"{label}.retries", retries, minimum=0)
        self.retries: int | None = retries
        if backoff is not None:
            check.number(f"{label}.backoff", backoff, minimum=0.0, maximum=1e9)
        self.backoff: float | None = backoff
        self.model: ModelOf = _model(f"{label}.model", model)
        self.price: Prices | None = checked_prices(f"{label}.price", price)
        self.usage: ReadUsage | None = hooks.plain_function(f"{label}.usage", usage, "answer")
        self.budget: tuple[Budget, ...] = as_budgets(f"{label}.budget", budget)
        self.operations: Mapping[str, Operation] = _operations(f"{label}.operations", operations)
        self.lacks: Lacks | None = hooks.plain_function(f"{label}.lacks", lacks, "request")
        if self.budget and price is None:
            raise ConfigurationError(
                f"{label}.budget", "requires price=, from which the spending is computed"
            )

    def functions(self, operation: str = "") -> Provider[Any, Any, Any] | Operation | None:
        """What has the functions `call` and `stream` of an operation; None without them.

        Args:
            operation: its name; "" for the provider's own functions.
        """
        return self.operations.get(operation) if operation else self

    def replace(self, **changes: Any) -> Provider[RequestT_contra, ResponseT_co, ChunkT_co]:
        """A copy with some settings changed, validated like a new provider.

        Raises:
            ConfigurationError: a setting is unknown, or its value is invalid.
        """
        unknown = sorted(changes.keys() - set(self.__slots__))
        if unknown:
            known = check.suggestion(unknown[0], self.__slots__)
            raise ConfigurationError(f"Provider({self.name!r})", f"unknown setting {known}")
        settings = {slot: getattr(self, slot) for slot in self.__slots__}
        return type(self)(**{**settings, **changes})

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, weight={self.weight:g})"


def _operations(what: str, operations: Any) -> Mapping[str, Operation]:
    if not isinstance(operations, Mapping):
        raise ConfigurationError(
            what, f"must be a mapping of names to Operation objects, got {operations!r}"
        )
    for name, operation in operations.items():
        check.name(what, name)
        check.instance(f"{what}[{name!r}]", operation, Operation)
    return MappingProxyType(dict(operations))


def _optional_duration(what: str, seconds: float | None) -> float | None:
    return seconds if seconds is None else check.duration(what, seconds, allow_inf=True)


def _optional_count(what: str, tokens: int | None) -> int | None:
    return tokens if tokens is None else check.count(what, tokens)


def _model(what: str, model: Any) -> ModelOf:
    if model is None or isinstance(model, str):
        return None if model is None else check.name(what, model)
    if not callable(model):
        raise ConfigurationError(what, f"must be a name or a function, got {model!r}")
    function: Callable[[Any], str | None] = hooks.plain_function(what, model, "request")
    return function


def _names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ConfigurationError(what, f"must be a list of names, got the string {names!r}")
    return tuple(check.name(what, name) for name in check.objects(what, names, "names"))
