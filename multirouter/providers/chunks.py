"""Makes canonical chunks and usage for formats that have others."""

from __future__ import annotations

from typing import Any

from multirouter.providers.canonical import ChatCompletionChunk, Delta, FinishReason, Usage


class ChunkMaker:
    """Makes the chunks of one stream: the same id, time and model in each.

    Args:
        created: seconds since 1970.
        usage_asked: whether the consumer wants usage as a chunk of its own, without choices.
    """

    __slots__ = ("_created", "_usage_asked", "id", "model")

    def __init__(self, created: int, *, usage_asked: bool) -> None:
        self.id: str = ""
        self.model: str = ""
        self._created = created
        self._usage_asked = usage_asked

    def chunk(
        self,
        delta: Delta,
        finish_reason: FinishReason | None = None,
        *,
        index: int = 0,
        logprobs: dict[str, Any] | None = None,
    ) -> ChatCompletionChunk:
        """One chunk with one choice."""
        choice: Any = {"index": index, "delta": delta, "finish_reason": finish_reason}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        return self._chunk([choice])

    def with_usage(
        self, last: ChatCompletionChunk, usage: Usage | None
    ) -> list[ChatCompletionChunk]:
        """The stream's end: usage in the last chunk, or after it when it was asked for."""
        if usage is None:
            return [last]
        if not self._usage_asked:
            last["usage"] = usage
            return [last]
        end = self._chunk([])
        end["usage"] = usage
        return [last, end]

    def _chunk(self, choices: list[Any]) -> ChatCompletionChunk:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
            "choices": choices,
        }


def usage(*, prompt: int, completion: int, cached: int, written: int, reasoning: int) -> Usage:
    """Usage as OpenAI counts it: the details are parts of the sums."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
