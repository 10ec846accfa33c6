"""Decoding of compressed request bodies, bounded in size: gzip, deflate, zstd and br.

zstd and br need the packages `backports.zstd` (Python 3.14 has its own) and `brotli`, which the
extra `gateway` installs. They load when the first such body arrives.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_PART = 2**20
"""Most bytes that one call of a decompressor returns."""

_MAX_MEMBERS = 64
"""Most gzip members or zstd frames of one body; each costs a new decompressor."""

_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


class TooLarge(ValueError):
    """A decoded body is larger than its limit."""


class Malformed(ValueError):
    """A compressed body is cut off, or is not of its encoding."""


def supported() -> tuple[str, ...]:
    """The content encodings that can be decoded here, in the order of preference."""
    return tuple(name for name, (_, module) in _DECODERS.items() if _is_installed(module))


def decode(data: bytes | bytearray, encoding: str, limit: int) -> bytes:
    """Decodes a compressed body.

    Args:
        data: the body as it arrived.
        encoding: one of `supported()`.
        limit: most bytes of the decoded body.

    Raises:
        TooLarge: the decoded body is larger than `limit`; at most one part more was decoded.
        Malformed: the body cannot be decoded.
    """
    parts, size = [], 0
    for part in _parts(data, encoding):
        size += len(part)
        if size > limit:
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


def _parts(data: bytes | bytearray, encoding: str) -> Iterator[bytes]:
    """The parts of a decoded body.

    Raises:
        Malformed: the body cannot be decoded.
    """
    try:
        yield from _DECODERS[encoding][0](bytes(data))
    except Malformed:
        raise
    except Exception as error:  # noqa: BLE001 - each library has its own classes of errors
        raise Malformed(str(error)) from None


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def _gzip(data: bytes) -> Iterator[bytes]:
    return _members(data, lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16))


def _deflate(data: bytes) -> Iterator[bytes]:
    """Either with a zlib header, as the standard says, or without, as some clients send it."""
    has_header = data[:1] and data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
    wbits = zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
    return _members(data, lambda: zlib.decompressobj(wbits=wbits))


def _members(data: bytes, new: Callable[[], Any]) -> Iterator[bytes]:
    """Decodes one zlib stream after the other: gzip allows several."""
    for _ in range(_MAX_MEMBERS):
        stream = new()
        while not stream.eof:
            part = stream.decompress(data, _PART)
            if not part and not stream.eof:
                raise Malformed("it is cut off")
            data = stream.unconsumed_tail
            yield part
        data = stream.unused_data
        if not data:
            return
    raise Malformed(f"it has more than {_MAX_MEMBERS} parts")


def _zstd(data: bytes) -> Iterator[bytes]:
    zstd = import_module(_ZSTD)
    for _ in range(_MAX_MEMBERS):
        stream = zstd.ZstdDecompressor()
        while not stream.eof:
            part = stream.decompress(data, _PART)
            if not part and not stream.eof and stream.needs_input:
                raise Malformed("it is cut off")
            data = b""
            yield part
        data = stream.unused_data
        if not data:
            return
    raise Malformed(f"it has more than {_MAX_MEMBERS} parts")


def _brotli(data: bytes) -> Iterator[bytes]:
    stream = import_module("brotli").Decompressor()
    part = stream.process(data, output_buffer_limit=_PART)
    while part or not stream.is_finished():
        yield part
        if stream.is_finished():
            return
        part = stream.process(b"", output_buffer_limit=_PART)
        if not part and not stream.is_finished():
            raise Malformed("it is cut off")


_DECODERS: dict[str, tuple[Callable[[bytes], Iterator[bytes]], str]] = {
    "gzip": (_gzip, "zlib"),
    "deflate": (_deflate, "zlib"),
    "zstd": (_zstd, _ZSTD),
    "br": (_brotli, "brotli"),
}
"""The decoder of each encoding, and the module that it needs."""
