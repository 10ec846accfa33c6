"""Builds canonical chunks and usage for formats other than OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.providers.canonical import ChatCompletionChunk, Delta, FinishReason, Usage


class ChunkMaker:
    """Makes the chunks of one stream; all have the same id, time and model.

    Args:
        created: seconds since 1970.
        include_usage: whether the consumer wants the usage in a chunk of its own, without choices.
    """

    __slots__ = ("_created", "_include_usage", "id", "model")

    def __init__(self, created: int, *, include_usage: bool) -> None:
        self.id: str = ""
        self.model: str = ""
        self._created = created
        self._include_usage = include_usage

    def chunk(
        self,
        delta: Delta,
        finish_reason: FinishReason | None = None,
        *,
        index: int = 0,
        logprobs: dict[str, Any] | None = None,
        native_reason: str = "",
    ) -> ChatCompletionChunk:
        """Returns a chunk with one choice.

        Args:
            delta: what the chunk adds.
            finish_reason: why the choice ended; None until its last chunk.
            index: the index of the choice.
            logprobs: log probabilities of its tokens.
            native_reason: what the service calls the reason, for one that has several names.
        """
        choice: Any = {"index": index, "delta": delta, "finish_reason": finish_reason}
        if native_reason and finish_reason == "content_filter":
            choice["native_finish_reason"] = native_reason
        if logprobs is not None:
            choice["logprobs"] = logprobs
        return self._chunk([choice])

    def with_usage(
        self, last: ChatCompletionChunk, usage: Usage | None
    ) -> list[ChatCompletionChunk]:
        """Returns the last chunks of a stream.

        The usage is in `last`, or in a chunk after it with `include_usage`.
        """
        if usage is None:
            return [last]
        if not self._include_usage:
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


def nested_counts(counts: object, name: str) -> Any:
    """Counts inside of others, of any type; None where there are none."""
    return counts.get(name) if isinstance(counts, Mapping) else None


def token_count(counts: object, name: str) -> int:
    """A count of tokens that a service reports; 0 where it is missing or no count."""
    value = nested_counts(counts, name)
    if isinstance(value, int | float) and 0 <= value < _MAX_COUNT:  # which NaN is not
        return int(value)
    return 0


_MAX_COUNT = 2**53
"""A larger number is no count of tokens."""


def usage(*, prompt: int, completion: int, cached: int, written: int, reasoning: int) -> Usage:
    """Builds usage as OpenAI counts it: the detail counts are included in the totals."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
