"""Reading token usage of attempts: from the response, from stream chunks, or estimated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from multirouter.core.chat import completions as chat
from multirouter.core.cost.price import Price
from multirouter.core.cost.usage import (
    CHARACTERS_A_TOKEN,
    ReadUsage,
    checked,
    estimated_tokens,
    usage_of,
)
from multirouter.model import Usage

if TYPE_CHECKING:
    from multirouter.core.chat.chunk_reader import Reader
    from multirouter.core.cost.budgets import Account


Broken = Callable[[Callable[..., Any], Exception], None]
"""Told of a hook of the user's that raised, and of what it raised."""


def guarded(hook: ReadUsage | None, broken: Broken) -> ReadUsage:
    """A user's hook that can harm no call, or the readers that are known when there is none."""
    if hook is None:
        return usage_of

    def read(answer: Any) -> Usage | None:
        try:
            usage = hook(answer)
            return None if usage is None else checked(usage)
        except Exception as error:  # noqa: BLE001 - a hook may break, a call may not
            broken(hook, error)
            return None

    return read


class ProviderPricing:
    """One provider's terms: its price, how its usage is read, and its account.

    Attributes:
        price: what it charges.
        read: reads usage from an answer or a chunk.
        account: its own budgets, or None.
    """

    __slots__ = ("account", "price", "read")

    def __init__(self, price: Price, read: ReadUsage, account: Account | None) -> None:
        self.price: Price = price
        self.read: ReadUsage = read
        self.account: Account | None = account


class UsageMeter:
    """What one stream has used so far.

    Attributes:
        usage: what its chunks have told, or None.
        letters: characters of content that have come.
        whole: whether usage was told at the end of the answer, so that nothing is missing.
    """

    __slots__ = ("_read", "letters", "usage", "whole")

    def __init__(self, read: ReadUsage) -> None:
        self._read = read
        self.usage: Usage | None = None
        self.letters: int = 0
        self.whole: bool = False

    def note(self, chunk: Any, reader: Reader) -> None:
        """Counts a chunk that came."""
        told = self._read(chunk)
        if told is not None:
            self.usage = told if self.usage is None else self.usage.joined(told)
            self.whole = reader.as_chat is not None and chat.is_last(reader.as_chat(chunk))
        with suppress(TypeError, AttributeError):  # of another type than the first: it counts for 0
            self.letters += reader.letters(chunk)

    def read_off(self, request: Any, size: int, *, complete: bool) -> Usage:
        """What was used: as told, or estimated where the stream was cut before it was told."""
        told = self.usage
        if told is not None and (complete or self.whole):
            return told
        output = -(-self.letters // CHARACTERS_A_TOKEN)
        if told is None:
            return Usage(size or estimated_tokens(request), output, estimated=True)
        sent = told.input or size or estimated_tokens(request)
        return told._replace(input=sent, output=max(told.output, output), estimated=True)
