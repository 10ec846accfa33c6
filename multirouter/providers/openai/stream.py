"""Reads a stream in OpenAI's format. Each event is parsed once and passed on unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from multirouter.core.chat.completions import ERROR_FINISH_REASONS
from multirouter.providers.answer_checks import check_choice
from multirouter.providers.calls.names import ToolNames, restore_names
from multirouter.providers.canonical import ChatCompletionChunk
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.json_bytes import loads
from multirouter.providers.transport.sse import Event


class OpenAITranslator:
    """Reads one stream in OpenAI's format.

    It is complete when every choice has a finish reason. `[DONE]` alone is no sign of completeness:
    proxies send it after streams that broke off behind them. Servers that ignore `n` send fewer
    choices than were requested; with `[DONE]`, all choices that began are enough. Usage that the
    consumer did not request is added to the chunk with the last finish reason, because many
    consumers read `choices[0]` of every chunk.

    Args:
        errors: makes the provider's errors.
        choices: how many answers were requested (`n`).
        names: the names of tools at the service.
        include_usage: whether the consumer wants the usage in a chunk of its own.
    """

    def __init__(
        self,
        errors: ErrorFactory,
        *,
        choices: int,
        include_usage: bool,
        names: ToolNames | None = None,
    ) -> None:
        self.complete: bool = False
        self.ended: bool = False
        self._errors = errors
        self._unfinished = choices
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._include_usage = include_usage
        self._names = names or None
        self._held: Any = None

    def feed(self, event: Event) -> Iterable[ChatCompletionChunk]:
        """See `Translator.feed`."""
        data = event.data
        if data.startswith(b"[DONE]"):
            self.ended = True
            self.complete = self.complete or self._begun == self._finished != set()
            return ()
        try:
            chunk = loads(data)
        except (ValueError, RecursionError):
            raise self._errors.invalid_chunk(data) from None
        if not isinstance(chunk, dict):
            raise self._errors.invalid_chunk(data)
        choices = chunk.get("choices")
        if not choices:
            return self._without_choices(chunk)
        if chunk.get("error"):
            raise self._errors.reported(chunk, {})
        finishes = self._finishes(choices, data)
        if self._names is not None:
            restore_names(chunk, self._names)
        if not finishes:
            return self._release(chunk)
        held, self._held = self._held, chunk
        return () if held is None else (held,)

    def finish(self) -> Iterable[ChatCompletionChunk]:
        """See `Translator.finish`."""
        held, self._held = self._held, None
        return () if held is None else (held,)

    def _release(self, chunk: Any) -> Iterable[ChatCompletionChunk]:
        """Returns the chunk that was held back, if any, and this one."""
        held, self._held = self._held, None
        return (chunk,) if held is None else (held, chunk)

    def _finishes(self, choices: Any, data: bytes) -> bool:
        """Whether a choice ends in this chunk. Updates `complete`."""
        ends = False
        try:
            for choice in choices:
                check_choice(choice, "delta")
                index = choice.get("index", 0)
                self._begun.add(index)
                reason = choice.get("finish_reason")
                if reason:
                    check_finish_reason(reason, self._errors)
                    ends = True
                    self._finished.add(index)
        except TypeError:
            raise self._errors.invalid_chunk(data) from None
        if ends:
            self.complete = len(self._finished) >= self._unfinished
        return ends

    def _without_choices(self, chunk: Any) -> Iterable[ChatCompletionChunk]:
        """Handles an error, the usage, or a chunk of the provider's own (Azure's prompt filter)."""
        if chunk.get("error"):
            raise self._errors.reported(chunk, {})
        usage = chunk.get("usage")
        if self._include_usage and usage:
            return self._release(chunk)
        if usage and self._held is not None:
            self._held["usage"] = usage
        return ()


def check_finish_reason(reason: Any, errors: ErrorFactory) -> None:
    """Raises for a finish reason that reports a failure of the provider.

    Raises:
        ProviderError: of kind `server`, with the reason as its code.
    """
    if reason in ERROR_FINISH_REASONS:
        raise errors.generation_failed(
            f"the answer is incomplete: finish_reason is {reason!r}", code=reason
        )
