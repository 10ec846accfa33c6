"""Continuation of a broken stream on another provider: by prefill, by matching, by instruction."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from multirouter.core.chat import completions as chat
from multirouter.core.chat.chunk_reader import ChunkReader
from multirouter.core.events import ContinuationMode
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.stream_policy import StreamPolicy, guarded_hook

PREFILL = "prefill"
"""Capability of a provider whose model continues a trailing assistant message."""

HELD = object()
"""Instead of a chunk that is kept back."""


@dataclass(frozen=True, slots=True)
class StreamRestarted:
    """Marker in a stream where the answer restarts from its beginning (`on_interrupt="restart"`).

    Attributes:
        provider: name of the provider that serves from here on.
        chunks: how many chunks were delivered before; they are void.
    """

    provider: str
    chunks: int


class Diverged(Exception):
    """A repeated answer differs from the text that was delivered."""


class Matcher:
    """Compares a stream with the text that was delivered, and passes on only what follows it.

    Args:
        text: the delivered text.
        lenient: whether a stream that differs is passed on as it is, instead of raising Diverged.
    """

    __slots__ = ("_at", "_lenient", "_text")

    def __init__(self, text: str, *, lenient: bool = False) -> None:
        self._text = text
        self._lenient = lenient
        self._at = 0

    @property
    def done(self) -> bool:
        """Whether the stream has repeated the whole delivered text."""
        return self._at == len(self._text)

    def new_part(self, chunk: Any, reader: ChunkReader, *, last: bool) -> Iterable[Any]:
        """The new part of a chunk as zero or one chunks; none while it only repeats.

        Args:
            chunk: the chunk.
            reader: reads chunks of its format.
            last: whether it proves that the answer is complete.

        Raises:
            Diverged: when the text differs, or the answer ends before it repeated everything.
        """
        if self.done:
            return (chunk,)
        chunk_text = reader.text(chunk)
        # A chunk may hold a tool call beside repeated text: that is new and is not held back.
        if self._text.startswith(chunk_text, self._at) and not reader.has_non_text_content(chunk):
            self._at += len(chunk_text)
            return self._end_with(chunk, chunk_text, reader) if last else ()
        left = self._text[self._at :]
        if chunk_text.startswith(left) and reader.replace_text is not None:
            self._at = len(self._text)
            return (reader.replace_text(chunk, chunk_text[len(left) :]),)
        if not self._lenient:
            raise Diverged
        self._at = len(self._text)
        return (chunk,)

    def _end_with(self, chunk: Any, chunk_text: str, reader: ChunkReader) -> Iterable[Any]:
        """The last chunk of an answer without its repeated text: its finish reason is new."""
        if not (self.done or self._lenient):
            raise Diverged
        self._at = len(self._text)
        return (
            chunk
            if not chunk_text or reader.replace_text is None
            else reader.replace_text(chunk, ""),
        )


@dataclass(frozen=True, slots=True)
class Approach:
    """One way to request a stream from a provider.

    Attributes:
        request: the request to send.
        mode: how it continues what was delivered; None requests the answer from its beginning.
        matcher: compares the answer with what was delivered; None passes on all of it.
    """

    request: Any
    mode: ContinuationMode | None = None
    matcher: Matcher | None = None


class Delivered:
    """The part of an answer that was delivered to the consumer, and the ways to continue it.

    Attributes:
        chunks: how many chunks were delivered.
        interrupted: whether a stream broke: later requests continue what was delivered.
        hold: whether a chunk is kept back until the answer is complete, with all behind it; None
            keeps back none.
        held: the chunks that are kept back.
    """

    __slots__ = (
        "_keep_text",
        "_more_than_text",
        "_parts",
        "_policy",
        "chunks",
        "held",
        "hold",
        "interrupted",
    )

    def __init__(self, policy: StreamPolicy, request: Any) -> None:
        self._policy = policy
        self._keep_text = policy.on_interrupt == "continue"
        self._parts: list[str] = []
        several = chat.is_request(request) and chat.choice_count(request) > 1
        self._more_than_text = self._keep_text and several
        self.chunks: int = 0
        self.held: deque[Any] = deque()
        self.interrupted: bool = False
        self.hold: Callable[[Any], bool] | None = None

    @property
    def text(self) -> str:
        """The delivered text; "" unless the policy is `on_interrupt="continue"`."""
        return "".join(self._parts)

    def note(self, chunk: Any, reader: ChunkReader) -> Any:
        """Records a chunk that is being delivered, and returns it; HELD if it is kept back."""
        if self.hold is not None and (self.held or self.hold(chunk)):
            self.held.append(chunk)
            return HELD
        self.chunks += 1
        if self._keep_text:
            self._parts.append(reader.text(chunk))
            self._more_than_text = self._more_than_text or reader.has_non_text_content(chunk)
        return chunk

    def interrupt(self) -> None:
        """Notes that a stream broke; what was kept back of it is void."""
        self.interrupted = True
        self.held.clear()

    @property
    def obstacle(self) -> str:
        """Why the delivered part cannot be continued, as text; "" when it can."""
        if self._policy.on_interrupt == "raise":
            return "StreamPolicy.on_interrupt is 'raise'"
        if self._more_than_text:
            return (
                "the delivered chunks hold more than the text of one answer (a tool call, a "
                "refusal, another choice, or chunks that need StreamPolicy.text=)"
            )
        return ""

    def approaches(self, member: Candidate, request: Any) -> Iterator[Approach]:
        """The ways to request the stream from `member`, the best first.

        An answer of a given form, such as JSON, is only matched: a model that is to go on may begin
        it anew, and the two parts together would be no such answer.
        """
        if not (self.interrupted and self._keep_text):
            yield Approach(request)
            return
        text, policy = self.text, self._policy
        free_text = chat.is_request(request) and not chat.has_output_format(request)
        if policy.resume is not None and text:
            yield Approach(
                guarded_hook("StreamPolicy.resume", policy.resume)(request, text), "resume"
            )
            return
        if free_text and text.strip() and PREFILL in member.provider.capabilities:
            yield _prefill(request, text)
        yield Approach(request, "match", Matcher(text))
        if free_text and policy.on_divergence == "instruct":
            yield Approach(chat.with_continue_instruction(request, text), "instruct")


def _prefill(request: Any, text: str) -> Approach:
    """A request with the delivered text as prefill, without its trailing white space.

    Anthropic rejects trailing white space; the matcher removes it where the provider repeats it.
    Source: Anthropic's error 400 "final assistant content cannot end with trailing whitespace".
    """
    prefix = text.rstrip()
    return Approach(
        chat.with_prefill(request, prefix), "prefill", Matcher(text[len(prefix) :], lenient=True)
    )
