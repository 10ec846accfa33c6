"""How to read the chunks of a stream, chosen by its first chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from multirouter.core.chat import completions as chat
from multirouter.core.chat.sdk_chunks import Dialect, dialect_of
from multirouter.errors import UsageError

ReadT = TypeVar("ReadT")


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


def read_as(chunk: Any, request: Any) -> Reader:
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
