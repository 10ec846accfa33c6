"""The knobs of streams: limits of time, what counts as content and as the end, and what then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from multirouter.core import validation as check
from multirouter.core.chat import completions as chat
from multirouter.core.chat.sdk_chunks import Dialect, dialect_of
from multirouter.errors import ConfigurationError, UsageError

OnInterrupt = Literal["raise", "continue", "restart"]
INTERRUPTS: tuple[OnInterrupt, ...] = ("raise", "continue", "restart")

ReadT = TypeVar("ReadT")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPolicy:
    """How long a stream may take, how it must end, and what happens when it breaks.

    Attributes:
        first_token: seconds from an attempt's start to its first content. Left out, the
            `attempt_timeout`. Like it, it is a ceiling: what the provider's own past says
            (`PacePolicy`) may cut earlier. Reasoning models may think for minutes: set it there.
        idle: seconds that the next chunk may be waited for; `math.inf` for no limit. What a slow
            consumer takes between two chunks does not count.
        total: seconds from the first content to the end, the consumer's own time included;
            `math.inf` for no limit.
        min_rate: characters a second, thinking and tool calls included, at least; None for no
            floor. Chunks that nobody can read, without a `text=` of yours, have none.
        rate_window: seconds of waiting for the provider over which `min_rate` is measured.
        on_interrupt: what happens when a stream breaks after content was delivered. `raise`:
            StreamInterrupted. `continue`: another provider goes on where it broke; the text is
            kept for that. `restart`: the consumer gets a `Restarted` and the answer begins anew.
        on_divergence: when a continuation has to be matched and says something else: `instruct`
            asks that provider to go on from the text so far, `raise` gives up.
        content: whether a chunk brings something of the answer. Left out: chat chunks by their
            deltas, strings and bytes when not empty, anything else always. Chat chunks are
            OpenAI's, Anthropic's and Gemini's, as plain data or as objects of the SDKs.
        text: the text of a chunk. Left out: that of chat chunks and strings, else "".
        complete: whether a chunk proves that the answer is whole. Left out: the finish reasons of
            chat chunks; for other chunks the stream's clean end must do. What goes wrong after
            the proof harms nobody: the stream ends there.
        resume: builds the request that goes on from (request, text so far). Left out: for chat
            requests a prefill where the provider has the capability `prefill`; else, or when it
            refuses that, the request is sent again and matched.

    A hook that raises ends the stream with a UsageError that names it; no provider is blamed.
    """

    first_token: float | None = None
    idle: float = 30.0
    total: float = float("inf")
    min_rate: float | None = None
    rate_window: float = 10.0
    on_interrupt: OnInterrupt = "raise"
    on_divergence: Literal["instruct", "raise"] = "instruct"
    content: Callable[[Any], bool] | None = None
    text: Callable[[Any], str] | None = None
    complete: Callable[[Any], bool] | None = None
    resume: Callable[[Any, str], Any] | None = None

    def __post_init__(self) -> None:
        if self.first_token is not None:
            check.span("StreamPolicy.first_token", self.first_token, endless=True)
        check.span("StreamPolicy.idle", self.idle, endless=True)
        check.span("StreamPolicy.total", self.total, endless=True)
        if self.min_rate is not None:
            check.number("StreamPolicy.min_rate", self.min_rate, above=0.0)
        check.span("StreamPolicy.rate_window", self.rate_window)
        if self.on_interrupt not in INTERRUPTS:
            near = check.near(str(self.on_interrupt), INTERRUPTS)
            raise ConfigurationError("StreamPolicy.on_interrupt", f"unknown {near}")
        if self.on_divergence not in {"instruct", "raise"}:
            near = check.near(str(self.on_divergence), ("instruct", "raise"))
            raise ConfigurationError("StreamPolicy.on_divergence", f"unknown {near}")

    def reader(self, chunk: Any, request: Any = None) -> Reader:
        """How to read a stream, judged by its first chunk: one look for all the others.

        Args:
            chunk: the stream's first chunk.
            request: what it answers; `n` of a chat request says how many answers must end.
        """
        read = _read_as(chunk, request)
        content, text, complete = self.content, self.text, self.complete
        if content is not None:
            read = read._replace(content=guarded_hook("content", content))
        if text is not None:
            text = _textual(guarded_hook("text", text))
            read = read._replace(text=text, size=_length_by(text), cut=None)
        if complete is not None:
            read = read._replace(proves_end=guarded_hook("complete", complete))
        return read


class Reader(NamedTuple):
    """What to make of the chunks of one stream.

    Attributes:
        content: whether a chunk brings something of the answer.
        text: a chunk's text.
        size: the characters it brings, thinking and tool calls included (for bytes: bytes); None
            when nobody can say.
        proves_end: whether a chunk proves the answer whole; None when only a clean end can. Raises
            BrokenOff for a chunk by which the service says that it failed to finish.
        cut: makes the same chunk with another text; None when that is impossible.
        as_chat: a chunk as a chat chunk; None for what is no chat.
        going_on: a chunk with which somebody goes on with an answer that another one has begun.
    """

    content: Callable[[Any], Any]
    text: Callable[[Any], str]
    size: Callable[[Any], int] | None
    proves_end: Callable[[Any], Any] | None
    cut: Callable[[Any, str], Any] | None
    as_chat: Callable[[Any], Mapping[str, Any]] | None = None
    going_on: Callable[[Any], Any] = lambda chunk: chunk

    def only_thinks(self, chunk: Any) -> bool:
        """Whether a chunk brings thinking and nothing of the answer itself."""
        return self.as_chat is not None and chat.only_thinks(self.as_chat(chunk))

    def letters(self, chunk: Any) -> int:
        """The characters of a chunk by which its tokens are estimated."""
        if self.as_chat is not None:
            return chat.letters_of(self.as_chat(chunk))
        return len(self.text(chunk))

    def goes_beyond_text(self, chunk: Any) -> bool:
        """Whether a chunk brings something that no text can stand for, so nobody can go on."""
        if self.as_chat is not None:
            return chat.goes_beyond_text(self.as_chat(chunk))
        return bool(self.content(chunk)) and not self.text(chunk)


class Misused(UsageError):
    """The user's own function for a stream is wrong, so no provider is to blame."""


