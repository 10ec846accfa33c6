"""Token counting with a real tokenizer."""

from __future__ import annotations

import sys

import pytest
import tiktoken

from multirouter import ConfigurationError, counted_tokens

BYTES = tiktoken.Encoding(
    "bytes",
    pat_str=r"\s+|\S+",
    mergeable_ranks={bytes([byte]): byte for byte in range(256)},
    special_tokens={},
)
"""An encoding of one token a byte: the real ones come over the network."""


def test_text_is_counted() -> None:
    """A string, and all text of a chat with its overhead; media count as 0."""
    count = counted_tokens(BYTES)
    assert count("five!") == (5, 0)
    request = {
        "messages": [
            {"role": "system", "content": "abc"},
            {"role": "user", "content": [{"type": "text", "text": "de"}, {"type": "image_url"}]},
            {"role": "assistant", "content": None},
        ],
        "max_tokens": 64,
    }
    assert count(request) == (4 * 3 + 5, 64)
    assert count(7) == (0, 0)


def test_an_unknown_encoding_raises() -> None:
    """An unknown name raises at once."""
    with pytest.raises(ConfigurationError, match="unknown encoding"):
        counted_tokens("klingon")


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra to install."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(ConfigurationError, match=r"multirouter\[tokens\]"):
        counted_tokens(BYTES)
