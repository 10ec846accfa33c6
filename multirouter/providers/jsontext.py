"""JSON as bytes: by orjson where it is installed, by the standard library where it is not.

Between two processes a gateway reads JSON twice and writes it once more than the request needs;
orjson does that in a quarter of the time. What it refuses (NaN, half a surrogate pair, keys that
are no text) goes to the standard library, so that both take the same texts and values. One
difference stays: an integer beyond 64 bits is read as a float, as JavaScript reads it.
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
# Made once: `json.dumps` makes an encoder for each call that has settings of its own.


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
        return _orjson.loads(data)
    except ValueError:
        return otherwise(data)


def dumps(value: Any) -> bytes:
    """A value as compact JSON, UTF-8; half a surrogate pair is escaped, as it came.

    Raises:
        TypeError: for what JSON cannot hold; ValueError for a circle.
    """
    if _orjson is None:
        return _written(value)
    try:
        return bytes(_orjson.dumps(value))
    except TypeError:
        return _written(value)


def _written(value: Any) -> bytes:
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        return _encode_ascii(value).encode()
