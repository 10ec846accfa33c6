"""Makes the errors of one provider: kind, status, code, retry-after and a bounded message.

The kind is decided by the core's classifier, by the same signs as for exceptions of the SDKs. This
module gives an HTTP response the shape in which the classifier reads exceptions. Messages never
show an API key.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from copy import copy
from types import TracebackType
from typing import Any, TypeVar

from multirouter.core.failures.classify import Classifier
from multirouter.errors import ProviderError
from multirouter.model import FailureKind, Verdict
from multirouter.providers.api_keys.secret import Secret

BodyT = TypeVar("BodyT")

_MAX_MESSAGE = 500
_SHAPE_ERRORS = (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError)
_REQUEST_IDS = ("x-request-id", "request-id", "cf-ray")
_NO_HEADERS: Mapping[str, str] = {}


class _HttpResponse(Exception):
    """An HTTP response in the shape in which the classifier reads exceptions."""

    def __init__(self, status: int | None, headers: Mapping[str, str], body: Any) -> None:
        super().__init__()
        self.status_code = status
        self.headers = headers
        self.body = body


class _Reading:
    """Maps shape errors in its block. Several are entered for each request: no generator."""

    __slots__ = ("_error_of",)

    def __init__(self, error_of: Callable[[BaseException], ProviderError]) -> None:
        self._error_of = error_of

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, _SHAPE_ERRORS):
            raise self._error_of(error) from error


class ErrorFactory:
    """Makes the `ProviderError`s of one provider.

    Args:
        provider: the provider's name.
        key: the API key, which no message may show.
        wall: wall-clock time in seconds since 1970, for a Retry-After that is a date.
    """

    def __init__(
        self, provider: str, key: Secret, *, wall: Callable[[], float] = time.time
    ) -> None:
        self.provider = provider
        self._key = key
        self._classifier = Classifier(wall=wall, on_error=_ignore_hook_error)
        self._request: object = None

    def about(self, request: object) -> ErrorFactory:
        """The same for the errors of one request, whose text in a message proves nothing."""
        factory = copy(self)
        factory._request = request  # noqa: SLF001 - a copy of this object
        return factory

    # ── what the provider answered ──────────────────────────────────────────────────────────────

    def http_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Error for a response with status 300 or above."""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict | list):
            return self._from_error_body(status, headers, value)
        text = _plain_text(body) or ("an empty body" if not body else "a body that is not JSON")
        if 300 <= status < 400:
            text = (
                "redirects are not followed, because the API key would be sent along; set base_url"
            )
        verdict = self._classify(_HttpResponse(status, headers, None))
        return self._make(verdict, status, None, text, headers)

    def reported(self, body: Any, headers: Mapping[str, str]) -> ProviderError:
        """Error for an error object inside a 200 or inside a stream."""
        return self._from_error_body(None, headers, body)

    def generation_failed(self, why: str, *, code: str) -> ProviderError:
        """Error for a well-formed response that says the model failed, of kind `server`."""
        return self._without_verdict(FailureKind.SERVER, why, code=code)

    def invalid_response(self, why: str, headers: Mapping[str, str] = _NO_HEADERS) -> ProviderError:
        """Error for a 200 that contains no answer, of kind `transport`."""
        return self._without_verdict(FailureKind.TRANSPORT, why, headers)

    def unparsable_body(self, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Error for a 200 whose body is not JSON: empty, a web page, or malformed."""
        if not body.strip():
            return self.invalid_response("the response body is empty", headers)
        if body.lstrip()[:1] == b"<":
            return self.invalid_response("the response body is a web page", headers)
        return self.invalid_response("the response body is not valid JSON", headers)

    def invalid_chunk(self, data: bytes) -> ProviderError:
        """Error for a stream event that cannot be read, of kind `transport`."""
        return self.invalid_response(f"invalid chunk: {data[:80]!r}")

    def truncated_stream(self, headers: Mapping[str, str]) -> ProviderError:
        """Error for a stream that ended without a finish reason, of kind `interrupted`."""
        return self._without_verdict(
            FailureKind.INTERRUPTED, "the stream ended without a finish reason", headers
        )

    def network_error(self, error: Exception, *, streaming: bool) -> ProviderError:
        """Error for a request without a complete HTTP response.

        Args:
            error: what the HTTP client raised.
            streaming: whether the body of a stream was being read; the kind is then
                `interrupted` instead of `transport`.
        """
        verdict = self._classify(error)
        if _has_request(error):  # its status is one that aiohttp or a proxy made up
            verdict = Verdict(FailureKind.TRANSPORT, reason=type(error).__name__)
        if streaming and verdict.kind is FailureKind.TRANSPORT:
            verdict.kind = FailureKind.INTERRUPTED
        what = getattr(error, "message", None) or str(error) or verdict.reason
        failure = self._make(verdict, None, None, f"{type(error).__name__}: {what}", _NO_HEADERS)
        # An exception with the request's headers contains the API key, so it is not kept as cause.
        failure.__cause__ = None if _has_request(error) else error
        return failure

    def reading_response(self) -> AbstractContextManager[None]:
        """Maps shape errors to `transport` while a response is read."""
        return _Reading(self._malformed_response)

    def _malformed_response(self, error: BaseException) -> ProviderError:
        return self.invalid_response(f"the response is malformed: {error!r}")

    def not_signed(self, why: str, *, transient: bool) -> ProviderError:
        """Error for a request without valid credentials, of kind `credentials`; nothing was sent.

        Args:
            why: what the library of the credentials said.
            transient: whether their service was not reached; the kind is then `transport`.
        """
        kind = FailureKind.TRANSPORT if transient else FailureKind.CREDENTIALS
        return self._without_verdict(kind, f"the request was not signed: {why}", code="not_signed")

    # ── what the caller requested ───────────────────────────────────────────────────────────────

    def unsupported(self, field: str, why: str) -> ProviderError:
        """Error for a field that this provider's format cannot express; nothing was sent."""
        return self._without_verdict(FailureKind.UNSUPPORTED, f"{field}: {why}", code="unsupported")

    def invalid_request(self, why: str) -> ProviderError:
        """Error for a request that no provider could be sent; nothing was sent."""
        return self._without_verdict(
            FailureKind.REQUEST, f"the request {why}", code="invalid_request"
        )

    def encode_body(
        self, encode: Callable[[Mapping[str, Any]], BodyT], body: dict[str, Any]
    ) -> BodyT:
        """Encodes the body as JSON or as a form.

        Raises:
            ProviderError: of kind `request`, for a value that the encoding cannot represent.
        """
        try:
            return encode(body)
        except RecursionError as error:  # writing allows fewer levels than reading
            raise self.invalid_request("is nested too deeply") from error
        except (TypeError, ValueError) as error:
            raise self.invalid_request(f"cannot be encoded: {error}") from error

    def reading_request(self) -> AbstractContextManager[None]:
        """Maps shape errors to `request` while a request is read."""
        return _Reading(self._malformed_request)

    def _malformed_request(self, error: BaseException) -> ProviderError:
        if isinstance(error, UnicodeEncodeError):  # half a surrogate pair in a model's name
            return self.invalid_request(f"cannot be encoded: {error}")
        return self.invalid_request(f"is malformed: {error!r}")

    # ── making them ─────────────────────────────────────────────────────────────────────────────

    def _from_error_body(
        self, status: int | None, headers: Mapping[str, str], body: Any
    ) -> ProviderError:
        if isinstance(body, list):
            body = next((item for item in body if isinstance(item, dict)), {})
        error = body.get("error", body)
        verdict = self._classify(_HttpResponse(status, headers, body))
        if verdict.kind is FailureKind.UNKNOWN:
            verdict.kind = FailureKind.SERVER  # the provider did report a failure
        return self._make(verdict, status, _code_of(error), _message_of(error), headers)

    def _classify(self, error: Exception) -> Verdict:
        return self._classifier.classify_error(error, self._request)

    def _without_verdict(
        self,
        kind: FailureKind,
        why: str,
        headers: Mapping[str, str] = _NO_HEADERS,
        code: str | None = None,
    ) -> ProviderError:
        return ProviderError(
            self._message(why, None, code),
            provider=self.provider,
            kind=kind,
            code=code,
            request_id=request_id_of(headers),
        )

    def _make(
        self,
        verdict: Verdict,
        status: int | None,
        code: str | None,
        text: str,
        headers: Mapping[str, str],
    ) -> ProviderError:
        return ProviderError(
            self._message(text, status, code),
            provider=self.provider,
            kind=verdict.kind,
            status=status if status is not None else verdict.status,
            code=code,
            request_id=request_id_of(headers),
            retry_after=verdict.retry_after,
        )

    def _message(self, text: str, status: int | None, code: str | None) -> str:
        prefix = " ".join(str(part) for part in (status, code) if part is not None)
        text = self._key.redact(" ".join(text.split()))
        text = text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"
        return f"{self.provider}: {prefix}: {text}" if prefix else f"{self.provider}: {text}"


def says_no_such_path(error: ProviderError) -> bool:
    """Whether a service lacks the endpoint, rather than the model."""
    return error.status in {404, 405} and "model" not in f"{error.code} {error}".lower()


def names_id(error: ProviderError, id_: str) -> bool:
    """Whether a service says something about an id: it is a word in its message."""
    return re.search(rf"(?<![\w-]){re.escape(id_)}(?![\w-])", str(error)) is not None


def _has_request(error: Exception) -> bool:
    """Whether this is an aiohttp error that holds the request with its headers."""
    return hasattr(error, "request_info")


def _ignore_hook_error(error: Exception) -> None:
    """Ignores an error inside the classifier, which then returns the kind `unknown`."""


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The provider's id of the request, for its support; None when there is none."""
    return next((headers[name][:100] for name in _REQUEST_IDS if name in headers), None)


def _code_of(error: Any) -> str | None:
    """The most specific code in an error object."""
    if not isinstance(error, dict):
        return None
    details = error.get("details")
    inner = details.get("error_code") if isinstance(details, dict) else None
    for code in (inner, error.get("code"), error.get("status"), error.get("type")):
        if isinstance(code, str) and code:
            return code[:100]
    return None


def _message_of(error: Any) -> str:
    if isinstance(error, str):
        return error
    if isinstance(error, dict):
        for field in ("message", "detail", "error"):
            text = error.get(field)
            if text:
                return text if isinstance(text, str) else json.dumps(text)
    return "no message"


def _plain_text(body: bytes) -> str:
    """The start of a text body; "a web page" for HTML."""
    text = body[:2000].decode("utf-8", "replace").strip()
    return "a web page" if text[:1] == "<" else text