def guarded_hook(name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook of a `StreamPolicy` whose exceptions say which hook it was.

    Args:
        name: the policy's attribute.
        hook: the user's function.
    """

    def guarded(*given: Any) -> Any:
        try:
            return hook(*given)
        except Exception as error:
            raise Misused(f"StreamPolicy.{name} raised {type(error).__name__}: {error}") from error

    return guarded


def _textual(text: Callable[[Any], Any]) -> Callable[[Any], str]:
    def read(chunk: Any) -> str:
        said = text(chunk)
        if not isinstance(said, str):
            raise Misused(f"StreamPolicy.text must return a str, and returned {said!r:.50}")
        return said

    return read


def _length_by(text: Callable[[Any], str]) -> Callable[[Any], int]:
    return lambda chunk: len(text(chunk))


def _read_as(chunk: Any, request: Any) -> Reader:
    """A chat's finish reason proves the end; of several choices, one for each."""
    choices = chat.choices_of(request)
    finished = _whole(chat.is_finished if choices == 1 else chat.Finished(choices))
    if chat.is_chunk(chunk):
        return _CHAT if choices == 1 else _CHAT._replace(proves_end=finished)
    if type(chunk) in _PLAIN:
        return _PLAIN[type(chunk)]
    dialect = dialect_of(chunk)
    return _OPAQUE if dialect is None else _translated(dialect, finished)


class BrokenOff(Exception):
    """A chunk says by its finish reason, the one argument, that the service failed to finish."""


def _whole(finished: Callable[[Mapping[str, Any]], bool]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a chat is whole by the end of its choices, none of which may be a failure's."""

    def proves(chunk: Mapping[str, Any]) -> bool:
        if not chat.is_finished(chunk):
            return False
        reason = chat.broken_off(chunk)
        if reason:
            raise BrokenOff(reason)
        return finished(chunk)

    return proves


def _translated(dialect: Dialect, finished: Callable[[Mapping[str, Any]], bool]) -> Reader:
    """The reader of another format: that of chat chunks, behind a view of each chunk."""
    view = _View(dialect)
    return Reader(
        content=_through(view, chat.has_content),
        text=_through(view, chat.text_of),
        size=_through(view, chat.letters_of),
        proves_end=_through(view, finished),
        cut=dialect.cut,
        as_chat=view,
    )


def _through(view: _View, read: Callable[[Mapping[str, Any]], ReadT]) -> Callable[[Any], ReadT]:
    return lambda chunk: read(view(chunk))


class _View:
    """A dialect's view of one chunk after the other, made once though it is asked for often."""

    __slots__ = ("_as_chat", "_chunk", "_seen")

    def __init__(self, dialect: Dialect) -> None:
        self._as_chat = dialect.as_chat
        self._chunk: Any = None
        self._seen: Mapping[str, Any] = {}

    def __call__(self, chunk: Any) -> Mapping[str, Any]:
        if chunk is not self._chunk:
            self._chunk, self._seen = chunk, self._as_chat(chunk)
        return self._seen


def _itself(chunk: str) -> str:
    return chunk


def _as_it_is(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    return chunk


def _no_text(_: Any) -> str:
    return ""


def _always(_: Any) -> bool:
    return True


def _cut_words(_: str, text: str) -> str:
    return text


_CHAT = Reader(
    content=chat.has_content,
    text=chat.text_of,
    size=chat.letters_of,
    proves_end=_whole(chat.is_finished),
    cut=chat.with_text,
    as_chat=_as_it_is,
    going_on=chat.without_role,
)
_OPAQUE = Reader(content=_always, text=_no_text, size=None, proves_end=None, cut=None)
_PLAIN: dict[type, Reader] = {
    str: _OPAQUE._replace(content=bool, text=_itself, size=len, cut=_cut_words),
    bytes: _OPAQUE._replace(content=bool, size=len),
}
"""How to read strings, and bytes: an empty one brings no content."""
