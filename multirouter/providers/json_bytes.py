"""JSON as bytes: with orjson where it is installed, otherwise with the standard library.

A gateway reads JSON twice for each request and writes it once; orjson takes a quarter of the time
for that. What orjson rejects (NaN, half a surrogate pair, keys that are not strings) or would
change (integers beyond 64 bits) is left to the standard library, so both installations accept the
same texts and values. One difference remains: orjson writes an Enum as its value and a UUID as
text, which the standard library rejects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_orjson: Any = import_module("orjson") if find_spec("orjson") else None
_COMPACT = (",", ":")
_encode = json.JSONEncoder(ensure_ascii=False, separators=_COMPACT).encode
_encode_ascii = json.JSONEncoder(separators=_COMPACT).encode
_encode_strict = json.JSONEncoder(ensure_ascii=False, separators=_COMPACT, allow_nan=False).encode
# Made once: `json.dumps` with settings makes an encoder for each call.

_ORJSON_OPTIONS = (
    0 if _orjson is None else _orjson.OPT_PASSTHROUGH_DATACLASS | _orjson.OPT_PASSTHROUGH_DATETIME
)
_SHORT_TEXT = 4096
"""Bytes. At about this length both searches of `_may_have_rounded` take equally long."""

_FINITE = frozenset({str, int, bool, type(None)})
_CONTAINERS = (dict, list, tuple)

_INT64_LIMIT = 2.0**63
_LONG_DIGITS = b"0" * 19
"""As many digits as the longest 64-bit integer without its sign."""
_STRIDE = 6
_STRIDE_DIGITS = b"0" * (len(_LONG_DIGITS) // _STRIDE)
"""What is left of as many digits when only every sixth byte is looked at."""
_DIGITS_AS_ZEROS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))  # digits as "0"


def loads(
    data: bytes | bytearray, fallback: Callable[[bytes | bytearray], Any] = json.loads
) -> Any:
    """Parses a JSON text.

    Args:
        data: the text, UTF-8.
        fallback: parses what orjson rejects, or raises an error that says why.

    Raises:
        ValueError: for invalid JSON; also RecursionError, and whatever else `fallback` raises.
    """
    if _orjson is None:
        return fallback(data)
    try:
        value = _orjson.loads(data)
    except ValueError:
        return fallback(data)
    return fallback(data) if _may_have_rounded(data, value) else value


def dumps(value: Any) -> bytes:
    """Encodes a value as compact JSON, UTF-8. Half a surrogate pair is escaped.

    Raises:
        TypeError: for a value that JSON cannot represent.
        ValueError: for a circular structure.
    """
    if _orjson is None:
        return _dumps_standard(value)
    try:
        return bytes(_orjson.dumps(value, None, _ORJSON_OPTIONS))
    except TypeError:
        return _dumps_standard(value)


def dumps_strict(value: Any) -> bytes:
    """Encodes a value as compact JSON, UTF-8, and rejects NaN and half a surrogate pair.

    Raises:
        TypeError: for a value that JSON cannot represent.
        ValueError: for NaN, an infinity, half a surrogate pair, or a circular structure.
    """
    if _orjson is not None:
        try:
            data = bytes(_orjson.dumps(value, None, _ORJSON_OPTIONS))
        except TypeError:
            pass
        else:
            # orjson writes NaN as null. A text with that word, or a None, is no NaN.
            if b"null" not in data or not _has_infinite(value):
                return data
    return _encode_strict(value).encode()


def _may_have_rounded(data: bytes | bytearray, value: Any) -> bool:
    """Whether orjson may have read an integer beyond 64 bits, which it turns into a float.

    Most texts lack a long sequence of digits, which every sixth byte shows. In a short text it is
    faster to search the text for such sequences. A long text is mostly strings, so searching the
    parsed values is faster.
    """
    if _STRIDE_DIGITS not in data[::_STRIDE].translate(_DIGITS_AS_ZEROS):
        return False
    if len(data) < _SHORT_TEXT:
        return _LONG_DIGITS in data.translate(_DIGITS_AS_ZEROS)
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, float) and not -_INT64_LIMIT < value < _INT64_LIMIT:
            return True
    return False


def _has_infinite(value: Any) -> bool:
    """Whether a value has a NaN or an infinity in it, which JSON lacks."""
    left: list[Any] = [[value]]
    for found in left:  # which grows
        for one in found.values() if isinstance(found, dict) else found:
            if type(one) in _FINITE:  # as most are: this is faster than what follows
                continue
            if isinstance(one, float):
                if not math.isfinite(one):
                    return True
            elif isinstance(one, _CONTAINERS):
                left.append(one)
    return False


def _dumps_standard(value: Any) -> bytes:
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        return _encode_ascii(value).encode()
