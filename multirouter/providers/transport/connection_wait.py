"""Whether a request waits for a connection of its pool, as aiohttp's tracing tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp


class ConnectionWait:
    """The wait of one request for a free connection.

    Attributes:
        lasts: whether it waits, or did when it failed.
    """

    __slots__ = ("lasts",)

    def __init__(self) -> None:
        self.lasts: bool = False


def trace_waits() -> aiohttp.TraceConfig:
    """Tracing of a session whose requests may have a `ConnectionWait` as their context."""
    import aiohttp

    def note(context: Any, *, lasts: bool) -> None:
        wait = context.trace_request_ctx
        if isinstance(wait, ConnectionWait):
            wait.lasts = lasts

    async def begins(_session: Any, context: Any, _: Any) -> None:
        note(context, lasts=True)

    async def ends(_session: Any, context: Any, _: Any) -> None:
        note(context, lasts=False)

    traces = aiohttp.TraceConfig()
    traces.on_connection_queued_start.append(begins)
    traces.on_connection_queued_end.append(ends)
    return traces
