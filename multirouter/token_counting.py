"""Token counting with the model's tokenizer, for limits that need more than an estimate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from multirouter.core import validation as check
from multirouter.core.selection.eligibility import estimated_sizes
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from tiktoken import Encoding

TOKENS_PER_MESSAGE = 4
"""Overhead of each message of a chat, tokens. Source: OpenAI cookbook, How to count tokens with
tiktoken, which counts 3, and 1 more where a name is given."""


def counted_tokens(encoding: str | Encoding = "o200k_base") -> Callable[[Any], tuple[int, int]]:
    """Builds a `size=` function that counts tokens with tiktoken instead of estimating them.

    It counts a string, or all text of a chat request; media count as 0. The encoding is loaded at
    once, from tiktoken's cache or the network.

    Args:
        encoding: the name of an encoding, or a tiktoken `Encoding` object.

    Returns:
        A function of the request that returns (input tokens, maximum output tokens).

    Raises:
        ConfigurationError: for an unknown encoding, or when the extra `tokens` is not installed.
    """
    try:
        import tiktoken
    except ImportError:
        raise ConfigurationError(
            "counted_tokens", "requires tiktoken: install multirouter[tokens]"
        ) from None
    try:
        known = tiktoken.get_encoding(encoding) if isinstance(encoding, str) else encoding
    except ValueError:
        suggestion = check.suggestion(str(encoding), tiktoken.list_encoding_names())
        raise ConfigurationError("counted_tokens", f"unknown encoding {suggestion}") from None

    def sizes(request: Any) -> tuple[int, int]:
        _, max_output = estimated_sizes(request)
        return _count(request, known), max_output

    return sizes


def _count(part: Any, encoding: Encoding) -> int:
    if isinstance(part, str):
        return len(encoding.encode_ordinary(part))
    if isinstance(part, Mapping):
        if "messages" in part:
            messages = part["messages"]
            return sum(TOKENS_PER_MESSAGE + _count(m.get("content"), encoding) for m in messages)
        return _count(part.get("text"), encoding)
    return sum(_count(one, encoding) for one in part) if isinstance(part, list | tuple) else 0
