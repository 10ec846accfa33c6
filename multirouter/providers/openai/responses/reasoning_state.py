"""What a model needs back in the next turn, as the `encrypted_content` of a reasoning item.

Clients of the Responses API send reasoning items back unchanged. So signed thinking blocks and
signatures of calls, for which the format has no fields, survive in the one field that clients do
not read. A service of OpenAI rejects such an item, because it did not encrypt it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from multirouter.providers.json_bytes import dumps

_PREFIX = "mr1."

ITEM_ID = "rs_mr"
"""Prefix of the ids of reasoning items that no service of OpenAI made."""


def encode_state(state: Mapping[str, Any]) -> str:
    """The state as `encrypted_content`.

    Args:
        state: plain data, with fields of a canonical assistant message.
    """
    return _PREFIX + base64.b64encode(dumps(state)).decode()


def decode_state(encrypted: object) -> dict[str, Any] | None:
    """The state in an `encrypted_content`; None if it is another's, or damaged."""
    if not isinstance(encrypted, str) or not encrypted.startswith(_PREFIX):
        return None
    try:
        state = json.loads(base64.b64decode(encrypted[len(_PREFIX) :], validate=True))
    except (ValueError, RecursionError):
        return None
    return state if isinstance(state, dict) else None


def is_foreign(item: Mapping[str, Any]) -> bool:
    """Whether a reasoning or compaction item comes from a model that is not OpenAI's."""
    encrypted = item.get("encrypted_content")
    if isinstance(encrypted, str) and encrypted:
        return encrypted.startswith(_PREFIX)
    return str(item.get("id") or "").startswith(ITEM_ID)


_SIGNATURE = "mr2."


def thinking_block(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """A reasoning item of OpenAI as a thinking block; None for one that has nothing to keep.

    Other formats send thinking blocks back unchanged, so the encrypted reasoning survives as the
    signature of the block.
    """
    encrypted = item.get("encrypted_content")
    if not isinstance(encrypted, str) or not encrypted:
        return None
    kept = {"id": item.get("id"), "encrypted_content": encrypted}
    signature = _SIGNATURE + base64.b64encode(dumps(kept)).decode()
    return {"type": "thinking", "thinking": summary_text(item), "signature": signature}


def reasoning_item(block: Mapping[str, Any]) -> dict[str, Any] | None:
    """The reasoning item in a thinking block; None for a block of another model."""
    signature = block.get("signature")
    if not isinstance(signature, str) or not signature.startswith(_SIGNATURE):
        return None
    try:
        kept = json.loads(base64.b64decode(signature[len(_SIGNATURE) :], validate=True))
    except (ValueError, RecursionError):
        return None
    text = block.get("thinking")
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "summary": summary, **kept} if isinstance(kept, dict) else None


def is_openai_block(block: Mapping[str, Any]) -> bool:
    """Whether a thinking block holds reasoning that only OpenAI's services can read."""
    return str(block.get("signature") or "").startswith(_SIGNATURE)


def summary_text(item: Mapping[str, Any]) -> str:
    """The text of a reasoning item: that of the model itself, else its summary."""
    for field in ("content", "summary"):
        parts = item.get(field)
        texts = [
            part["text"]
            for part in (parts if isinstance(parts, list) else ())
            if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        ]
        if texts:
            return "\n\n".join(texts)
    return ""
