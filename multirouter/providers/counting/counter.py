"""The operation `count_tokens` of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.core.settings.operation import Operation
from multirouter.errors import ProviderError
from multirouter.model import FailureKind
from multirouter.providers.adapter import Adapter, Wire
from multirouter.providers.error_factory import says_no_such_path

OPERATION = "count_tokens"
"""The operation's name. Its request is a chat request, its answer is `{"input_tokens": N}`."""


class TokenCounter:
    """Counts tokens with a service's own endpoint.

    A count that fails says nothing about chats, which have limits of their own: every failure is of
    kind `unsupported`, after which another provider, or an estimate, answers.

    Args:
        adapter: calls the endpoint. One that the service lacks is not called again.
    """

    def __init__(self, adapter: Adapter[Any, Any]) -> None:
        self._adapter = adapter
        self._missing: ProviderError | None = None

    async def call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the number of input tokens.

        Raises:
            ProviderError: of kind `unsupported`.
        """
        failed = self._missing
        if failed is None:
            try:
                answer: dict[str, Any] = await self._adapter.call(request)
            except ProviderError as error:
                failed = error
                self._missing = error if says_no_such_path(error) else None
            else:
                return answer
        raise ProviderError(
            str(failed),
            provider=failed.provider,
            kind=FailureKind.UNSUPPORTED,
            status=failed.status,
            code=failed.code,
        )


def counting(chat: Adapter[Any, Any], wire: Wire[Any, Any]) -> dict[str, Operation]:
    """The operation of a service, by its name.

    Args:
        chat: the adapter of its chats, whose connections it uses.
        wire: its endpoint.
    """
    return {OPERATION: Operation(TokenCounter(chat.sharing_connections(wire)).call)}


def counted(tokens: Any) -> dict[str, Any]:
    """The answer for a count. A count costs nothing, as its usage says.

    Raises:
        TypeError: for a value that is no count.
    """
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise TypeError(f"the count is {tokens!r:.80}")
    return {"input_tokens": tokens, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
