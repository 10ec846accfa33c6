"""Access tokens of the clouds: fetched, kept until shortly before their end, and replaced.

The vendors' own libraries find and use the credentials. They are imported when a provider is made.
What of them may block runs in a thread.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from multirouter.errors import ConfigurationError
from multirouter.providers.transport.http import PreparedRequest, SigningFailed

REFRESH_AGAIN = 60.0
"""Seconds before a token that was fetched shortly before its end is fetched again."""

REFRESH_BEFORE = 300.0
"""Seconds before its end at which a token is replaced. Tokens of the clouds last for an hour."""

AZURE_SCOPE = "https://cognitiveservices.azure.com/.default"
"""Source: Azure OpenAI, "How to configure Microsoft Entra ID authentication"."""

GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""Source: Vertex AI, "Authentication"."""


class Token(NamedTuple):
    """An access token.

    Attributes:
        text: the token.
        expires: wall-clock seconds since 1970 at which it ends.
    """

    text: str
    expires: float


class Tokens:
    """Sends a token that is kept until shortly before its end, and fetched once at a time.

    While a token is valid, a failure to replace it is not noticed. Its age counts by both clocks: a
    wall clock that is set back does not keep a token beyond its end, nor does a computer that
    sleeps. One that is wrong causes no fetch for each request.

    Args:
        fetch: returns a new token.
        wall: wall-clock seconds since 1970.
        clock: seconds of a clock that is never set.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Token]],
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._wall = wall
        self._clock = clock
        self._text = ""
        self._ends = (-math.inf, -math.inf)  # by `wall` and by `clock`
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._locks = WeakKeyDictionary()

    async def __call__(self, prepared: PreparedRequest) -> None:
        """See `adapter.Signer`.

        Raises:
            SigningFailed: there is no token.
        """
        if self._ends_within(REFRESH_BEFORE):
            lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
            async with lock:
                if self._ends_within(REFRESH_BEFORE):
                    await self._replace()
        prepared.headers["Authorization"] = f"Bearer {self._text}"

    def _ends_within(self, seconds: float) -> bool:
        by_wall, by_clock = self._ends
        return self._wall() >= by_wall - seconds or self._clock() >= by_clock - seconds

    async def _replace(self) -> None:
        try:
            token = await self._fetch()
        except Exception as error:
            if not self._ends_within(0.0):
                return
            raise SigningFailed(str(error), transient=is_transient(error)) from error
        wall = self._wall()
        left = max(token.expires - wall, REFRESH_BEFORE + REFRESH_AGAIN)
        self._text, self._ends = token.text, (wall + left, self._clock() + left)


class AzureCredential(Protocol):
    """A credential of azure-identity, sync or async."""

    def get_token(self, *scopes: str) -> Any:
        """Returns an object with `token` and `expires_on`, or an awaitable of one."""
        ...


class AzureTokens:
    """Tokens of Microsoft Entra ID.

    Args:
        label: the provider, for errors.
        credential: where they come from; None for azure-identity's `DefaultAzureCredential`.

    Raises:
        ConfigurationError: azure-identity is not installed.
    """

    def __init__(self, label: str, credential: AzureCredential | None) -> None:
        self._own = credential is None
        if credential is None:
            try:
                from azure.identity.aio import DefaultAzureCredential
            except ImportError:
                raise ConfigurationError(
                    f"{label}.api_key",
                    "is missing: pass api_key=, set AZURE_OPENAI_API_KEY, or install "
                    "multirouter[azure] for tokens of Microsoft Entra ID",
                ) from None
            credential = DefaultAzureCredential()
        self._credential: AzureCredential = credential

    async def fetch(self) -> Token:
        """A new token, or one that the credential keeps."""
        get = self._credential.get_token
        if inspect.iscoroutinefunction(get):
            found = await get(AZURE_SCOPE)
        else:
            found = await asyncio.to_thread(get, AZURE_SCOPE)
        return Token(found.token, float(found.expires_on))

    async def aclose(self) -> None:
        """Closes a credential that was made here."""
        close = getattr(self._credential, "close", None)
        if self._own and close is not None:
            await close()


class GoogleTokens:
    """Access tokens of Google Cloud.

    Args:
        label: the provider, for errors.
        credentials: where they come from; None for the application default credentials, which
            are looked for when the first request is sent.

    Raises:
        ConfigurationError: google-auth is not installed.
    """

    def __init__(self, label: str, credentials: Any) -> None:
        try:
            import google.auth
            from google.auth.transport.requests import Request
        except ImportError:
            raise ConfigurationError(label, "requires multirouter[vertex]") from None
        self._default = google.auth.default
        self._request = Request
        self._credentials = credentials

    async def fetch(self) -> Token:
        """A new token."""
        return await asyncio.to_thread(self._fetch)

    def _fetch(self) -> Token:
        if self._credentials is None:
            self._credentials, _ = self._default(scopes=[GOOGLE_SCOPE])
        credentials = self._credentials
        credentials.refresh(self._request())
        ends = credentials.expiry  # UTC without a zone; None for a token without an end
        seconds = 3600.0 if ends is None else (ends - _utc_now()).total_seconds()
        return Token(credentials.token, time.time() + seconds)


def _utc_now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC).replace(tzinfo=None)


def is_transient(error: BaseException) -> bool:
    """Whether the service of the credentials was not reached, by what the libraries say of it."""
    if getattr(error, "retryable", False):  # google-auth
        return True
    names = {cls.__name__ for cls in type(error).__mro__}
    return isinstance(error, OSError) or not names.isdisjoint(_TRANSIENT)


_TRANSIENT = frozenset(
    {
        "TransportError",  # google-auth
        "ServiceRequestError",  # azure-core
        "ServiceResponseError",
        "HTTPClientError",  # botocore
        "MetadataRetrievalError",
    }
)
