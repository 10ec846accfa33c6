"""Requests with files, as multipart/form-data (RFC 7578), and answers that are no JSON.

The content of a file is held once, whatever the number of attempts: a body refers to it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

_SLICE = 2**16
"""Bytes that are written to the network at once."""

_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""Source: https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data"""


class FormFile:
    """A file in a request, such as the recording of a transcription.

    Attributes:
        name: its name; services read the format from the extension.
        content: its bytes; a memoryview is not copied.
        content_type: its media type.
    """

    __slots__ = ("content", "content_type", "name")

    def __init__(
        self,
        name: str,
        content: bytes | memoryview,
        content_type: str = "application/octet-stream",
    ) -> None:
        self.name: str = name
        self.content: bytes | memoryview = content
        self.content_type: str = content_type

    def __repr__(self) -> str:
        return f"<FormFile {self.name!r} of {len(self.content)} bytes>"


class MediaAnswer:
    """An answer that is no JSON, whole or a part of a stream: audio, or text such as subtitles.

    Attributes:
        data: its bytes.
        content_type: its content type, with parameters, as the provider sent it.
    """

    __slots__ = ("content_type", "data")

    def __init__(self, data: bytes, content_type: str) -> None:
        self.data: bytes = data
        self.content_type: str = content_type

    def __repr__(self) -> str:
        return f"<MediaAnswer {self.content_type!r} of {len(self.data)} bytes>"


class FormBody:
    """A body of multipart/form-data, ready to send.

    Attributes:
        content_type: the value of the header, with the boundary.
    """

    __slots__ = ("_pieces", "content_type")

    def __init__(self, pieces: Iterable[bytes | memoryview], content_type: str) -> None:
        self._pieces: tuple[bytes | memoryview, ...] = tuple(pieces)
        self.content_type: str = content_type

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def release(self) -> None:
        """Lets go of the content; it cannot be sent any more."""
        self._pieces = ()

    async def slices(self) -> AsyncIterator[bytes | memoryview]:
        """The body in parts of at most 64 KiB, which refer to the files."""
        for piece in self._pieces:
            for start in range(0, len(piece), _SLICE):
                yield piece[start : start + _SLICE]


def has_files(request: Mapping[str, Any]) -> bool:
    """Whether a field of a request is a file, or a list with a file."""
    return any(
        isinstance(one, FormFile)
        for value in request.values()
        for one in (value if isinstance(value, list | tuple) else (value,))
    )


def encode_form(
    fields: Mapping[str, Any], new_boundary: Callable[[], str] = lambda: secrets.token_hex(16)
) -> FormBody:
    """Encodes fields as a form; a list is sent as several fields of one name, files come last.

    Args:
        fields: texts, numbers, booleans, files, and lists of them; None is left out.
        new_boundary: makes a text that occurs in no file.

    Raises:
        TypeError: a field is of another type.
    """
    pairs = [
        (name, one)
        for name, value in fields.items()
        for one in (value if isinstance(value, list | tuple) else (value,))
        if one is not None
    ]
    pairs.sort(key=_is_file)
    boundary = new_boundary()
    pieces = [piece for name, value in pairs for piece in _part(boundary, name, value)]
    pieces.append(f"--{boundary}--\r\n".encode())
    return FormBody(pieces, f"multipart/form-data; boundary={boundary}")


def _part(boundary: str, name: str, value: Any) -> Iterator[bytes | memoryview]:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name.translate(_ESCAPES)}"'
    if isinstance(value, FormFile):
        kind = " ".join(value.content_type.split())
        named = f'; filename="{value.name.translate(_ESCAPES)}"\r\nContent-Type: {kind}'
        yield f"{head}{named}\r\n\r\n".encode()
        yield value.content
        yield b"\r\n"
    else:
        yield f"{head}\r\n\r\n{_text(name, value)}\r\n".encode()


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"field {name!r} of a form must be a text, number, boolean or file")


def _is_file(pair: tuple[str, Any]) -> bool:
    """Whether a field of a form is a file: files come last."""
    return isinstance(pair[1], FormFile)
