"""Token usage of attempts: read from the response or the stream's chunks, or estimated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from multirouter.core.chat import completions as chat
from multirouter.core.chat.model_names import MAX_LENGTH, answered_model
from multirouter.core.cost.model_prices import MAX_KNOWN, ModelPrices
from multirouter.core.cost.price import Price, Prices
from multirouter.core.cost.usage import (
    CHARACTERS_PER_TOKEN,
    ReadUsage,
    estimated_tokens,
    usage_of,
    validated_usage,
)
from multirouter.core.event_dispatcher import OnHookError
from multirouter.model import Usage

if TYPE_CHECKING:
    from multirouter.core.chat.chunk_reader import ChunkReader
    from multirouter.core.cost.account import Account


ModelOf = str | Callable[[Any], str | None] | None
"""The model of a provider's attempts; see `Provider.model`."""

PLAIN_TYPES: frozenset[type] = frozenset({str, bytes, int, float, bool, type(None)})
"""Types of requests, answers and chunks that name no model and report no usage."""


def guarded_reader(hook: ReadUsage | None, on_hook_error: OnHookError) -> ReadUsage:
    """The user's `usage=` hook with its exceptions reported; without one, the built-in reader."""
    if hook is None:
        return usage_of

    def read(answer: Any) -> Usage | None:
        try:
            usage = hook(answer)
            return None if usage is None else validated_usage(usage)
        except Exception as error:  # noqa: BLE001 - a failing hook fails no call
            on_hook_error(hook, error)
            return None

    return read


class ProviderPricing:
    """Models, prices, usage reader and account of one provider.

    Args:
        name: the provider's name.
        model: see `Provider.model`.
        prices: see `Provider.price`; None for a provider without prices.
        usage: the user's usage reader, or None for the formats that are known.
        account: the account of its own budgets, or None.
        on_hook_error: called with a function of the user that raised, and its exception.
        on_missing_price: called with the names of the provider and of a model without a price,
            once for each model.

    Attributes:
        account: the account of its own budgets, or None.
        estimates: whether usage that an answer does not report is estimated.
        plain: whether an attempt with a plain request and a plain answer (strings, numbers) has
            neither a model nor a usage.
        read: reads the usage from an answer or a chunk.
    """

    __slots__ = (
        "_missing",
        "_model",
        "_name",
        "_on_hook_error",
        "_on_missing_price",
        "_prices",
        "account",
        "estimates",
        "plain",
        "read",
    )

    def __init__(
        self,
        name: str,
        model: ModelOf,
        prices: Prices | None,
        usage: ReadUsage | None,
        account: Account | None,
        *,
        on_hook_error: OnHookError,
        on_missing_price: Callable[[str, str], None],
    ) -> None:
        self._name = name
        self._model = model
        self._prices = None if prices is None else ModelPrices(prices)
        self._on_hook_error = on_hook_error
        self._on_missing_price = on_missing_price
        self._missing: set[str] = set()
        self.account: Account | None = account
        self.estimates: bool = prices is not None or usage is not None
        self.plain: bool = not self.estimates and model is None
        self.read: ReadUsage = guarded_reader(usage, on_hook_error)

    @property
    def has_prices(self) -> bool:
        """Whether the provider has prices."""
        return self._prices is not None

    def model_of(self, request: Any, *, report: bool = False) -> str | None:
        """The model that an attempt with this request asks for; None when it is not known.

        Args:
            request: a call's request.
            report: whether to report what a function of the user raises: once for each call,
                which asks for the model repeatedly.
        """
        model = self._model
        if model is None:
            model = request.get("model") if isinstance(request, Mapping) else None
        elif callable(model):
            try:
                model = model(request)
            except Exception as error:  # noqa: BLE001 - a failing hook fails no call
                if report:
                    self._on_hook_error(self._model, error)  # type: ignore[arg-type] # it was called
                return None
        return model[:MAX_LENGTH] if isinstance(model, str) and model else None

    def price_of(self, answered: str | None, requested: str | None) -> Price | None:
        """The price of a model; None when it has none, which is reported once for each model.

        Args:
            answered: the model that the answer names, or None.
            requested: the model that was requested, or None.
        """
        prices = self._prices
        if prices is None or prices.fixed is not None:
            return None if prices is None else prices.fixed
        price = self._look_up(prices, answered, requested)
        model = answered or requested or ""
        if price is None and model not in self._missing and len(self._missing) < MAX_KNOWN:
            self._missing.add(model)
            self._on_missing_price(self._name, model)
        return price

    @property
    def default_model(self) -> str | None:
        """The model of a request that names none; None when it is not known."""
        model = self._model
        if callable(model):
            try:
                model = model({})
            except Exception:  # noqa: BLE001 - it may require a model in the request
                return None
        return model

    @property
    def default_price(self) -> Price | None:
        """The price of the model of a request that names none; None when it is not known."""
        prices = self._prices
        return None if prices is None else self._look_up(prices, None, self.default_model)

    def _look_up(
        self, prices: ModelPrices, answered: str | None, requested: str | None
    ) -> Price | None:
        try:
            return prices.price_of(answered, requested)
        except Exception as error:  # noqa: BLE001 - as in model_of
            self._on_hook_error(prices.price_of, error)
            return None


class UsageMeter:
    """Token usage of one stream so far.

    Attributes:
        model: the model that the chunks name, or None.
        usage: the usage that the chunks reported, or None.
        characters: characters of content received; 0 when nothing is estimated.
        has_final_usage: whether usage was reported at the end of the answer, and is complete.
    """

    __slots__ = ("_estimates", "_read", "characters", "has_final_usage", "model", "usage")

    def __init__(self, pricing: ProviderPricing) -> None:
        self._read = pricing.read
        self._estimates = pricing.estimates
        self.model: str | None = None
        self.usage: Usage | None = None
        self.characters: int = 0
        self.has_final_usage: bool = False

    def record(self, chunk: Any, reader: ChunkReader) -> None:
        """Counts a received chunk."""
        if self._estimates:
            with suppress(TypeError, AttributeError):  # a chunk of another type than the first
                self.characters += reader.characters(chunk)
        elif type(chunk) in PLAIN_TYPES:
            return
        if self.model is None:
            self.model = answered_model(chunk)
        usage = self._read(chunk)
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)
            self.has_final_usage = reader.as_chat is not None and chat.usage_is_final(
                reader.as_chat(chunk)
            )

    def total(self, request: Any, size: int, *, complete: bool) -> Usage | None:
        """The usage of the whole stream; estimated where the stream ended before reporting it.

        Args:
            request: the request, for an estimate of its tokens.
            size: the request's tokens as counted by a hook, else 0.
            complete: whether the stream ended regularly.

        Returns:
            The usage; None when none was reported and nothing is estimated.
        """
        reported = self.usage
        if reported is not None and (complete or self.has_final_usage):
            return reported
        if not self._estimates:
            return None if reported is None else reported._replace(estimated=True)
        output = -(-self.characters // CHARACTERS_PER_TOKEN)
        if reported is None:
            return Usage(size or estimated_tokens(request), output, estimated=True)
        sent = reported.input or size or estimated_tokens(request)
        return reported._replace(input=sent, output=max(reported.output, output), estimated=True)
