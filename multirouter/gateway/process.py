"""One process of `multirouter serve`: a gateway that listens, reloads and drains."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from multirouter.config import Settings, discover, load
from multirouter.errors import ConfigurationError
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.app import Gateway, ServerLimits
from multirouter.gateway.auth.loopback import is_loopback
from multirouter.gateway.log_setup import configure_logs
from multirouter.gateway.reload import Reloader, watch
from multirouter.gateway.server import READINESS_LEAD, Server
from multirouter.gateway.short_wait import ShortWait
from multirouter.gateway.signals import Signals
from multirouter.gateway.startup_message import report_start

GC_THRESHOLD = 10_000
"""Container allocations beyond deallocations that start a collection of the young generation.
Python's own 700 are reached every few dozen requests, which free nearly all they allocate."""


STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options of the command line; None takes the file's value.

    Attributes:
        config: the configuration file, or None for the environment.
        host: address to listen on.
        port: port to listen on.
        reload: whether the file is reloaded whenever it changes.
        quiet: whether only failed requests are logged.
        allow_anyone: whether other machines are served without keys.
        worker: whether this is one of several processes on a port.
    """

    config: str | None = None
    host: str | None = None
    port: int | None = None
    reload: bool = False
    quiet: bool = False
    allow_anyone: bool = False
    worker: bool = False

    def load_settings(self) -> Settings:
        """The current settings.

        Raises:
            ConfigurationError: when they are invalid.
            OSError: when the file cannot be read.
        """
        return discover() if self.config is None else load(self.config)

    def reload_settings(self, host: str) -> Settings:
        """The current settings, for a gateway that listens on a host already.

        Raises:
            ConfigurationError: when they are invalid, or would serve other machines without keys.
            OSError: when the file cannot be read.
        """
        settings = self.load_settings()
        replace(self, host=host).address(settings)
        return settings

    def address(self, settings: Settings) -> tuple[str, int]:
        """The host and the port to listen on.

        Raises:
            ConfigurationError: the host would serve other machines without keys.
        """
        host = settings.server.host if self.host is None else self.host
        port = settings.server.port if self.port is None else self.port
        if settings.keys is None and not self.allow_anyone and not is_loopback(host):
            raise ConfigurationError(
                "host",
                f"{host!r} serves other machines, and no keys are configured: create a key with "
                "`multirouter keys new` and set keys: {file: keys.json}, or pass --allow-anyone",
            )
        return host, port


class Stop:
    """Request to stop serving; made in the task that serves.

    Attributes:
        graceful: whether load balancers get time to notice first.
    """

    def __init__(self) -> None:
        self.graceful: bool = False
        self._requested = asyncio.Event()
        self._main = asyncio.current_task()

    def request(self, *, graceful: bool) -> None:
        """Requests it; the second request that is not graceful ends requests under way at once."""
        if not self._requested.is_set():
            self.graceful = graceful
            self._requested.set()
        elif not graceful and self._main is not None:
            self._main.cancel()

    async def wait(self) -> None:
        """Waits for the request."""
        await self._requested.wait()


Control = Callable[[Gateway, Stop], AbstractAsyncContextManager[None]]
"""What reloads and stops a gateway while it serves; entered before it listens."""


def run_single(options: ServeOptions, signals: Signals) -> int:
    """Serves in this process until SIGTERM or Ctrl-C.

    Args:
        options: the address, and how the settings are reloaded.
        signals: records SIGHUP already.

    Raises:
        ConfigurationError: see `ServeOptions`.
        OSError: when the port is in use.
    """
    settings = options.load_settings()
    host, _ = options.address(settings)

    @asynccontextmanager
    async def by_signals(gateway: Gateway, stop: Stop) -> AsyncGenerator[None]:
        reloader = Reloader(lambda: options.reload_settings(host), gateway, settings.files)
        gateway.admin.reload = reloader.reload_async

        def act() -> None:
            for number in signals.take():
                if number == signal.SIGHUP:
                    reloader.reload("SIGHUP")
                else:
                    stop.request(graceful=number == signal.SIGTERM)

        loop = asyncio.get_running_loop()
        loop.add_reader(signals.fileno(), act)
        watching = loop.create_task(watch(reloader)) if options.reload else None
        try:
            yield
        finally:
            loop.remove_reader(signals.fileno())
            if watching is not None:
                watching.cancel()

    signals.record(STOP_SIGNALS)
    serve(options, settings, by_signals, partial(report_start, settings))
    return 0


def serve(
    options: ServeOptions,
    settings: Settings,
    control: Control,
    on_ready: Callable[[str], object],
) -> None:
    """Serves settings in this process until it is stopped.

    Args:
        options: the address.
        settings: the settings to start with.
        control: reloads and stops it.
        on_ready: called with the URL once it listens.

    Raises:
        ConfigurationError: see `ServeOptions`.
        KeyboardInterrupt: it was stopped at once.
        OSError: when the port is in use.
    """
    configure_logs()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            runner.run(_serve(options, settings, control, on_ready))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop factory of uvloop, or None where it is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(
    options: ServeOptions,
    settings: Settings,
    control: Control,
    on_ready: Callable[[str], object],
) -> None:
    host, port = options.address(settings)
    stop = Stop()
    async with settings.build() as router:
        log = AccessLog(quiet=options.quiet)
        gateway = make_gateway(router, settings, allow_anyone=options.allow_anyone, log=log)
        drain = settings.server.drain_timeout
        server = Server(gateway, host, port, reuse_port=options.worker, drain=drain)
        async with control(gateway, stop):
            await server.start()
            freeze_startup_objects()
            on_ready(server.url)
            await stop.wait()
            await server.drain(lead=READINESS_LEAD if stop.graceful else 0.0)


def freeze_startup_objects() -> None:
    """Excludes all objects so far from later garbage collections, and enables them.

    Modules, models and metrics are some 100,000 containers that live as long as the process.
    Traversing them again and again takes time from requests, and sweeps the processor's caches.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # see `command.run`
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])


def make_gateway(
    router: object, settings: Settings, *, allow_anyone: bool = False, log: AccessLog | None = None
) -> Gateway:
    """The gateway of a configuration, in front of its router."""
    server = settings.server
    return Gateway(
        router,  # type: ignore[arg-type] # a ChatRouter is a Router, whose types are Any
        models=settings.models,
        keys=settings.keys,
        allow_anyone=allow_anyone,
        origins=server.cors_origins,
        limits=ServerLimits(
            max_body_size=server.max_body_size,
            max_header_size=server.max_header_size,
            read_timeout=server.read_timeout,
            keepalive_timeout=server.keepalive_timeout,
        ),
        log=log,
        short_wait=ShortWait(settings.wait, settings.waits),
    )
