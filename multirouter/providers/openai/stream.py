"""Reads an OpenAI stream: each event is parsed once and passed on as it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from multirouter.core.chat.completions import BROKEN_OFF
from multirouter.providers.canonical import ChatCompletionChunk
from multirouter.providers.failures import Failures
from multirouter.providers.json_bytes import loads
from multirouter.providers.openai.answer_checks import check_choice
from multirouter.providers.sse import Event


class OpenAITranslator:
    """One stream in OpenAI's format.

    Whole is what has a finish reason for every choice. `[DONE]` proves nothing: proxies are known
    to send it after a stream that broke off behind them. Usage that nobody asked for comes with
    the last finish reason instead of a chunk of its own, because many consumers read `choices[0]`
    of every chunk.

    Args:
        failures: makes the provider's errors.
        choices: how many answers were asked for (`n`).
        usage_asked: whether the consumer wants the usage chunk.
    """

    def __init__(self, failures: Failures, *, choices: int, usage_asked: bool) -> None:
        self.complete: bool = False
        self.ended: bool = False
        self._failures = failures
        self._unfinished = choices
        self._finished: set[int] = set()
        self._usage_asked = usage_asked
        self._held: Any = None

    def feed(self, event: Event) -> Iterable[ChatCompletionChunk]:
        """See `Translator.feed`."""
        data = event.data
        if data.startswith(b"[DONE]"):
            self.ended = True
            return ()
        try:
            chunk = loads(data)
        except (ValueError, RecursionError):
            raise self._failures.broken_chunk(data) from None
        if not isinstance(chunk, dict):
            raise self._failures.broken_chunk(data)
        choices = chunk.get("choices")
        if not choices:
            return self._without_choices(chunk)
        if chunk.get("error"):
            raise self._failures.told(chunk, {})
        if not self._finishes(choices, data):
            return self._passed(chunk) if self._held is None else self._released(chunk)
        hold_changed, self._held = self._held, chunk
        return () if hold_changed is None else (hold_changed,)

    def finish(self) -> Iterable[ChatCompletionChunk]:
        """See `Translator.finish`."""
        hold_changed, self._held = self._held, None
        return () if hold_changed is None else (hold_changed,)

    @staticmethod
    def _passed(chunk: Any) -> Iterable[ChatCompletionChunk]:
        return (chunk,)

    def _released(self, chunk: Any) -> Iterable[ChatCompletionChunk]:
        hold_changed, self._held = self._held, None
        return (hold_changed, chunk)

    def _finishes(self, choices: Any, data: bytes) -> bool:
        """Whether a choice ends here, and with it perhaps the answer."""
        ends = False
        try:
            for choice in choices:
                check_choice(choice, "delta")
                reason = choice.get("finish_reason")
                if reason:
                    must_finish(reason, self._failures)
                    ends = True
                    self._finished.add(choice.get("index", 0))
        except TypeError:
            raise self._failures.broken_chunk(data) from None
        if ends:
            self.complete = len(self._finished) >= self._unfinished
        return ends

    def _without_choices(self, chunk: Any) -> Iterable[ChatCompletionChunk]:
        """An error, the usage, or something of the provider's own (Azure's prompt filter)."""
        if chunk.get("error"):
            raise self._failures.told(chunk, {})
        usage = chunk.get("usage")
        if self._usage_asked and usage:
            return self._released(chunk) if self._held is not None else (chunk,)
        if usage and self._held is not None:
            self._held["usage"] = usage
        return ()


def must_finish(reason: Any, failures: Failures) -> None:
    """Refuses a finish reason that tells of a failure.

    Raises:
        ProviderError: of kind `server`; the reason is its code.
    """
    if reason in BROKEN_OFF:
        raise failures.failed("the answer broke off", code=reason)
