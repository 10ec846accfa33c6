"""Endpoints that count the tokens of a request: in the formats of Anthropic, Gemini and OpenAI.

A provider of the model counts, where its service can; otherwise the number is an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from multirouter.core.cost.usage import CHARACTERS_PER_TOKEN, estimated_tokens
from multirouter.errors import MultirouterError
from multirouter.gateway.endpoints.chat import json_response
from multirouter.gateway.endpoints.model_requests import Answer
from multirouter.gateway.formats.anthropic.requests import from_messages
from multirouter.gateway.formats.gemini.requests import from_generate_content
from multirouter.gateway.formats.responses.requests import from_responses
from multirouter.gateway.formats.translated import Translated
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.routing import router_calls
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.routing.router_calls import Router
from multirouter.providers.counting.counter import OPERATION
from multirouter.providers.json_bytes import dumps
from multirouter.providers.native.answers import KEY as NATIVE

HEADER = "X-Token-Count"
"""Response header: `provider` for the count of a provider, else `estimated`."""

TOKENS_PER_MEDIA = 1500
"""Tokens of an image or a document in an estimate.

Source: Anthropic, Vision: about 1600 tokens for an image of the largest size that is not resized.
"""

TIMEOUT = 10.0
"""Seconds that a provider has for a count. Agents count before each turn."""


def for_messages(body: dict[str, Any]) -> Translated:
    """The canonical request of `/v1/messages/count_tokens`, which has no `max_tokens`.

    Raises:
        HTTPError: 400 naming the field.
    """
    translated = from_messages({"max_tokens": 1, **body})
    if "max_tokens" not in body:
        del translated.request["max_tokens"]
    return translated


def for_responses(body: dict[str, Any]) -> Translated:
    """The canonical request of `/v1/responses/input_tokens`.

    Raises:
        HTTPError: 400 naming the field.
    """
    translated = from_responses(body)
    return Translated(translated.request, translated.losses, translated.only_native)


def for_generate_content(body: dict[str, Any], model: str) -> Translated:
    """The canonical request of `:countTokens`, whose body may contain a whole request.

    Raises:
        HTTPError: 400 naming the field.
    """
    inner = body.get("generateContentRequest")
    return from_generate_content(inner if isinstance(inner, dict) else body, model)


def message_count(tokens: int) -> dict[str, Any]:
    """A count in Anthropic's format."""
    return {"input_tokens": tokens}


def response_count(tokens: int) -> dict[str, Any]:
    """A count in the format of OpenAI's Responses."""
    return {"object": "response.input_tokens", "input_tokens": tokens}


def content_count(tokens: int) -> dict[str, Any]:
    """A count in Gemini's format."""
    return {"totalTokens": tokens}


def counting(shape: Callable[[int], dict[str, Any]]) -> Answer:
    """Answers requests with a count.

    Args:
        shape: puts a number into the client's format.
    """

    async def answer(
        router: Router, options: RequestOptions, exchange: Exchange
    ) -> web.StreamResponse:
        counted = await _counted_by_provider(router, options, exchange)
        if counted is None:
            body = shape(estimate(options.body))
        else:
            native = counted.get(NATIVE)
            body = shape(counted["input_tokens"]) if native is None else native.body
        response = json_response(exchange, body)
        response.headers[HEADER] = "estimated" if counted is None else "provider"
        return response

    return answer


async def _counted_by_provider(
    router: Router, options: RequestOptions, exchange: Exchange
) -> dict[str, Any] | None:
    """The answer of a provider; None when none can count this request now."""
    timeout = TIMEOUT if options.timeout is None else min(TIMEOUT, options.timeout)
    options = replace(options, operation=OPERATION, timeout=timeout)
    try:
        answer: dict[str, Any] = await router_calls.call(router, options, exchange)
    except MultirouterError:
        return None
    except HTTPError as error:
        if error.code != "path_not_found":
            raise
        return None
    return answer


def estimate(request: Mapping[str, Any]) -> int:
    """Estimated tokens of a canonical request: of its texts, tools and media."""
    tools = request.get("tools") or ()
    rest = {name: value for name, value in request.items() if name != "tools"}
    tokens: int = estimated_tokens(rest)
    tokens += math.ceil(len(dumps(tools)) / CHARACTERS_PER_TOKEN) if tools else 0
    return max(1, tokens + TOKENS_PER_MEDIA * _media(request.get("messages") or ()))


def _media(value: Any) -> int:
    """The number of parts of messages that are not text."""
    parts = (
        part
        for message in value
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )
    return sum(isinstance(part, dict) and part.get("type") != "text" for part in parts)
