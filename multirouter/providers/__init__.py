"""Providers over HTTP: one canonical request and response, three wire formats, many services.

aiohttp is loaded when the first connection is opened, not when this package is imported.
"""

from __future__ import annotations

from multirouter.core.chat.completions import has_content, has_tool_calls, is_finished, text_of
from multirouter.providers.canonical import (
    Answer,
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    Embedding,
    EmbeddingRequest,
    EmbeddingResponse,
    Message,
    Usage,
    chat,
)
from multirouter.providers.factories import (
    Anthropic,
    ChatProvider,
    EmbeddingProvider,
    Gemini,
    GeminiEmbeddings,
    OpenAI,
    OpenAIEmbeddings,
)
from multirouter.providers.http import Http
from multirouter.providers.openai.presets import PRESETS, Preset

__all__ = [
    "PRESETS",
    "Answer",
    "Anthropic",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatProvider",
    "ChatRequest",
    "Embedding",
    "EmbeddingProvider",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "Gemini",
    "GeminiEmbeddings",
    "Http",
    "Message",
    "OpenAI",
    "OpenAIEmbeddings",
    "Preset",
    "Usage",
    "chat",
    "has_content",
    "has_tool_calls",
    "is_finished",
    "text_of",
]
