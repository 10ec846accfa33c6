"""Reader of a stream's chunks, chosen by the first chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from multirouter.core.chat import completions as chat
from multirouter.core.chat.sdk_chunks import ChunkFormat, chunk_format_of
from multirouter.errors import UsageError

ReadT = TypeVar("ReadT")


class ChunkReader(NamedTuple):
    """Functions that read the chunks of one stream.

    Attributes:
        content: whether a chunk contains a part of the answer.
        text: the text of a chunk.
        size: the number of characters in a chunk, including reasoning and tool calls (bytes for
            chunks of bytes); None when it is unknown.
        proves_end: whether a chunk proves the answer complete; None when only the regular end of
            the stream does. Raises FinishedWithError for a chunk whose finish reason is an error.
        replace_text: returns the chunk with another text; None when that is impossible.
        as_chat: returns the chunk as a chat chunk; None when the stream is no chat.
        as_continuation: returns the chunk for the middle of an answer that another stream began.
        may_end: whether the answer is complete if the stream ends regularly now, although no chunk
            proved its end; None for never.
    """

    content: Callable[[Any], Any]
    text: Callable[[Any], str]
    size: Callable[[Any], int] | None
    proves_end: Callable[[Any], Any] | None
    replace_text: Callable[[Any, str], Any] | None
    as_chat: Callable[[Any], Mapping[str, Any]] | None = None
    as_continuation: Callable[[Any], Any] = lambda chunk: chunk
    may_end: Callable[[], bool] | None = None

    def is_reasoning_only(self, chunk: Any) -> bool:
        """Whether a chunk contains reasoning and no part of the answer itself."""
        return self.as_chat is not None and chat.is_reasoning_only(self.as_chat(chunk))

    def characters(self, chunk: Any) -> int:
        """The number of characters in a chunk, for an estimate of its tokens."""
        if self.as_chat is not None:
            return chat.characters_of(self.as_chat(chunk))
        return len(self.text(chunk))

    def has_non_text_content(self, chunk: Any) -> bool:
        """Whether a chunk contains more than text, so that the stream cannot be continued."""
        if self.as_chat is not None:
            return chat.has_non_text_content(self.as_chat(chunk))
        return bool(self.content(chunk)) and not self.text(chunk)


class StreamHookError(UsageError):
    """A user's hook for streams failed; the failure counts against no provider."""


def reader_for(chunk: Any, request: Any) -> ChunkReader:
    """The reader for a stream.

    Args:
        chunk: the first chunk.
        request: the request; `n` of a chat request is the number of choices that must end.
    """
    if type(chunk) in _PLAIN:
        return _PLAIN[type(chunk)]
    chunk_format = None if chat.is_chunk(chunk) else chunk_format_of(chunk)
    if chunk_format is not None:
        reader = _reader_of_format(chunk_format)
    else:
        reader = _CHAT if chat.is_chunk(chunk) else _OPAQUE
    choices = chat.choice_count(request)
    if choices == 1 or reader.as_chat is None:
        return reader
    ends = chat.AllChoicesFinished(choices)
    proves = _after(reader.as_chat, _checked_ends(ends))
    return reader._replace(proves_end=proves, may_end=ends.all_begun)


class FinishedWithError(Exception):
    """The finish reason of a chunk (the only argument) says that the service failed to finish."""


def _checked_end(chunk: Mapping[str, Any]) -> bool:
    """Like `is_finished`, but raises FinishedWithError for an error finish reason."""
    if not chat.is_finished(chunk):
        return False
    reason = chat.error_finish_reason(chunk)
    if reason:
        raise FinishedWithError(reason)
    return True


def _checked_ends(ends: chat.AllChoicesFinished) -> Callable[[Mapping[str, Any]], bool]:
    """The same for several choices, which must all end."""

    def proves(chunk: Mapping[str, Any]) -> bool:
        all_ended = ends(chunk)
        return _checked_end(chunk) and all_ended

    return proves


def _reader_of_format(chunk_format: ChunkFormat) -> ChunkReader:
    """The reader of another format: the reader of chat chunks, applied to a converted chunk."""
    convert = _CachedConverter(chunk_format)
    return ChunkReader(
        content=_after(convert, chat.has_content),
        text=_after(convert, chat.text_of),
        size=_after(convert, chat.characters_of),
        proves_end=_after(convert, _checked_end),
        replace_text=chunk_format.replace_text,
        as_chat=convert,
        as_continuation=chunk_format.as_continuation,
    )


def _after(
    convert: Callable[[Any], Mapping[str, Any]], read: Callable[[Mapping[str, Any]], ReadT]
) -> Callable[[Any], ReadT]:
    return lambda chunk: read(convert(chunk))


class _CachedConverter:
    """Converts chunks to chat chunks; keeps the latest result, which is needed several times."""

    __slots__ = ("_as_chat", "_chunk", "_converted")

    def __init__(self, chunk_format: ChunkFormat) -> None:
        self._as_chat = chunk_format.as_chat
        self._chunk: Any = None
        self._converted: Mapping[str, Any] = {}

    def __call__(self, chunk: Any) -> Mapping[str, Any]:
        if chunk is not self._chunk:
            self._chunk, self._converted = chunk, self._as_chat(chunk)
        return self._converted


def _same_text(chunk: str) -> str:
    return chunk


def _same_chunk(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    return chunk


def _no_text(_: Any) -> str:
    return ""


def _always(_: Any) -> bool:
    return True


def _other_text(_: str, text: str) -> str:
    return text


_CHAT = ChunkReader(
    content=chat.has_content,
    text=chat.text_of,
    size=chat.characters_of,
    proves_end=_checked_end,
    replace_text=chat.with_text,
    as_chat=_same_chunk,
    as_continuation=chat.without_role,
)


_OPAQUE = ChunkReader(content=_always, text=_no_text, size=None, proves_end=None, replace_text=None)


_PLAIN: dict[type, ChunkReader] = {
    str: _OPAQUE._replace(content=bool, text=_same_text, size=len, replace_text=_other_text),
    bytes: _OPAQUE._replace(content=bool, size=len),
}
"""Readers of strings and bytes; an empty chunk has no content."""
