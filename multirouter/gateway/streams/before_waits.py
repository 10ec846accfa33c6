"""Acts before a stream waits for its provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self


class BeforeWaits:
    """A stream, with a function that is called whenever it waits, and not between chunks at hand.

    Args:
        stream: the stream.
        act: the function; it raises nothing.
    """

    __slots__ = ("_act", "_stream")

    def __init__(self, stream: AsyncIterator[Any], act: Callable[[], None]) -> None:
        self._stream = stream
        self._act = act

    def __aiter__(self) -> Self:
        return self

    @coroutine
    def __anext__(self) -> Generator[Any, Any, Any]:
        reading: Any = self._stream.__anext__()
        try:
            signal = reading.send(None)
            self._act()
            while True:
                try:
                    answer = yield signal
                except BaseException as error:  # noqa: BLE001 - the stream handles it
                    signal = reading.throw(error)
                else:
                    signal = reading.send(answer)
        except StopIteration as chunk:
            return chunk.value
        finally:
            del reading  # the traceback of an error holds this frame
