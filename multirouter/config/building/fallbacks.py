"""Substitute answers by data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FallbackText:
    """Returns an answer with a fixed text, for `fallback=`.

    Attributes:
        text: the text.
    """

    text: str

    def __call__(self, request: Any, error: Any) -> dict[str, Any]:
        """The answer to a request that no provider answered."""
        model = request.get("model") if isinstance(request, Mapping) else None
        message = {"role": "assistant", "content": self.text}
        return {
            "id": "fallback",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model if isinstance(model, str) and model else "fallback",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
