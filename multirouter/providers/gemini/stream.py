"""Translates a stream of Gemini to canonical chunks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from multirouter.providers.calls.names import ToolNames, restore_names
from multirouter.providers.canonical import ChatCompletionChunk, Delta
from multirouter.providers.chunks import ChunkMaker
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.gemini.conversation import signature_extra
from multirouter.providers.gemini.response import (
    BLOCKED,
    CallIds,
    CandidateContent,
    block_reason,
    finish_reason,
    logprobs_from,
    usage_from,
)
from multirouter.providers.json_bytes import loads
from multirouter.providers.transport.sse import Event


class _Candidate:
    """Progress of one candidate."""

    __slots__ = ("calls", "has_output", "started")

    def __init__(self) -> None:
        self.started = False
        self.calls = 0
        self.has_output = False


class GeminiTranslator:
    """Translates one stream. It is complete when every candidate has a finish reason; EOF ends it.

    Args:
        errors: makes the provider's errors.
        created: seconds since 1970.
        model: the model's name, for a response without one.
        candidates: how many answers were requested (`n`).
        include_usage: whether the consumer wants the usage in a chunk of its own.
        names: the names of tools at the service.
    """

    def __init__(
        self,
        errors: ErrorFactory,
        created: int,
        model: str,
        *,
        candidates: int,
        include_usage: bool,
        names: ToolNames | None = None,
    ) -> None:
        self.complete: bool = False
        self.ended = False
        self._errors = errors
        self._make = ChunkMaker(created, include_usage=include_usage)
        self._make.model = model
        self._unfinished = candidates
        self._names = names or None
        self._candidates: dict[int, _Candidate] = {}
        self._finished: dict[int, ChatCompletionChunk] = {}
        self._counts: dict[str, Any] = {}
        self._call_ids: CallIds | None = None

    def feed(self, event: Event) -> Iterable[ChatCompletionChunk]:
        """See `Translator.feed`."""
        try:
            data = loads(event.data)
            if isinstance(data, list) or data.get("error"):
                raise self._errors.reported(data, {})
            return self._read(data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._errors.invalid_chunk(event.data) from None

    def finish(self) -> Iterable[ChatCompletionChunk]:
        """See `Translator.finish`."""
        *others, last = self._finished.values()
        usage = usage_from(self._counts) if self._counts else None
        return (*others, *self._make.with_usage(last, usage))

    def _read(self, data: dict[str, Any]) -> list[ChatCompletionChunk]:
        if self._call_ids is None:
            response_id = data.get("responseId") or f"gemini-{uuid.uuid4().hex}"
            self._make.id = response_id
            self._make.model = data.get("modelVersion") or self._make.model
            self._call_ids = CallIds(response_id)
        self._counts = data.get("usageMetadata") or self._counts  # cumulative, so the last one wins
        candidates = data.get("candidates") or ()
        if not candidates and not self._candidates and data.get("promptFeedback"):
            return self._block(block_reason(data, self._errors))
        return [chunk for candidate in candidates for chunk in self._candidate(candidate)]

    def _block(self, why: str) -> list[ChatCompletionChunk]:
        self._finished[0] = self._make.chunk(
            {"role": "assistant", "content": "", "refusal": why},
            "content_filter",
            native_reason=BLOCKED,
        )
        self.complete = True
        return []

    def _candidate(self, candidate: dict[str, Any]) -> Iterable[ChatCompletionChunk]:
        index = candidate.get("index") or 0
        state = self._candidates.setdefault(index, _Candidate())
        content = CandidateContent(candidate, self._call_ids or CallIds(""))
        for delta in _deltas(content, state):
            chunk = self._make.chunk(delta, index=index, logprobs=logprobs_from(candidate))
            if self._names is not None:
                restore_names(chunk, self._names)
            yield chunk
        reason = candidate.get("finishReason")
        if reason:
            finish = finish_reason(
                reason,
                called=state.calls > 0,
                has_output=state.has_output,
                errors=self._errors,
                message=candidate.get("finishMessage"),
            )
            self._finished[index] = self._make.chunk({}, finish, index=index, native_reason=reason)
            self.complete = len(self._finished) >= self._unfinished


def _deltas(content: CandidateContent, state: _Candidate) -> Iterable[Delta]:
    """Returns an event's parts as deltas: the role first, then at most one with everything else."""
    if not state.started:
        state.started = True
        yield {"role": "assistant", "content": None if content.calls else ""}
    delta: Delta = {}
    if content.thoughts:
        delta["reasoning_content"] = content.thoughts
    if content.text:
        delta["content"] = content.text
    if content.calls:
        delta["tool_calls"] = [
            {"index": state.calls + place, **call} for place, call in enumerate(content.calls)
        ]
        state.calls += len(content.calls)
    if content.signature:
        delta["extra_content"] = signature_extra(content.signature)
    if content.other:
        delta["other_content"] = content.other
    state.has_output = state.has_output or bool(content.text or content.calls or content.other)
    if delta:
        yield delta
