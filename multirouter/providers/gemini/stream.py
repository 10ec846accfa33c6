"""Reads a stream of Gemini's answers into canonical chunks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from multirouter.providers.canonical import ChatCompletionChunk, Delta
from multirouter.providers.chunks import ChunkMaker
from multirouter.providers.failures import Failures
from multirouter.providers.gemini.content import signed
from multirouter.providers.gemini.response import (
    CallIds,
    Pieces,
    blocked_by,
    finish_of,
    logprobs_from,
    usage_from,
)
from multirouter.providers.json_bytes import loads
from multirouter.providers.sse import Event


class _Candidate:
    """How far one of the answers has come."""

    __slots__ = ("begun", "calls", "useful")

    def __init__(self) -> None:
        self.begun = False
        self.calls = 0
        self.useful = False


class GeminiTranslator:
    """One stream. Whole is what has a finish reason for every candidate; it ends by its EOF.

    Args:
        failures: makes the provider's errors.
        created: seconds since 1970.
        model: who was asked, where the answer does not say.
        candidates: how many answers were asked for (`n`).
        usage_asked: whether the consumer wants the usage chunk.
    """

    def __init__(
        self, failures: Failures, created: int, model: str, *, candidates: int, usage_asked: bool
    ) -> None:
        self.complete: bool = False
        self.ended = False
        self._failures = failures
        self._make = ChunkMaker(created, usage_asked=usage_asked)
        self._make.model = model
        self._unfinished = candidates
        self._candidates: dict[int, _Candidate] = {}
        self._finished: dict[int, ChatCompletionChunk] = {}
        self._counts: dict[str, Any] = {}
        self._mint: CallIds | None = None

    def feed(self, event: Event) -> Iterable[ChatCompletionChunk]:
        """See `Translator.feed`."""
        try:
            data = loads(event.data)
            if isinstance(data, list) or data.get("error"):
                raise self._failures.told(data, {})
            return self._read(data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._failures.broken_chunk(event.data) from None

    def finish(self) -> Iterable[ChatCompletionChunk]:
        """See `Translator.finish`."""
        *others, last = self._finished.values()
        usage = usage_from(self._counts) if self._counts else None
        return (*others, *self._make.with_usage(last, usage))

    def _read(self, data: dict[str, Any]) -> list[ChatCompletionChunk]:
        if self._mint is None:
            response_id = data.get("responseId") or f"gemini-{uuid.uuid4().hex}"
            self._make.id = response_id
            self._make.model = data.get("modelVersion") or self._make.model
            self._mint = CallIds(response_id)
        self._counts = data.get("usageMetadata") or self._counts  # cumulative: the last counts
        candidates = data.get("candidates") or ()
        if not candidates and not self._candidates and data.get("promptFeedback"):
            return self._block(blocked_by(data, self._failures))
        return [chunk for candidate in candidates for chunk in self._candidate(candidate)]

    def _block(self, why: str) -> list[ChatCompletionChunk]:
        self._finished[0] = self._make.chunk(
            {"role": "assistant", "content": "", "refusal": why}, "content_filter"
        )
        self.complete = True
        return []

    def _candidate(self, candidate: dict[str, Any]) -> Iterable[ChatCompletionChunk]:
        index = candidate.get("index") or 0
        state = self._candidates.setdefault(index, _Candidate())
        pieces = Pieces(candidate, self._mint or CallIds(""))
        for delta in _deltas(pieces, state):
            yield self._make.chunk(delta, index=index, logprobs=logprobs_from(candidate))
        reason = candidate.get("finishReason")
        if reason:
            finish = finish_of(
                reason,
                called=state.calls > 0,
                useful=state.useful,
                failures=self._failures,
                message=candidate.get("finishMessage"),
            )
            self._finished[index] = self._make.chunk({}, finish, index=index)
            self.complete = len(self._finished) >= self._unfinished


def _deltas(pieces: Pieces, state: _Candidate) -> Iterable[Delta]:
    """A chunk's pieces as deltas: the role first, then at most one with all that came."""
    if not state.begun:
        state.begun = True
        yield {"role": "assistant", "content": None if pieces.calls else ""}
    delta: Delta = {}
    if pieces.thoughts:
        delta["reasoning_content"] = pieces.thoughts
    if pieces.text:
        delta["content"] = pieces.text
    if pieces.calls:
        delta["tool_calls"] = [
            {"index": state.calls + place, **call} for place, call in enumerate(pieces.calls)
        ]
        state.calls += len(pieces.calls)
    if pieces.signature:
        delta["extra_content"] = signed(pieces.signature)
    state.useful = state.useful or bool(pieces.text or pieces.calls)
    if delta:
        yield delta
