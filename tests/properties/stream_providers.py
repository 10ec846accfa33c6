"""Providers of a world of streams: each follows its scripts, as plain data or as objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import anyio

from multirouter import ProviderError
from multirouter.model import FailureKind
from tests.properties.stream_worlds import ARGUMENTS, TEXTS, ProviderSpec, StreamScript


def chunk_of(end: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]}


class SimulatedProvider:
    """Streams of one provider.

    Attributes:
        started: number of streams that were requested.
        in_flight: number of streams that have neither ended nor been closed.
    """

    def __init__(self, spec: ProviderSpec, *, tools: bool) -> None:
        self.started = self.in_flight = 0
        self._spec = spec
        self._tools = tools

    async def __call__(self, request: Any) -> AsyncIterator[Any]:
        scripts = self._spec.scripts
        script = scripts[min(self.started, len(scripts) - 1)]
        self.started += 1
        self.in_flight += 1
        try:
            await anyio.sleep(script.first)
            delivered = delivered_text(request)
            if request["messages"][-1]["role"] == "assistant" and self._spec.prefill[1]:
                raise ProviderError("no prefill", kind=FailureKind.REQUEST, status=400)
            chunks = list(self._chunks(script, delivered))
            for chunk in chunks[: script.breaks_after]:
                yield as_objects(chunk) if self._spec.objects else chunk
                await anyio.sleep(script.pause)
            if script.breaks_after is not None and script.breaks_after < len(chunks):
                if isinstance(script.end, dict):
                    yield script.end
                await interrupt(script.end)
        finally:
            self.in_flight -= 1

    def _chunks(self, script: StreamScript, delivered: str) -> Iterator[dict[str, Any]]:
        """Yields the chunks that are left of the text that begins with what was delivered."""
        own = TEXTS[script.text]
        left = next(t for t in (own, *TEXTS) if t.startswith(delivered))[len(delivered) :]
        words = [left[at : at + script.size] for at in range(0, len(left), script.size)]
        last = words.pop() if script.joined_end and words else ""
        role = {"role": "assistant"}
        if script.role_with_text and words:
            role["content"] = words.pop(0)
        yield chunk_of(**role)
        if script.reasoning:
            yield chunk_of(reasoning_content="hm")
        for place, word in enumerate(words):
            yield chunk_of(content=word)
            if script.reasoning and place == 1:
                yield chunk_of(reasoning_content="hm")
        text = {"content": last} if last else {}
        if not self._tools:
            yield chunk_of("stop", **text)
            return
        yield chunk_of(
            **text, tool_calls=[tool_call(0, ARGUMENTS[0][:5]), tool_call(1, ARGUMENTS[1][:1])]
        )
        yield chunk_of(tool_calls=[tool_call(1, ARGUMENTS[1][1:])])
        yield chunk_of(tool_calls=[tool_call(0, ARGUMENTS[0][5:])])
        yield chunk_of("tool_calls")


def tool_call(index: int, arguments: str) -> dict[str, Any]:
    return {"index": index, "id": f"c{index}", "function": {"arguments": arguments}}


def as_objects(value: Any) -> Any:
    """Returns plain data as an SDK's objects."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_objects(inner) for key, inner in value.items()})
    return list(map(as_objects, value)) if isinstance(value, list) else value


def as_data(value: Any) -> Any:
    """Returns an SDK's objects as plain data, without their empty fields."""
    if isinstance(value, SimpleNamespace):
        return {key: as_data(inner) for key, inner in vars(value).items() if inner is not None}
    return list(map(as_data, value)) if isinstance(value, list) else value


async def interrupt(end: Any) -> None:
    """Ends a stream before its end."""
    if isinstance(end, Exception):
        raise end.with_traceback(None)  # it may be raised more than once
    if end == "silence":
        await anyio.sleep_forever()
    if end in ("request", "overloaded"):
        raise ProviderError(end, kind=FailureKind(end))


def delivered_text(request: Any) -> str:
    """Returns the delivered text that a request to continue quotes."""
    delivered = [turn["content"] for turn in request["messages"] if turn["role"] == "assistant"]
    return delivered[0] if delivered else ""
