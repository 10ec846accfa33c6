"""Images, audio and documents inside a request: data URLs and media types."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from multirouter.providers.error_factory import ErrorFactory


class Media(NamedTuple):
    """Content that is sent inside the request.

    Attributes:
        mime: the media type (`image/png`).
        data: base64.
    """

    mime: str
    data: str


def from_data_url(url: str, what: str, errors: ErrorFactory) -> Media:
    """Returns the content of a `data:` URL.

    Raises:
        ProviderError: of kind `request`, when the URL has no comma.

    Source: RFC 2397.
    """
    head, comma, data = url.partition(",")
    if not comma:
        raise errors.unsupported(what, "must be a data: URL with a comma")
    mime, *parameters = head.removeprefix("data:").split(";")
    if "base64" not in parameters:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return Media(mime.lower() or "text/plain", data)


def from_file(part: dict[str, Any], errors: ErrorFactory) -> Media:
    """Returns the content of a `file` part: a data: URL, or base64 with a file name.

    Raises:
        ProviderError: of kind `request`, when there is no content, or its type is unknown.
    """
    data = part.get("file_data")
    if not isinstance(data, str):
        raise errors.unsupported(
            "file", "file_data is missing; a file_id is only valid at the provider that issued it"
        )
    if data.startswith("data:"):
        return from_data_url(data, "file.file_data", errors)
    mime, _ = mimetypes.guess_type(part.get("filename") or "")
    if mime is None:
        raise errors.unsupported(
            "file", "file_data must be a data: URL, or filename must have a known extension"
        )
    return Media(mime, data)


def decode_text(media: Media, what: str, errors: ErrorFactory) -> str:
    """Returns the text in base64 content.

    Raises:
        ProviderError: of kind `request`, when the content is not base64 of UTF-8.
    """
    try:
        return base64.b64decode(media.data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise errors.unsupported(what, "must be base64 of UTF-8 text") from None
