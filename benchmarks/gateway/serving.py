"""Serves an aiohttp application of the benchmark on uvloop, like the gateway."""

from __future__ import annotations

from aiohttp import web


def serve(app: web.Application, port: int) -> None:
    """Serves until SIGINT or SIGTERM, without logs."""
    import uvloop

    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        print=None,
        access_log=None,
        shutdown_timeout=0.5,
        backlog=4096,
        loop=uvloop.new_event_loop(),
    )
