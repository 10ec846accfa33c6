"""Makes the adapter of Claude, at Anthropic's own address or at a cloud's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from multirouter.providers.adapter import Adapter, Wire
from multirouter.providers.anthropic.request import AnthropicLacks, ModelSettings
from multirouter.providers.anthropic.wire import FORMAT
from multirouter.providers.canonical import ChatCompletion, ChatRequest
from multirouter.providers.quirks.model_quirks import Overrides, ThinkingStyle, quirk_table
from multirouter.providers.transport.http import Http, Signer
from multirouter.providers.transport.sse import EventParser


class Claude(NamedTuple):
    """The adapter, and what others of the same service need.

    Attributes:
        adapter: calls the service.
        lacks: what of a request it cannot express.
        made: the arguments of its wire format.
    """

    adapter: Adapter[ChatRequest, ChatCompletion]
    lacks: AnthropicLacks
    made: dict[str, Any]


def make_claude(
    wire: Callable[..., Wire[ChatRequest, ChatCompletion]],
    label: str,
    address: Mapping[str, Any],
    http: Http,
    *,
    max_tokens: int,
    thinking: ThinkingStyle | None,
    drops: Iterable[str],
    quirks: Overrides | None,
    max_output: int | None,
    signer: Signer | None = None,
    parser: Callable[[], EventParser] | None = None,
) -> Claude:
    """The adapter of one service.

    Args:
        wire: its wire format.
        label: the provider, in messages.
        address: address, model, key, headers, options and errors of the service.
        http: the connections.
        max_tokens: see `Anthropic`.
        thinking: see `Anthropic`.
        drops: see `Anthropic`.
        quirks: see `OpenAI`.
        max_output: the provider's limit of output tokens, or None.
        signer: see `Adapter`.
        parser: see `Adapter`.

    Raises:
        ConfigurationError: for an invalid setting.
    """
    settings = ModelSettings(max_tokens=max_tokens, thinking=thinking, drops=frozenset(drops))
    made: dict[str, Any] = {
        **address,
        "model_settings": settings,
        "quirks": quirk_table(label, FORMAT, quirks, max_output),
        "wall": time.time,
    }
    adapter = Adapter(wire(**made), made["errors"], http, signer=signer, parser=parser)
    return Claude(adapter, AnthropicLacks(settings), made)
