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
from multirouter.providers.cloud.factories import Azure, Bedrock, Vertex
from multirouter.providers.factories import (
    Anthropic,
    ChatProvider,
    EmbeddingProvider,
    Gemini,
    GeminiEmbeddings,
    OpenAI,
    OpenAIEmbeddings,
)
from multirouter.providers.files.form_data import FormFile, MediaAnswer
from multirouter.providers.openai.presets import PRESETS, Preset
from multirouter.providers.transport.http import Http

__all__ = [
    "PRESETS",
    "Answer",
    "Anthropic",
    "Azure",
    "Bedrock",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatProvider",
    "ChatRequest",
    "Embedding",
    "EmbeddingProvider",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "FormFile",
    "Gemini",
    "GeminiEmbeddings",
    "Http",
    "MediaAnswer",
    "Message",
    "OpenAI",
    "OpenAIEmbeddings",
    "Preset",
    "Usage",
    "Vertex",
    "chat",
    "has_content",
    "has_tool_calls",
    "is_finished",
    "text_of",
]
