"""How a broken stream goes on at another provider: by a prefill, by matching, by instruction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from multirouter.core.chat import completions as chat
from multirouter.core.chat.chunk_reader import Reader
from multirouter.core.events import ContinuationMode
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.stream_policy import StreamPolicy, guarded_hook

PREFILL = "prefill"
"""The capability of a provider whose model goes on from a trailing assistant message."""


class Diverged(Exception):
    """A stream that was asked anew says something else than what was delivered."""


class Matcher:
    """Holds what a provider says against a text that was delivered, and lets the rest through.

    Args:
        text: what was delivered.
        lenient: whether who says something else at once is simply let through.
    """

    __slots__ = ("_at", "_lenient", "_text")

    def __init__(self, text: str, *, lenient: bool = False) -> None:
        self._text = text
        self._lenient = lenient
        self._at = 0

    @property
    def done(self) -> bool:
        """Whether all that was delivered was said again."""
        return self._at == len(self._text)

    def rest_of(self, chunk: Any, reader: Reader, *, last: bool) -> Iterable[Any]:
        """What of a chunk is new; nothing while it only repeats.

        Args:
            chunk: the chunk.
            reader: how it is read.
            last: whether it proves the answer whole.

        Raises:
            Diverged: when it says something else, or ends before it has said as much.
        """
        if self.done:
            return (chunk,)
        said = reader.text(chunk)
        # Beside a repeated text there may be a tool call: that is new, and is not held back.
        if self._text.startswith(said, self._at) and not reader.goes_beyond_text(chunk):
            self._at += len(said)
            return self._end_with(chunk, said, reader) if last else ()
        left = self._text[self._at :]
        if said.startswith(left) and reader.cut is not None:
            self._at = len(self._text)
            return (reader.cut(chunk, said[len(left) :]),)
        if not self._lenient:
            raise Diverged
        self._at = len(self._text)
        return (chunk,)

    def _end_with(self, chunk: Any, said: str, reader: Reader) -> Iterable[Any]:
        """The last chunk of an answer: its finish reason is new, though its text is not."""
        if not (self.done or self._lenient):
            raise Diverged
        self._at = len(self._text)
        return (chunk if not said or reader.cut is None else reader.cut(chunk, ""),)


@dataclass(frozen=True, slots=True)
class Approach:
    """One way to ask a provider for a stream.

    Attributes:
        request: what to send.
        how: how that goes on from what was delivered; None asks for the answer from its beginning.
        matcher: what holds the answer against what was delivered; None lets all of it through.
    """

    request: Any
    how: ContinuationMode | None = None
    matcher: Matcher | None = None


class Delivered:
    """What the consumer has of an answer, and how somebody else can go on from there.

    Attributes:
        request: the call's request.
        chunks: how many chunks were delivered.
        broken: whether the stream was broken and goes on: requests are rewritten from then on.
    """

    __slots__ = ("_beyond", "_keeps", "_parts", "_policy", "broken", "chunks", "request")

    def __init__(self, policy: StreamPolicy, request: Any) -> None:
        self._policy = policy
        self._keeps = policy.on_interrupt == "continue"
        self._parts: list[str] = []
        several = chat.is_request(request) and chat.choices_of(request) > 1
        self._beyond = self._keeps and several
        self.request: Any = request
        self.chunks: int = 0
        self.broken: bool = False

    @property
    def text(self) -> str:
        """The text that was delivered; "" unless the policy says `continue`."""
        return "".join(self._parts)

    def note(self, chunk: Any, reader: Reader) -> None:
        """Notes a chunk that is being delivered."""
        self.chunks += 1
        if self._keeps:
            self._parts.append(reader.text(chunk))
            self._beyond = self._beyond or reader.goes_beyond_text(chunk)

    @property
    def bar(self) -> str:
        """Why nobody can go on from what was delivered, in words; "" when somebody can."""
        if self._policy.on_interrupt == "raise":
            return "StreamPolicy.on_interrupt is 'raise'"
        if self._beyond:
            return (
                "what was delivered is more than the text of one answer (a tool call, a refusal, "
                "another choice, or chunks that need StreamPolicy.text=)"
            )
        return ""

    def approaches(self, member: Candidate) -> Iterator[Approach]:
        """The ways to ask `member`, the best first; the next is for when it was in vain."""
        if not (self.broken and self._keeps):
            yield Approach(self.request)
            return
        text, policy, request = self.text, self._policy, self.request
        chatty = chat.is_request(request)
        if policy.resume is not None and text:
            yield Approach(guarded_hook("resume", policy.resume)(request, text), "resume")
            return
        if chatty and text.strip() and PREFILL in member.provider.capabilities:
            yield _prefill(request, text)
        yield Approach(request, "match", Matcher(text))
        if chatty and policy.on_divergence == "instruct":
            yield Approach(chat.instructed(request, text), "instruct")


def _prefill(request: Any, text: str) -> Approach:
    """White space at the end is left out, since Anthropic refuses it, and what repeats it is cut.

    Source: Anthropic's error 400 "final assistant content cannot end with trailing whitespace".
    """
    begun = text.rstrip()
    return Approach(
        chat.prefilled(request, begun), "prefill", Matcher(text[len(begun) :], lenient=True)
    )
