"""The built-in model that says what it was told: for a first try, without any key."""

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
"""Its name for itself, unless it was given another."""

SILENCE = "(nothing was said)"


class Echo:
    """Answers with the text of the last user message, whole or word by word.

    Args:
        model: what it is called in its answers.
    """

    def __init__(self, model: str = MODEL) -> None:
        self._model = model

    async def call(self, request: ChatRequest) -> ChatCompletion:
        """The whole answer at once."""
        said = _heard(request)
        return {
            "id": _id(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._model,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": said},
                }
            ],
            "usage": _usage(request, said),
        }

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatCompletionChunk]:
        """The answer word by word; the usage in a chunk of its own where it was asked for."""
        said = _heard(request)
        name, created = _id(), int(time.time())

        def chunk(*choices: ChunkChoice) -> ChatCompletionChunk:
            return {
                "id": name,
                "object": "chat.completion.chunk",
                "created": created,
                "model": self._model,
                "choices": list(choices),
            }

        yield chunk(_choice({"role": "assistant", "content": ""}))
        for word in _words(said):
            yield chunk(_choice({"content": word}))
        last: ChunkChoice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        usage = _usage(request, said)
        if (request.get("stream_options") or {}).get("include_usage"):
            yield chunk(last)
            yield {**chunk(), "usage": usage}
        else:
            yield {**chunk(last), "usage": usage}


def _id() -> str:
    return f"chatcmpl-{uuid4().hex}"


def _choice(delta: Delta) -> ChunkChoice:
    return {"index": 0, "delta": delta, "finish_reason": None}


def _words(said: str) -> list[str]:
    """The text in pieces that add up to it: each word with the blank behind it."""
    words = said.split(" ")
    return [f"{word} " for word in words[:-1]] + words[-1:]


def _heard(request: ChatRequest) -> str:
    """The text of the last user message."""
    for message in reversed(request.get("messages") or ()):
        if message.get("role") == "user":
            return _text(message.get("content")) or SILENCE
    return SILENCE


def _text(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))


def _usage(request: ChatRequest, said: str) -> Usage:
    sent, given = estimated_tokens(request.get("messages")), estimated_tokens(said)
    return {"prompt_tokens": sent, "completion_tokens": given, "total_tokens": sent + given}
