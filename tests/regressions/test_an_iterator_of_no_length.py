"""An upstream whose iterator counts as false was asked again in the middle of its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

from multirouter import Provider, StreamPolicy
from tests.scenarios.kit import house


class Words:
    """Passes words on, and keeps none: its length is 0."""

    def __init__(self) -> None:
        self._words = iter("abc")

    def __len__(self) -> int:
        return 0

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        for word in self._words:
            return word
        raise StopAsyncIteration


async def breaks(_: object) -> AsyncIterator[str]:
    yield "a"
    yield "b"
    raise ConnectionResetError


async def test_it_is_asked_once() -> None:
    """While it repeats what was delivered, it is read on and not begun anew."""
    asked: list[object] = []

    def words(request: object) -> Words:
        asked.append(request)
        return Words()

    providers = [Provider[object, object, str]("a", stream=breaks)]
    providers.append(Provider("b", stream=words))
    async with house(*providers, stream=StreamPolicy(on_interrupt="continue")) as home:
        said = [chunk async for chunk in home.router.stream("q", route=[["a"], ["b"]])]
    assert said == ["a", "b", "c"]
    assert asked == ["q"]
