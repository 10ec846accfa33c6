"""One computation for all open pages, and none without pages."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from multirouter.console.feed import MAX_VIEWERS, Feed, TooManyViewers

pytestmark = [pytest.mark.backends("asyncio")]


class Source:
    """Sections that a test sets; `None` raises."""

    def __init__(self, **sections: Any) -> None:
        self.sections: dict[str, Any] | None = sections
        self.reads = 0

    async def __call__(self) -> dict[str, Any]:
        self.reads += 1
        if self.sections is None:
            raise ValueError("no state")
        return self.sections


def parsed(events: bytes) -> dict[str, Any]:
    """The sections of an event stream, by name."""
    lines = [line for line in events.decode().split("\n") if line and not line.startswith(":")]
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return {name.removeprefix("event: "): json.loads(data[6:]) for name, data in pairs}


async def next_of(page: AsyncGenerator[bytes]) -> dict[str, Any]:
    return parsed(await anext(page))


async def test_a_page_gets_all_sections_and_then_the_changes() -> None:
    """The first event has every section; later ones only those that have changed."""
    source = Source(a=1, b=[1])
    page = Feed(source).watch()
    assert await next_of(page) == {"a": 1, "b": [1], "problem": None}
    source.sections = {"a": 2, "b": [1]}
    assert await next_of(page) == {"a": 2}
    assert await anext(page) == b": unchanged\n\n"
    await page.aclose()


async def test_pages_share_one_computation() -> None:
    """Ten pages cost one read a second, and get the same bytes."""
    source = Source(a=0)
    feed = Feed(source)
    pages = [feed.watch() for _ in range(10)]
    seen = [await anext(page) for page in pages]
    source.sections = {"a": 1}
    changes = [await anext(page) for page in pages]
    assert source.reads == 2
    assert {id(change) for change in changes} == {id(changes[0])}
    assert all(parsed(events)["a"] == 0 for events in seen)
    for page in pages:
        await page.aclose()


async def test_nothing_is_computed_without_pages() -> None:
    """The state is read while a page is open, and not before or afterwards."""
    source = Source(a=0)
    feed = Feed(source)
    await anyio.sleep(30)
    assert source.reads == 0
    page = feed.watch()
    await anext(page)
    await page.aclose()
    await anyio.sleep(30)
    assert (source.reads, feed.viewers) == (1, 0)
    source.sections = {"a": 5}
    again = feed.watch()
    assert (await next_of(again))["a"] == 5
    await again.aclose()


async def test_a_page_that_reads_slowly_misses_nothing() -> None:
    """A page that was busy during several computations gets everything that changed meanwhile."""
    source = Source(a=0, b=0)
    feed = Feed(source)
    slow, other = feed.watch(), feed.watch()
    await anext(slow)
    await anext(other)
    for number in (1, 2, 3):
        source.sections = {"a": number, "b": int(number > 1)}
        await anext(other)
    assert await next_of(slow) == {"a": 3, "b": 1}
    await slow.aclose()
    await other.aclose()


async def test_a_state_that_cannot_be_read_is_shown() -> None:
    """An error is a section of its own, and is cleared when the state can be read again."""
    source = Source(a=0)
    page = Feed(source).watch()
    await anext(page)
    source.sections = None
    assert await next_of(page) == {"problem": {"text": "no state"}}
    source.sections = {"a": 0}
    assert await next_of(page) == {"problem": None}
    await page.aclose()


async def test_the_number_of_pages_is_bounded() -> None:
    """One page more than allowed is rejected, and a page that closes makes place for another."""
    feed = Feed(Source(a=0))
    pages = [feed.watch() for _ in range(MAX_VIEWERS)]
    for page in pages:
        await anext(page)
    with pytest.raises(TooManyViewers):
        await anext(feed.watch())
    await pages.pop().aclose()
    page = feed.watch()
    assert (await next_of(page))["a"] == 0
    for open_page in (*pages, page):
        await open_page.aclose()
