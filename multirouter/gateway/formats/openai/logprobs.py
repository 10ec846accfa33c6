"""Log probabilities of tokens, in OpenAI's terms, as the other formats read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX = 1e6
"""A larger value is no log probability."""


def token_logprobs(logprobs: Any) -> list[dict[str, Any]]:
    """The tokens with `token`, `logprob`, `bytes` and `top_logprobs`; without invalid ones.

    Args:
        logprobs: the field of a choice, of any type.
    """
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    tokens = (token for token in _listed(content) if _is_valid(token))
    return [
        {
            **_entry(token),
            "top_logprobs": [
                _entry(top) for top in _listed(token.get("top_logprobs")) if _is_valid(top)
            ],
        }
        for token in tokens
    ]


def _entry(token: Mapping[str, Any]) -> dict[str, Any]:
    """One token; services that do not send its bytes leave them to be read from its text."""
    text, given = token["token"], token.get("bytes")
    is_given = isinstance(given, list) and all(type(one) is int for one in given)
    bytes_ = given if is_given else list(text.encode(errors="replace"))
    return {"token": text, "logprob": token["logprob"], "bytes": bytes_}


def _is_valid(token: Any) -> bool:
    if not isinstance(token, Mapping) or not isinstance(token.get("token"), str):
        return False
    value = token.get("logprob")
    return isinstance(value, int | float) and abs(value) < _MAX  # which NaN is not


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
