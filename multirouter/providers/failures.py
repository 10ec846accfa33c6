"""Makes a provider's errors: kind, status, code and retry-after, with a bounded, keyless message.

What a failure counts as is decided by the core's classifier, by the same signs as for the SDKs'
exceptions; here an answer is only given the shape in which the classifier reads exceptions.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from multirouter.core.failures.classify import Classifier
from multirouter.errors import ProviderError
from multirouter.model import FailureKind, Verdict
from multirouter.providers.secret import Secret

_LONGEST = 500
_STUMBLES = (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError)
_REQUEST_IDS = ("x-request-id", "request-id", "cf-ray")
_NO_HEADERS: Mapping[str, str] = {}


class _Answer(Exception):
    """An HTTP answer as the classifier reads exceptions."""

    def __init__(self, status: int | None, headers: Mapping[str, str], body: Any) -> None:
        super().__init__()
        self.status_code = status
        self.headers = headers
        self.body = body


class Failures:
    """Makes the errors of one provider.

    Args:
        provider: its name.
        key: what no message may show.
        wall: wall-clock time in seconds since 1970, for a Retry-After that is a date.
    """

    def __init__(
        self, provider: str, key: Secret, *, wall: Callable[[], float] = time.time
    ) -> None:
        self.provider = provider
        self._key = key
        self._classifier = Classifier(wall=wall, broken=_unheard)

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """An answer with an error status."""
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if isinstance(told, dict | list):
            return self._told(status, headers, told)
        text = _plain_text(body) or ("an empty body" if not body else "a body that is no JSON")
        if 300 <= status < 400:
            text = "a redirect, which is not followed: it would carry the key; set base_url"
        return self._error(self._judge(_Answer(status, headers, None)), status, None, text, headers)

    def told(self, told: Any, headers: Mapping[str, str]) -> ProviderError:
        """An error that the provider tells in a 200 or in the middle of a stream."""
        return self._told(None, headers, told)

    def rubbish(self, why: str, headers: Mapping[str, str] = _NO_HEADERS) -> ProviderError:
        """A 200 that holds no answer."""
        return self._plain(FailureKind.TRANSPORT, why, headers)

    def not_json(self, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """A 200 whose body cannot be read: empty, a web page, or broken."""
        if not body.strip():
            return self.rubbish("the answer is empty", headers)
        if body.lstrip()[:1] == b"<":
            return self.rubbish("the answer is a web page", headers)
        return self.rubbish("the answer is no JSON", headers)

    def broken_chunk(self, data: bytes) -> ProviderError:
        """An event of a stream that cannot be read."""
        return self.rubbish(f"broken chunk: {data[:80]!r}")

    def unproven(self, headers: Mapping[str, str]) -> ProviderError:
        """A stream that ended without a finish reason."""
        return self._plain(
            FailureKind.INTERRUPTED, "the stream ended without proof that it is complete", headers
        )

    def unreached(self, error: Exception, *, streaming: bool) -> ProviderError:
        """No answer, one that is no HTTP, or one that broke off."""
        verdict = self._judge(error)
        if _has_request(error):  # its status is aiohttp's own, or a proxy's
            verdict = Verdict(FailureKind.TRANSPORT, reason=type(error).__name__)
        if streaming and verdict.kind is FailureKind.TRANSPORT:
            verdict.kind = FailureKind.INTERRUPTED
        what = getattr(error, "message", None) or str(error) or verdict.reason
        failure = self._error(verdict, None, None, f"{type(error).__name__}: {what}", _NO_HEADERS)
        # What holds the request's headers holds the key: such a cause is not passed on.
        failure.__cause__ = None if _has_request(error) else error
        return failure

    def failed(self, why: str, *, code: str) -> ProviderError:
        """A well-formed answer that says the provider failed to make one."""
        return self._plain(FailureKind.SERVER, why, code=code)

    def inexpressible(self, what: str, why: str) -> ProviderError:
        """A request that this provider's format cannot say; nothing was sent."""
        return self._plain(FailureKind.REQUEST, f"{what}: {why}", code="inexpressible")

    def encoded(self, encode: Callable[[Mapping[str, Any]], bytes], body: dict[str, Any]) -> bytes:
        """The body as JSON.

        Raises:
            ProviderError: of kind `request`, when the request holds what JSON cannot.
        """
        try:
            return encode(body)
        except RecursionError as error:  # a request that can be read need not be shallow enough
            raise self.inexpressible("the request", "is nested too deeply") from error
        except (TypeError, ValueError) as error:
            raise self.inexpressible("the request", f"is no JSON: {error}") from error

    @contextmanager
    def malformed(self) -> Generator[None]:
        """Around the reading of a request: what has not its documented shape is refused."""
        try:
            yield
        except _STUMBLES as error:
            raise self.inexpressible("the request", f"is malformed: {error!r}") from error

    @contextmanager
    def unreadable(self) -> Generator[None]:
        """Around the reading of an answer: one that has not its documented shape is rubbish."""
        try:
            yield
        except _STUMBLES as error:
            raise self.rubbish(f"the answer is malformed: {error!r}") from error

    def _told(self, status: int | None, headers: Mapping[str, str], told: Any) -> ProviderError:
        if isinstance(told, list):
            told = next((item for item in told if isinstance(item, dict)), {})
        error = told.get("error", told)
        verdict = self._judge(_Answer(status, headers, told))
        if verdict.kind is FailureKind.UNKNOWN:
            verdict.kind = FailureKind.SERVER  # it did say that it failed
        code = _code_of(error)
        return self._error(verdict, status, code, _message_of(error), headers)

    def _judge(self, error: Exception) -> Verdict:
        return self._classifier.error(error)

    def _plain(
        self,
        kind: FailureKind,
        why: str,
        headers: Mapping[str, str] = _NO_HEADERS,
        code: str | None = None,
    ) -> ProviderError:
        return ProviderError(
            self._shown(why, None, code),
            provider=self.provider,
            kind=kind,
            code=code,
            request_id=request_id_of(headers),
        )

    def _error(
        self,
        verdict: Verdict,
        status: int | None,
        code: str | None,
        text: str,
        headers: Mapping[str, str],
    ) -> ProviderError:
        return ProviderError(
            self._shown(text, status, code),
            provider=self.provider,
            kind=verdict.kind,
            status=status if status is not None else verdict.status,
            code=code,
            request_id=request_id_of(headers),
            retry_after=verdict.retry_after,
        )

    def _shown(self, text: str, status: int | None, code: str | None) -> str:
        signs = " ".join(str(sign) for sign in (status, code) if sign is not None)
        text = self._key.hide_in(" ".join(text.split()))
        text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        return f"{self.provider}: {signs}: {text}" if signs else f"{self.provider}: {text}"


def _has_request(error: Exception) -> bool:
    """Whether it is one of aiohttp's errors that carry the request, headers and all."""
    return hasattr(error, "request_info")


def _unheard(error: Exception) -> None:
    """The verdict `unknown` says enough when an answer breaks its reader."""


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The provider's id of the request, by which its support finds it."""
    return next((headers[name][:100] for name in _REQUEST_IDS if name in headers), None)


def _code_of(error: Any) -> str | None:
    """The most telling of the codes an error names."""
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
            told = error.get(field)
            if told:
                return told if isinstance(told, str) else json.dumps(told)
    return "no message"


def _plain_text(body: bytes) -> str:
    """A short text as it is; a web page only by its name."""
    text = body[:2000].decode("utf-8", "replace").strip()
    return "a web page" if text[:1] == "<" else text
