"""An upstream iterator that is falsy (length 0) is opened only once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from multirouter import Provider, StreamPolicy
from tests.scenarios.harness import harness


class Words:
    """Iterates over words; its length is 0."""

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


async def test_it_is_opened_once() -> None:
    """While it repeats what was delivered, it is read on and not requested again."""
    requests: list[object] = []

    def words(request: object) -> Words:
        requests.append(request)
        return Words()

    providers = [Provider[object, object, str]("a", stream=breaks)]
    providers.append(Provider("b", stream=words))
    async with harness(*providers, stream=StreamPolicy(on_interrupt="continue")) as env:
        chunks = [chunk async for chunk in env.router.stream("q", route=[["a"], ["b"]])]
    assert chunks == ["a", "b", "c"]
    assert requests == ["q"]
