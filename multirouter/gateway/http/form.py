"""Reads a form (multipart/form-data, RFC 7578) in a request's body.

`python-multipart` finds the parts; it is loaded with the first form. Files refer to the body, so
their content is held once.
"""

from __future__ import annotations

import json
from typing import Any

from multirouter.gateway.http.http_error import HTTPError
from multirouter.providers.files.form_data import FormFile

CONTENT_TYPE = "multipart/form-data"

MAX_PARTS = 256
"""Most fields and files of one form; an edit of images has at most a few dozen."""

_MAX_HEADERS = 8
"""Most headers of one part; clients send two."""

_OWN_FIELDS = frozenset({"fallback_models", "fallback_conditions", "route", "stream", "timeout"})
"""Fields that the gateway reads as JSON would have them; all others stay texts."""


def parse_form(data: bytes | bytearray, content_type: str) -> dict[str, Any]:
    """Parses a form: texts, `FormFile`s, and lists of them for names that occur several times.

    The gateway's own fields have the types that they have in JSON.

    Args:
        data: the body.
        content_type: the value of the header.

    Raises:
        HTTPError: 400 for a malformed form, 413 for one of too many parts.
    """
    from python_multipart import MultipartParser
    from python_multipart.exceptions import FormParserError

    reader = _FormReader(memoryview(data).toreadonly())
    try:
        parser = MultipartParser(
            _boundary(content_type), reader.callbacks(), max_header_count=_MAX_HEADERS
        )
        parser.write(data)  # type: ignore[arg-type] # it only searches and slices
        parser.finalize()
    except FormParserError as error:
        raise _malformed(str(error)) from None
    if not reader.ended:
        raise _malformed("it is cut off")
    return _with_own_fields(reader.fields)


class _FormReader:
    """Collects the parts of a form.

    Attributes:
        fields: texts and files by name.
        ended: whether the last boundary was read.
    """

    def __init__(self, body: memoryview) -> None:
        self.fields: dict[str, Any] = {}
        self.ended = False
        self._body = body
        self._parts = 0
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._start = self._end = 0

    def callbacks(self) -> Any:
        """The callbacks for the parser."""
        return {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_part_data": self._data,
            "on_part_end": self._part_ends,
            "on_end": self._form_ends,
        }

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            message = f"the form has too many parts; allowed: {MAX_PARTS}"
            raise HTTPError(413, message, code="request_too_large")
        self._headers = {}
        self._start = self._end = 0

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[bytes(self._name.lower())] = bytes(self._value)
        self._name = self._value = b""

    def _data(self, _: bytes, start: int, end: int) -> None:
        """One range for each part, as the whole body is parsed at once."""
        if self._end == 0:
            self._start = start
        self._end = end

    def _part_ends(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name")
        if name is None:
            raise _malformed("a part has no name")
        content = self._body[self._start : self._end]
        file_name = options.get(b"filename")
        kind = self._headers.get(b"content-type", b"")
        value: str | FormFile = (
            _text(content)
            if file_name is None
            else FormFile(
                _text(file_name), content, kind.decode("latin-1") or "application/octet-stream"
            )
        )
        _add(self.fields, _text(name), value)

    def _form_ends(self) -> None:
        self.ended = True


def _boundary(content_type: str) -> bytes:
    from python_multipart.multipart import parse_options_header

    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise _malformed("its Content-Type has no boundary")
    return boundary


def _text(data: bytes | memoryview) -> str:
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        raise _malformed("a field is not UTF-8") from None


def _add(fields: dict[str, Any], name: str, value: Any) -> None:
    earlier = fields.get(name)
    if earlier is None:
        fields[name] = value
    elif isinstance(earlier, list):
        earlier.append(value)
    else:
        fields[name] = [earlier, value]


def _with_own_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields for the gateway as JSON has them.

    They are JSON, or named as clients write nested values: `fallback_models[]`,
    `fallback_conditions[timeout_ms]`.
    """
    others: dict[str, Any] = {}
    for name, value in fields.items():
        base, bracket, rest = name.partition("[")
        if base not in _OWN_FIELDS:
            others[name] = value
        elif not bracket:
            others[name] = _parsed(base, value)
        elif rest == "]":
            others[base] = value if isinstance(value, list) else [value]
        else:
            _set_inner(others, base, rest, value)
    return others


def _set_inner(fields: dict[str, Any], base: str, rest: str, value: Any) -> None:
    key, _, more = rest.partition("]")
    inner = fields.setdefault(base, {})
    if isinstance(inner, dict):
        listed = [_parsed("", one) for one in (value if isinstance(value, list) else [value])]
        inner[key] = listed if more == "[]" or len(listed) > 1 else listed[0]


def _parsed(name: str, value: Any) -> Any:
    """A text as the JSON value that it is; a name of a route is no JSON, whatever it looks like."""
    if name == "route" or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return [value] if name == "fallback_models" else value


def _malformed(why: str) -> HTTPError:
    return HTTPError(400, f"the body is not a valid form: {why}", code="invalid_body")
