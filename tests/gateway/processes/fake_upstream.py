"""A provider that never answers, and the configuration that leads to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress


@contextmanager
def hanging_provider() -> Generator[tuple[str, list[socket.socket]]]:
    """A provider that never answers: its address, and its connections so far."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connections.append(listener.accept()[0])

        in_background(accept)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
        listener.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            connection.close()


def upstream(address: str) -> str:
    """The configuration of a provider with an address."""
    provider = f"{{kind: openai, model: m, api_key: sk-1234567890, base_url: '{address}/v1'}}"
    return f"providers:\n  up: {provider}\nroutes:\n  one: {{tiers: [up]}}\n"


def in_background(function: Callable[[], object]) -> None:
    """Calls a function in a thread; what it raises when the gateway ends is expected."""

    def call() -> None:
        with suppress(OSError):
            function()

    threading.Thread(target=call, daemon=True).start()
