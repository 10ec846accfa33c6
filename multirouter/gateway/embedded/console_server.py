"""Serves the console of a router from a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any

from multirouter.config.client_keys.loopback import is_loopback
from multirouter.console.recorder import CallRecorder
from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.app import Gateway
from multirouter.gateway.endpoints.admin_operations import Everywhere, Operation, SetHold, SetWeight
from multirouter.gateway.server import Server
from multirouter.router import MultiProviderRouter

if TYPE_CHECKING:
    from typing import Self

START_TIMEOUT = 30.0
"""Seconds in which the server must listen."""

CHANGE_TIMEOUT = 10.0
"""Seconds in which the router's event loop must make a change."""


class ConsoleServer:
    """The console of a router in a program that serves no gateway.

        with ConsoleServer(router) as console:
            print(console.url)

    It runs in a thread of its own, so the router may run in any event loop, and one that is blocked
    is seen. It serves this machine alone. Calls are recorded from the start to the close, without
    their content; a router without a console records nothing.

    Args:
        router: the router.
        host: loopback address to listen on.
        port: port to listen on, 0 to 65535; 0 takes a free one.

    Raises:
        ConfigurationError: the host is not a loopback address, or the port is not valid.
    """

    def __init__(
        self, router: MultiProviderRouter[Any, Any, Any], *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        if not is_loopback(host):
            why = f"must be a loopback address, got {host!r}: this console has no keys"
            raise ConfigurationError("host", why)
        if not isinstance(router, MultiProviderRouter):
            raise ConfigurationError("router", f"must be a MultiProviderRouter, got {router!r}")
        self._host = host
        self._port = check.count("port", port, minimum=0, maximum=65535)
        self._router = router
        self._recorder = CallRecorder()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.url: str = ""

    def start(self) -> None:
        """Starts to record calls, and to serve.

        Raises:
            OSError: the port is in use.
        """
        self._router.remove_listener(self._recorder)  # it may have been started before
        self._router.add_listener(self._recorder)
        ready: Future[str] = Future()
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(ready),), name="multirouter console", daemon=True
        )
        self._thread.start()
        try:
            self.url = ready.result(START_TIMEOUT)
        except BaseException:
            self._router.remove_listener(self._recorder)
            raise

    def close(self) -> None:
        """Stops to serve, and to record calls; closing twice does nothing."""
        self._router.remove_listener(self._recorder)
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _serve(self, ready: Future[str]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        gateway = Gateway(
            self._router, models=None, log=AccessLog(quiet=True), recent=self._recorder
        )
        gateway.admin.everywhere = in_its_loop(gateway)
        if gateway.admin.overview is not None:
            gateway.admin.overview = overview_in_its_loop(gateway, gateway.admin.overview)
        server = Server(gateway, self._host, self._port, drain=0.0)
        try:
            await server.start()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for it
            ready.set_exception(error)
            return
        ready.set_result(server.url)
        await self._stop.wait()
        await server.aclose()


def in_its_loop(gateway: Gateway) -> Everywhere:
    """Runs operations on a router that runs in another thread.

    Any thread may read its state; changes are made in the thread of its event loop.
    """

    async def run(operation: Operation) -> list[Any]:
        if not isinstance(operation, SetHold | SetWeight):
            return [operation(gateway)]
        done: Future[Any] = Future()

        def change() -> None:
            try:
                done.set_result(operation(gateway))
            except Exception as error:  # noqa: BLE001 - raised where it was asked for
                done.set_exception(error)

        gateway.router.run_in_loop(change)
        return [await asyncio.wait_for(asyncio.wrap_future(done), CHANGE_TIMEOUT)]

    return run


def overview_in_its_loop(
    gateway: Gateway, overview: Callable[[], Awaitable[dict[str, Any]]]
) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Reads the fleet of a router that runs in another thread: its connection is of that loop."""

    async def read() -> dict[str, Any]:
        done: Future[dict[str, Any]] = Future()
        running: list[asyncio.Task[None]] = []  # an event loop holds its tasks weakly

        async def run() -> None:
            try:
                done.set_result(await overview())
            except BaseException as error:  # noqa: BLE001 - raised where it was asked for
                done.set_exception(error)

        gateway.router.run_in_loop(lambda: running.append(asyncio.ensure_future(run())))
        return await asyncio.wait_for(asyncio.wrap_future(done), CHANGE_TIMEOUT)

    return read
