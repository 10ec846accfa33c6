"""Endpoints of responses that the gateway keeps: `/v1/responses/{id}` and what is below it.

A request that names an earlier response by `previous_response_id` gets its conversation put before
its own input, so that any provider can answer it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from multirouter.gateway.endpoints.chat import json_response
from multirouter.gateway.http.endpoint_table import Handler
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.ids.made_ids import MadeIds
from multirouter.gateway.ids.references import ids_in
from multirouter.gateway.response_store import ResponseStore, StoredResponse
from multirouter.providers.json_bytes import loads
from multirouter.providers.openai.responses.reasoning_state import is_foreign

_PREFIX = "/v1/responses/"
_OFF = "responses are not kept here: set history.responses in the gateway's configuration"


class StoredResponses:
    """Keeps the responses of a gateway, and answers requests about them.

    Args:
        store: where they are kept; None for nowhere.
        made: remembers which provider made them.
    """

    def __init__(self, store: ResponseStore | None, made: MadeIds) -> None:
        self._store = store
        self._made = made

    async def expand(self, exchange: Exchange, body: dict[str, Any]) -> dict[str, Any]:
        """The request with the conversation that it refers to.

        One that refers to a response of which nothing is known stays as it is: the service that
        made it may know it.
        """
        previous = body.get("previous_response_id")
        if self._store is None or not isinstance(previous, str):
            return body
        stored = await self._store.get(_owner(exchange), previous)
        if stored is None:
            return body
        return continued(body, stored.items, stored.response)

    def begun(self, exchange: Exchange, body: dict[str, Any], event: bytes) -> None:
        """Remembers who makes a response, with its first event: it may be named once it has ended.

        Args:
            exchange: the request.
            body: its body.
            event: the data of the event, as the provider sent it.
        """
        if exchange.provider is None or body.get("store") is False:
            return
        with contextlib.suppress(ValueError):
            started = loads(event)
            response = started.get("response") if isinstance(started, dict) else None
            if isinstance(response, dict):
                _ = self._made.remember(exchange.provider, ids_in(response), _owner(exchange))

    async def keep(
        self,
        exchange: Exchange,
        body: dict[str, Any],
        response: dict[str, Any] | None,
        *,
        native: bool,
    ) -> None:
        """Keeps a response that has ended, unless its request says `"store": false`.

        Args:
            exchange: the request.
            body: its body, with the whole conversation.
            response: the response; None for one that broke.
            native: whether the provider itself made it, so that it may know its ids.
        """
        if response is None or body.get("store") is False:
            return
        if native and exchange.provider is not None:
            await self._made.remember(exchange.provider, ids_in(response), _owner(exchange))
        if self._store is not None and isinstance(response.get("id"), str):
            stored = StoredResponse(input_items(body.get("input")), response)
            await self._store.put(_owner(exchange), stored)

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """The handlers by method and path."""
        return {
            ("GET", f"{_PREFIX}*"): self.get,
            ("DELETE", f"{_PREFIX}*"): self.delete,
            ("GET", f"{_PREFIX}*/input_items"): self.get_items,
            ("POST", f"{_PREFIX}*/cancel"): self.cancel,
        }

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """`GET /v1/responses/{id}`.

        Raises:
            HTTPError: 404.
        """
        return json_response(exchange, (await self._found(exchange)).response)

    async def get_items(self, exchange: Exchange) -> web.StreamResponse:
        """`GET /v1/responses/{id}/input_items`.

        Raises:
            HTTPError: 404.
        """
        stored = await self._found(exchange)
        items = [_with_id(item, number) for number, item in enumerate(stored.items)]
        if exchange.request.query.get("order", "desc") == "desc":
            items.reverse()
        ids = [item["id"] for item in items] or [None]
        page = {"object": "list", "data": items, "has_more": False}
        return json_response(exchange, {**page, "first_id": ids[0], "last_id": ids[-1]})

    async def delete(self, exchange: Exchange) -> web.StreamResponse:
        """`DELETE /v1/responses/{id}`.

        Raises:
            HTTPError: 404.
        """
        id_ = _id_in_path(exchange)
        if self._store is None or not await self._store.delete(_owner(exchange), id_):
            raise self._unknown(id_)
        return json_response(exchange, {"id": id_, "object": "response", "deleted": True})

    async def cancel(self, exchange: Exchange) -> web.StreamResponse:
        """`POST /v1/responses/{id}/cancel`: what is kept has ended.

        Raises:
            HTTPError: 400; 404 for an unknown response.
        """
        await self._found(exchange)
        message = "only a response that runs in the background can be cancelled, and this has ended"
        raise HTTPError(400, message, code="invalid_value")

    def close(self) -> None:
        """Closes the files."""
        self._made.close()
        if self._store is not None:
            self._store.close()

    async def _found(self, exchange: Exchange) -> StoredResponse:
        id_ = _id_in_path(exchange)
        stored = None if self._store is None else await self._store.get(_owner(exchange), id_)
        if stored is None:
            raise self._unknown(id_)
        return stored

    def _unknown(self, id_: str) -> HTTPError:
        why = f"; {_OFF}" if self._store is None else ""
        return HTTPError(404, f"no response {id_[:200]!r}{why}", code="response_not_found")


def continued(
    body: Mapping[str, Any], items: list[Any], response: Mapping[str, Any]
) -> dict[str, Any]:
    """A request with the conversation that it continues.

    Args:
        body: its body, which names the response.
        items: the input of that response, with all that came before.
        response: the response.
    """
    expanded = {name: value for name, value in body.items() if name != "previous_response_id"}
    own = [item for item in response.get("output") or () if _can_be_sent_back(item)]
    expanded["input"] = [*items, *own, *input_items(body.get("input"))]
    return expanded


def _id_in_path(exchange: Exchange) -> str:
    """The id of a response in a path, however the client has joined it with the base URL."""
    path = exchange.request.path.rstrip("/")
    return path.rpartition("/responses/")[2].removesuffix("/input_items").removesuffix("/cancel")


def _owner(exchange: Exchange) -> str:
    """Whose responses a client sees: those of its key."""
    return exchange.key or ""


def input_items(value: Any) -> list[Any]:
    """An input as items."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return value if isinstance(value, list) else []


def _can_be_sent_back(item: Any) -> bool:
    """Whether an item means something to a service that does not keep it.

    Reasoning of OpenAI does not, when it is neither encrypted nor kept there.
    """
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return True
    return bool(item.get("encrypted_content")) or is_foreign(item)


def _with_id(item: Any, number: int) -> dict[str, Any]:
    fields = item if isinstance(item, dict) else {}
    return {"id": f"item_{number}", "type": "message", **fields}
