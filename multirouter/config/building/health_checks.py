"""Health checks by data: a short request to the model, or a GET of an address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from multirouter.errors import ProviderError
from multirouter.model import REQUEST_KINDS
from multirouter.providers import Http

MAX_TOKENS = 16
"""Longest answer of a check. Some models do not accept less."""


class ChatCheck:
    """Sends a short request; an answer, or an error about the request, means healthy.

    Args:
        call: the provider's function.
        model: the model to name, or None.
    """

    def __init__(self, call: Callable[[Any], Awaitable[object]], model: str | None) -> None:
        self._call = call
        self._request: dict[str, Any] = {
            "messages": [{"role": "user", "content": "ping"}],
            "max_completion_tokens": MAX_TOKENS,
        }
        if model is not None:
            self._request["model"] = model

    async def __call__(self) -> bool:
        """Whether the provider is healthy.

        Raises:
            ProviderError: it is not; see its kind.
        """
        try:
            await self._call(dict(self._request))
        except ProviderError as error:
            if error.kind not in REQUEST_KINDS:
                raise
        return True


class UrlCheck:
    """Sends a GET request without a key; a status below 400 means healthy.

    Args:
        http: the connections.
        url: the address.
    """

    def __init__(self, http: Http, url: str) -> None:
        self._http = http
        self._url = url

    async def __call__(self) -> bool:
        """Whether the provider is healthy.

        Raises:
            Exception: there was no answer.
        """
        session = await self._http.session()
        async with session.get(self._url, allow_redirects=False) as response:
            return response.status < 400
