"""Images, sounds and documents inside a request: data URLs and their types."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from multirouter.providers.failures import Failures


class Media(NamedTuple):
    """Something that travels inside the request.

    Attributes:
        mime: its type (`image/png`).
        data: base64.
    """

    mime: str
    data: str


def from_data_url(url: str, what: str, failures: Failures) -> Media:
    """The content of a `data:` URL.

    Raises:
        ProviderError: of kind `request`, when it is none.

    Source: RFC 2397.
    """
    head, comma, data = url.partition(",")
    if not comma:
        raise failures.inexpressible(what, "is no data: URL with a comma in it")
    mime, *parameters = head.removeprefix("data:").split(";")
    if "base64" not in parameters:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return Media(mime.lower() or "text/plain", data)


def from_file(part: dict[str, Any], failures: Failures) -> Media:
    """The content of a `file` part: a data: URL, or base64 with a telling file name.

    Raises:
        ProviderError: of kind `request`, when there is no content, or its type is unknown.
    """
    data = part.get("file_data")
    if not isinstance(data, str):
        raise failures.inexpressible("file", "has no file_data; a file_id belongs to its provider")
    if data.startswith("data:"):
        return from_data_url(data, "file.file_data", failures)
    mime, _ = mimetypes.guess_type(part.get("filename") or "")
    if mime is None:
        raise failures.inexpressible("file", "needs a data: URL, or a filename that tells its type")
    return Media(mime, data)


def text_in(media: Media, what: str, failures: Failures) -> str:
    """The text that base64 holds.

    Raises:
        ProviderError: of kind `request`, when it holds none.
    """
    try:
        return base64.b64decode(media.data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise failures.inexpressible(what, "is no base64 of UTF-8 text") from None
