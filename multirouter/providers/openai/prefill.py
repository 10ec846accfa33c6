"""Prefill: how services mark a last assistant message as the beginning of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

PREFIX: Mapping[str, bool] = MappingProxyType({"prefix": True})
"""Source: "Chat Prefix Completion" in DeepSeek's documentation (its beta address), and Mistral's
reference of assistant messages."""

PARTIAL: Mapping[str, bool] = MappingProxyType({"partial": True})
"""Source: "Partial Mode" in the documentation of Kimi and of Alibaba's Model Studio."""

FINAL: Mapping[str, bool] = MappingProxyType(
    {"continue_final_message": True, "add_generation_prompt": False}
)
"""Source: vLLM's extra parameters of the Chat API."""


def is_prefill(message: Mapping[str, Any]) -> bool:
    """Whether a last message is the beginning of the answer, which the service continues."""
    return message["role"] == "assistant" and not message.get("tool_calls")
