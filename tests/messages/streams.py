"""Errors and trails of streams: limits, early ends, continuations, hooks."""

from __future__ import annotations

import warnings
from typing import Any

from multirouter import Provider, StreamPolicy
from tests.messages.scenes import Scene, Transcript
from tests.scenarios.harness import harness
from tests.scenarios.scripted_streams import (
    CHAT,
    COMPLETE,
    CONTINUE,
    HALF,
    WORDS,
    chat_chunk,
    scripted_stream,
)


async def stream_limits(out: Transcript) -> None:
    """Streams that exceed a time limit."""
    for script, policy in (
        ([40, "late"], StreamPolicy(first_token=10)),
        (["one", 40], StreamPolicy(idle=10)),
        (["one", *([1, "x"] * 60)], StreamPolicy(total=30)),
        (["one", *([5, "x"] * 20)], StreamPolicy(min_rate=10)),
    ):
        async with harness(scripted_stream("a", script), stream=policy) as env:
            await out.read(env)


async def stream_ends(out: Transcript) -> None:
    """Streams that end too early."""
    for script in ([], HALF[:-1], HALF, [chat_chunk("one"), chat_chunk(end="error")]):
        async with harness(scripted_stream("a", script)) as env:
            await out.read(env, CHAT)


async def continuations(out: Transcript) -> None:
    """Streams that were continued, and those that could not be."""
    tail = [chat_chunk(word) for word in WORDS[2:]] + [chat_chunk(end="stop")]
    other = [chat_chunk("uno dos tres", "stop")]
    tool = chat_chunk(tool_calls=[{"index": 0, "function": {"arguments": "{"}}])
    broken = HALF[-1]
    cases: list[tuple[list[Any], list[Any], dict[str, Any]]] = [
        ([HALF], [COMPLETE], {}),
        ([HALF], [tail], {"capabilities": ["prefill"]}),
        ([HALF], [other, tail], {}),
        ([[tool, broken]], [COMPLETE], {}),
        ([HALF], [[broken]], {}),
    ]
    for first, second, settings in cases:
        providers = scripted_stream("a", *first), scripted_stream("b", *second, **settings)
        async with harness(*providers, stream=CONTINUE) as env:
            await out.read(env, CHAT, route=["a", "b"])
    providers = scripted_stream("a", HALF), scripted_stream("b", COMPLETE)
    async with harness(*providers, stream=StreamPolicy(on_interrupt="restart")) as env:
        await out.read(env, CHAT, route=["a", "b"])
    providers = scripted_stream("a", HALF), scripted_stream("b", COMPLETE)
    async with harness(*providers, stream=CONTINUE) as env:
        await out.read(env, CHAT, route=["a", "b"], idempotent=False)


async def stream_hooks(out: Transcript) -> None:
    """Hooks of a stream that are wrong."""

    def fail(*_: object) -> Any:
        raise KeyError("delta")

    def policies() -> list[StreamPolicy]:
        return [StreamPolicy(**{name: fail}) for name in ("content", "complete")] + [
            StreamPolicy(text=fail, min_rate=1),
            StreamPolicy(text=lambda _: 3, min_rate=1),
            StreamPolicy(resume=fail, on_interrupt="continue"),
        ]

    for policy in policies():
        script = HALF if policy.resume else COMPLETE
        async with harness(scripted_stream("a", script), stream=policy) as env:
            await out.read(env, CHAT)

    async def not_an_iterator(_: object) -> str:
        return "text"

    provider = Provider("a", stream=lambda request: not_an_iterator(request))  # noqa: PLW0108 - hides the kind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the coroutine is never awaited
        async with harness(provider) as env:
            await out.read(env)


TOPICS: dict[str, list[Scene]] = {
    "Streams": [stream_limits, stream_ends, continuations, stream_hooks],
}
