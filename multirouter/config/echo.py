"""The built-in echo model: repeats the last user message, for a first try without a key."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from multirouter.core.cost.usage import estimated_tokens
from multirouter.providers.canonical import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    ChunkChoice,
    Delta,
    Usage,
)

MODEL = "echo"
"""The default model name in its answers."""

EMPTY_REPLY = "(empty message)"
"""The answer if there is no user message with text."""


class Echo:
    """Answers with the text of the last user message, whole or word by word.

    Args:
        model: model name in its answers.
    """

    def __init__(self, model: str = MODEL) -> None:
        self._model = model

    async def call(self, request: ChatRequest) -> ChatCompletion:
        """Returns the complete answer."""
        text = _last_user_text(request)
        return {
            "id": _id(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._model,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": text},
                }
            ],
            "usage": _usage(request, text),
        }

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatCompletionChunk]:
        """Streams the answer word by word; the usage is a separate chunk if requested."""
        text = _last_user_text(request)
        completion_id, created = _id(), int(time.time())

        def chunk(*choices: ChunkChoice) -> ChatCompletionChunk:
            return {
                "id": completion_id,
                "object": "chat.completion.chunk",
                "created": created,
                "model": self._model,
                "choices": list(choices),
            }

        yield chunk(_choice({"role": "assistant", "content": ""}))
        for word in _words(text):
            yield chunk(_choice({"content": word}))
        last: ChunkChoice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        usage = _usage(request, text)
        if (request.get("stream_options") or {}).get("include_usage"):
            yield chunk(last)
            yield {**chunk(), "usage": usage}
        else:
            yield {**chunk(last), "usage": usage}


def _id() -> str:
    return f"chatcmpl-{uuid4().hex}"


def _choice(delta: Delta) -> ChunkChoice:
    return {"index": 0, "delta": delta, "finish_reason": None}


def _words(text: str) -> list[str]:
    """The words of a text, each with its trailing space; together they are the text."""
    words = text.split(" ")
    return [f"{word} " for word in words[:-1]] + words[-1:]


def _last_user_text(request: ChatRequest) -> str:
    """The text of the last user message, or `EMPTY_REPLY`."""
    for message in reversed(request.get("messages") or ()):
        if message.get("role") == "user":
            return _text(message.get("content")) or EMPTY_REPLY
    return EMPTY_REPLY


def _text(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))


def _usage(request: ChatRequest, text: str) -> Usage:
    prompt, completion = estimated_tokens(request.get("messages")), estimated_tokens(text)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
