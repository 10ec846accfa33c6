"""Token usage of attempts: read from the response or the stream's chunks, or estimated."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from multirouter.core.chat import completions as chat
from multirouter.core.cost.price import Price
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
    from multirouter.core.cost.budgets import Account


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
    """Price, usage reader and account of one provider.

    Attributes:
        price: the provider's price.
        read: reads the usage from an answer or a chunk.
        account: the account of its own budgets, or None.
    """

    __slots__ = ("account", "price", "read")

    def __init__(self, price: Price, read: ReadUsage, account: Account | None) -> None:
        self.price: Price = price
        self.read: ReadUsage = read
        self.account: Account | None = account


class UsageMeter:
    """Token usage of one stream so far.

    Attributes:
        usage: the usage that the chunks reported, or None.
        characters: characters of content received.
        has_final_usage: whether usage was reported at the end of the answer, and is complete.
    """

    __slots__ = ("_read", "characters", "has_final_usage", "usage")

    def __init__(self, read: ReadUsage) -> None:
        self._read = read
        self.usage: Usage | None = None
        self.characters: int = 0
        self.has_final_usage: bool = False

    def record(self, chunk: Any, reader: ChunkReader) -> None:
        """Counts a received chunk."""
        usage = self._read(chunk)
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)
            self.has_final_usage = reader.as_chat is not None and chat.usage_is_final(
                reader.as_chat(chunk)
            )
        with suppress(TypeError, AttributeError):  # a chunk of another type than the first counts 0
            self.characters += reader.characters(chunk)

    def total(self, request: Any, size: int, *, complete: bool) -> Usage:
        """The usage of the whole stream; estimated where the stream ended before reporting it.

        Args:
            request: the request, for an estimate of its tokens.
            size: the request's tokens as counted by a hook, else 0.
            complete: whether the stream ended regularly.
        """
        reported = self.usage
        if reported is not None and (complete or self.has_final_usage):
            return reported
        output = -(-self.characters // CHARACTERS_PER_TOKEN)
        if reported is None:
            return Usage(size or estimated_tokens(request), output, estimated=True)
        sent = reported.input or size or estimated_tokens(request)
        return reported._replace(input=sent, output=max(reported.output, output), estimated=True)
