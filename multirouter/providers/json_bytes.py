"""JSON as bytes: by orjson where it is installed, by the standard library where it is not.

Between two processes a gateway reads JSON twice and writes it once more than the request needs;
orjson does that in a quarter of the time. What it refuses (NaN, half a surrogate pair, keys that
are no text) or would change (integers beyond 64 bits) goes to the standard library, so that both
take the same texts and values. One difference stays: orjson writes an Enum by its value and a UUID
as text, which the standard library refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_orjson: Any = import_module("orjson") if find_spec("orjson") else None
_COMPACT = (",", ":")
_encode = json.JSONEncoder(ensure_ascii=False, separators=_COMPACT).encode
_encode_ascii = json.JSONEncoder(separators=_COMPACT).encode
_encode_strict = json.JSONEncoder(ensure_ascii=False, separators=_COMPACT, allow_nan=False).encode
# Made once: `json.dumps` makes an encoder for each call that has settings of its own.

_PLAIN = (
    0 if _orjson is None else _orjson.OPT_PASSTHROUGH_DATACLASS | _orjson.OPT_PASSTHROUGH_DATETIME
)
_SHORT = 4096
"""Bytes; about where the two searches of `_rounded` take as long for a request."""

_FAR = 2.0**63
_LONG = b"0" * 19
"""As many digits as the longest integers of 64 bits have, for a sign takes one bit."""
_AS_NOUGHTS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))  # every digit as "0"


def loads(data: bytes, otherwise: Callable[[bytes], Any] = json.loads) -> Any:
    """The value that a JSON text stands for.

    Args:
        data: the text, UTF-8.
        otherwise: reads what orjson refuses, or raises what tells why.

    Raises:
        Exception: what `otherwise` raises: ValueError and RecursionError.
    """
    if _orjson is None:
        return otherwise(data)
    try:
        value = _orjson.loads(data)
    except ValueError:
        return otherwise(data)
    return otherwise(data) if _rounded(data, value) else value


def dumps(value: Any) -> bytes:
    """A value as compact JSON, UTF-8; half a surrogate pair is escaped, as it came.

    Raises:
        TypeError: for what JSON cannot hold; ValueError for a circle.
    """
    if _orjson is None:
        return _written(value)
    try:
        return bytes(_orjson.dumps(value, None, _PLAIN))
    except TypeError:
        return _written(value)


def dumps_strict(value: Any) -> bytes:
    """A value as compact JSON, UTF-8, for who refuses what is no JSON: NaN, half a surrogate pair.

    Raises:
        TypeError: and ValueError, for what JSON cannot hold.
    """
    if _orjson is not None:
        try:
            data = bytes(_orjson.dumps(value, None, _PLAIN))
        except TypeError:
            pass
        else:
            if b"null" not in data:  # as which orjson writes NaN; a None is written once more
                return data
    return _encode_strict(value).encode()


def _rounded(data: bytes, value: Any) -> bool:
    """Whether orjson may have read an integer beyond 64 bits, which it makes a float of.

    A short text is searched for digits in less time than its values are; a long one is mostly
    strings, which need no look.
    """
    if len(data) < _SHORT:
        return _LONG in data.translate(_AS_NOUGHTS)
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, float) and not -_FAR < value < _FAR:
            return True
    return False


def _written(value: Any) -> bytes:
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        return _encode_ascii(value).encode()
