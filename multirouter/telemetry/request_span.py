"""Span of one request to the gateway."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from multirouter.telemetry import conventions as names


class RequestSpan:
    """The span of one request to the gateway.

    Args:
        span: the span.
        method: the HTTP method.
    """

    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def answered(self, path: str, status: int, request_id: str, key: str | None) -> None:
        """Records the answer.

        Args:
            path: the endpoint's path.
            status: the HTTP status; 499 when the client left.
            request_id: the request's id.
            key: the name of the gateway key, or None.
        """
        self._span.update_name(f"{self._method} {path}")
        attributes: dict[str, Any] = {
            "http.request.method": self._method,
            "url.path": path,
            names.HTTP_STATUS: status,
            "multirouter.request_id": request_id,
        }
        if key is not None:
            attributes["multirouter.key"] = key
        if status >= 500:
            attributes[names.ERROR_TYPE] = str(status)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.set_attributes(attributes)
