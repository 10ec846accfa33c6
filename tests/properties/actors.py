"""The providers of a world of streams: each plays its takes, as plain data or as objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import anyio

from multirouter import ProviderError
from multirouter.model import FailureKind
from tests.properties.stream_worlds import ARGUMENTS, TEXTS, Player, Take


def piece(end: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]}


class Actor:
    """A provider's streams.

    Attributes:
        begun: streams that were asked for.
        in_flight: those that are neither ended nor closed.
    """

    def __init__(self, player: Player, *, tools: bool) -> None:
        self.begun = self.in_flight = 0
        self._player = player
        self._tools = tools

    async def __call__(self, request: Any) -> AsyncIterator[Any]:
        takes = self._player.takes
        take = takes[min(self.begun, len(takes) - 1)]
        self.begun += 1
        self.in_flight += 1
        try:
            await anyio.sleep(take.first)
            said = said_before(request)
            if request["messages"][-1]["role"] == "assistant" and self._player.prefill[1]:
                raise ProviderError("no prefill", kind=FailureKind.REQUEST, status=400)
            chunks = list(self._chunks(take, said))
            for chunk in chunks[: take.breaks_after]:
                yield as_objects(chunk) if self._player.objects else chunk
                await anyio.sleep(take.rest)
            if take.breaks_after is not None and take.breaks_after < len(chunks):
                if isinstance(take.end, dict):
                    yield take.end
                await break_off(take.end)
        finally:
            self.in_flight -= 1

    def _chunks(self, take: Take, said: str) -> Iterator[dict[str, Any]]:
        """What is left to say of the text that begins with what was said before."""
        mine = TEXTS[take.text]
        left = next(t for t in (mine, *TEXTS) if t.startswith(said))[len(said) :]
        words = [left[at : at + take.size] for at in range(0, len(left), take.size)]
        last = words.pop() if take.closely and words else ""
        role = {"role": "assistant"}
        if take.at_once and words:
            role["content"] = words.pop(0)
        yield piece(**role)
        if take.thinks:
            yield piece(reasoning_content="hm")
        for place, word in enumerate(words):
            yield piece(content=word)
            if take.thinks and place == 1:
                yield piece(reasoning_content="hm")
        text = {"content": last} if last else {}
        if not self._tools:
            yield piece("stop", **text)
            return
        yield piece(**text, tool_calls=[called(0, ARGUMENTS[0][:5]), called(1, ARGUMENTS[1][:1])])
        yield piece(tool_calls=[called(1, ARGUMENTS[1][1:])])
        yield piece(tool_calls=[called(0, ARGUMENTS[0][5:])])
        yield piece("tool_calls")


def called(index: int, arguments: str) -> dict[str, Any]:
    return {"index": index, "id": f"c{index}", "function": {"arguments": arguments}}


def as_objects(value: Any) -> Any:
    """Plain data as an SDK has it."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_objects(inner) for key, inner in value.items()})
    return list(map(as_objects, value)) if isinstance(value, list) else value


def as_data(value: Any) -> Any:
    """An SDK's objects as plain data, without what they do not say."""
    if isinstance(value, SimpleNamespace):
        return {key: as_data(inner) for key, inner in vars(value).items() if inner is not None}
    return list(map(as_data, value)) if isinstance(value, list) else value


async def break_off(end: Any) -> None:
    """Ends a stream before its end."""
    if isinstance(end, Exception):
        raise end.with_traceback(None)  # it may be raised more than once
    if end == "silence":
        await anyio.sleep_forever()
    if end in ("request", "overloaded"):
        raise ProviderError(end, kind=FailureKind(end))


def said_before(request: Any) -> str:
    """What a request to go on says that was delivered."""
    said = [turn["content"] for turn in request["messages"] if turn["role"] == "assistant"]
    return said[0] if said else ""
