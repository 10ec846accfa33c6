"""Tokens counted by the model's own tokenizer, where an estimate is not enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from multirouter.core.selection.eligibility import estimated_sizes
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from tiktoken import Encoding

A_MESSAGE = 4
"""Tokens that frame each message of a chat. Source: OpenAI cookbook, How to count tokens with
tiktoken, which counts 3, and 1 more where a name is given."""


def counted_tokens(encoding: str | Encoding = "o200k_base") -> Callable[[Any], tuple[int, int]]:
    """A `size=` that counts tokens with tiktoken instead of estimating them.

    Counts a string, or all text of a chat request; media count nothing. Loads the encoding at
    once, from tiktoken's cache or the network.

    Args:
        encoding: the name of an encoding, or one of tiktoken's `Encoding` objects.

    Returns:
        A function of the request: tokens to be read, and the most it allows to be written.

    Raises:
        ConfigurationError: for an unknown encoding, or without the extra `tokens`.
    """
    try:
        import tiktoken
    except ImportError:
        raise ConfigurationError(
            "counted_tokens", "needs tiktoken: install multirouter[tokens]"
        ) from None
    try:
        known = tiktoken.get_encoding(encoding) if isinstance(encoding, str) else encoding
    except ValueError as error:
        raise ConfigurationError("counted_tokens", str(error)) from None

    def sizes(request: Any) -> tuple[int, int]:
        _, longest = estimated_sizes(request)
        return _count(request, known), longest

    return sizes


def _count(part: Any, encoding: Encoding) -> int:
    if isinstance(part, str):
        return len(encoding.encode_ordinary(part))
    if isinstance(part, Mapping):
        if "messages" in part:
            messages = part["messages"]
            return sum(A_MESSAGE + _count(m.get("content"), encoding) for m in messages)
        return _count(part.get("text"), encoding)
    return sum(_count(one, encoding) for one in part) if isinstance(part, list | tuple) else 0
