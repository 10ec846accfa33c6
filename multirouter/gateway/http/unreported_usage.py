"""Estimates of the tokens of requests whose provider reported none, for the limits of keys."""

from __future__ import annotations

import math
from typing import Any

from multirouter.core.chat import completions as chat
from multirouter.core.cost.billing import BILLABLE_KINDS
from multirouter.core.cost.usage import CHARACTERS_PER_TOKEN, estimated_tokens
from multirouter.gateway.http.exchange import Exchange


def characters_of(chunk: Any) -> int:
    """Characters of the answer in one chunk of a stream; 0 for audio."""
    if isinstance(chunk, dict):
        return chat.characters_of(chunk)
    body = getattr(chunk, "body", None) or {}
    delta = body.get("delta") or body.get("text")
    return len(delta) if isinstance(delta, str) else 0


def estimate(exchange: Exchange, request: dict[str, Any], *, cut: bool) -> int:
    """Estimated tokens of a request that has ended, prompt and answer together.

    Args:
        exchange: the request; its attempts, and the characters that were delivered.
        request: what was asked.
        cut: whether the client disconnected, so that a provider may still have worked.
    """
    used = sum(r.usage.input + r.usage.output for r in exchange.trail if r.usage is not None)
    worked = (
        cut
        or exchange.delivered
        or any(record.verdict.kind in BILLABLE_KINDS for record in exchange.trail)
    )
    if used or not worked:
        return used
    return estimated_tokens(request) + math.ceil(exchange.delivered / CHARACTERS_PER_TOKEN)
