"""Messages `response.create` of a WebSocket, and the conversations that they continue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from multirouter.gateway.endpoints.responses import ResponsesRequest
from multirouter.gateway.endpoints.stored_responses import (
    StoredResponses,
    continued,
    input_items,
)
from multirouter.gateway.formats.responses.stream import ResponseEvents
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError, invalid_field, shown
from multirouter.gateway.http.request_body import parse_json_object
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.routing.router_calls import Router

MAX_LANE = 256
"""Characters of a `stream_id`."""

MAX_CONVERSATIONS = 64
"""Conversations of one connection that may be continued: the latest of each of so many lanes."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A response of the connection, with the input that it answers.

    Attributes:
        items: the whole input.
        response: the response.
        size: bytes of the messages that the input came with.
    """

    items: list[Any]
    response: dict[str, Any]
    size: int


class Conversations:
    """The latest response of each lane, which may be continued on any, also if it is not stored.

    Args:
        max_size: bytes of the messages of one conversation, and of those that are kept together.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._latest: dict[str | None, Conversation] = {}

    def find(self, response_id: object) -> Conversation | None:
        """The conversation that ends with a response; None for an unknown id."""
        newest = reversed(self._latest.values())
        found = (one for one in newest if one.response.get("id") == response_id)
        return None if response_id is None else next(found, None)

    def check_size(self, size: int) -> None:
        """Raises for messages that are too long together.

        Raises:
            HTTPError: 413.
        """
        if size > self._max_size:
            said = f"the conversation must have at most {self._max_size} bytes, got {size}"
            raise HTTPError(413, said, code="request_too_large")

    def keep(self, lane: str | None, conversation: Conversation) -> None:
        """Keeps a conversation as the latest of its lane, and forgets the oldest beyond limits."""
        self._latest.pop(lane, None)
        self._latest[lane] = conversation
        size = sum(one.size for one in self._latest.values())
        while len(self._latest) > MAX_CONVERSATIONS or size > self._max_size:
            size -= self._latest.pop(next(iter(self._latest))).size


class Message(ResponsesRequest):
    """One message `response.create`.

    Args:
        size: bytes of the message.
        ping_interval: seconds without data before a ping.
        stored: keeps the response.
        conversations: those of the connection.

    Attributes:
        lane: its `stream_id`; None without one.
    """

    def __init__(
        self,
        size: int,
        ping_interval: float,
        stored: StoredResponses,
        conversations: Conversations,
    ) -> None:
        super().__init__(ping_interval, stored)
        self.lane: str | None = None
        self._conversations = conversations
        self._fields: dict[str, Any] = {}
        self._invalid: HTTPError | None = None
        self._items: list[Any] = []
        self._size = size
        self._generates = True

    async def parse(self, text: bytes) -> None:
        """Reads the message. What is wrong with it is raised when it is answered."""
        try:
            self._fields = await parse_json_object(text)
            self.lane = _lane(self._fields.pop("stream_id", None))
            self._generates = _generates(self._fields)
        except HTTPError as error:
            self.reject(error)

    def reject(self, error: HTTPError) -> None:
        """Has the message answered with an error."""
        self._fields, self._invalid = {}, error

    async def read_body(self, _: web.BaseRequest, __: float) -> dict[str, Any]:
        """The body of the request in the message.

        Raises:
            HTTPError: 400 or 413.
        """
        if self._invalid is not None:
            raise self._invalid
        fields, self._fields = self._fields, {}
        return {**fields, "stream": True}

    async def expand(self, exchange: Exchange, body: dict[str, Any]) -> dict[str, Any]:
        """The request with the conversation that it continues.

        Raises:
            HTTPError: 413, its messages are together longer than a body may be.
        """
        previous = self._conversations.find(body.get("previous_response_id"))
        if previous is None:
            body = await self._stored.expand(exchange, body)
        else:
            self._size += previous.size
            self._conversations.check_size(self._size)
            body = continued(body, previous.items, previous.response)
        self._items = input_items(body.get("input"))
        return body

    async def answer(
        self, router: Router, options: RequestOptions, exchange: Exchange
    ) -> web.StreamResponse:
        """Answers it; without a call if it is only to be prepared (`"generate": false`).

        Raises:
            Exception: see `http_error_from`.
        """
        if self._generates or exchange.socket is None:
            return await super().answer(router, options, exchange)
        events = ResponseEvents(exchange.id, self._body, self._tools)
        sent = await exchange.socket.send(events.end())
        self.final: dict[str, Any] | None = events.final
        return sent

    def keep(self) -> None:
        """Keeps its conversation, once it was answered."""
        if self.final is not None:
            conversation = Conversation(self._items, self.final, self._size)
            self._conversations.keep(self.lane, conversation)


def _lane(stream_id: object) -> str | None:
    if stream_id is None:
        return None
    if not isinstance(stream_id, str) or not 0 < len(stream_id) <= MAX_LANE:
        must = f"must be a text of 1 to {MAX_LANE} characters, got {shown(stream_id)}"
        raise invalid_field("stream_id", must)
    return stream_id


def _generates(fields: dict[str, Any]) -> bool:
    """Takes what belongs to the connection out of a message; returns whether a call is made."""
    kind = fields.pop("type", None)
    if kind != "response.create":
        raise invalid_field("type", f'must be "response.create", got {shown(kind)}')
    generates = fields.pop("generate", None)
    if not (generates is None or isinstance(generates, bool)):
        raise invalid_field("generate", f"must be true or false, got {shown(generates)}")
    fields.pop("background", None)
    return generates is not False
