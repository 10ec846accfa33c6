"""Headers of any client library, read within bounds, without trusting them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

_MAX_HEADERS = 256


def plain_headers(*sources: object) -> dict[str, str]:
    """The headers by lower-case name; of several with one name, the first.

    Args:
        sources: mappings, or iterables of pairs; names and values are strings, bytes or anything
            that `str` takes. What cannot be read counts as absent.
    """
    found: dict[str, str] = {}
    for headers in sources:
        if headers is None:
            continue
        with suppress(Exception):
            for name, value in islice(_pairs(headers), _MAX_HEADERS):
                found.setdefault(plain_text(name).lower(), plain_text(value))
    return found


def _pairs(headers: Any) -> Iterable[tuple[object, object]]:
    items = getattr(headers, "items", None)
    pairs: Iterable[tuple[object, object]] = headers if items is None else items()
    return pairs


def plain_text(value: object) -> str:
    """A string, the text of bytes, or what `str` makes of anything else."""
    return value.decode("latin-1") if isinstance(value, bytes | bytearray) else str(value)
