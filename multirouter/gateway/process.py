"""One process of `multirouter serve`: a gateway that listens, reloads and drains."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from multirouter.config import Settings, discover, load
from multirouter.errors import ConfigurationError
from multirouter.gateway import startup_message as greeting
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.app import Bounds, Gateway
from multirouter.gateway.auth.access_control import is_loopback
from multirouter.gateway.log_setup import configure_logs
from multirouter.gateway.reload import Reloader, watch
from multirouter.gateway.server import LEAD, Server
from multirouter.gateway.short_wait import Patience

YOUNG = 10_000
"""Containers made beyond those freed before the collector looks at the young ones; Python's own
700 come about with every few dozen requests, nearly all of which free what they took at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for; None leaves it to the file.

    Attributes:
        config: the file, or None for the environment.
        host: where to listen.
        port: where to listen.
        reload: whether the file is read again whenever it changes.
        quiet: whether only requests that failed are logged.
        anyone: whether other machines are served without keys.
        worker: whether this is one of several processes on a port.
    """

    config: str | None = None
    host: str | None = None
    port: int | None = None
    reload: bool = False
    quiet: bool = False
    anyone: bool = False
    worker: bool = False

    def settings(self) -> Settings:
        """The settings as they are now.

        Raises:
            ConfigurationError: when they are refused.
            OSError: when the file cannot be read.
        """
        return discover() if self.config is None else load(self.config)

    def renewed(self, host: str) -> Settings:
        """The settings as they are now, for a gateway that listens on a host already.

        Raises:
            ConfigurationError: when they are refused, or would serve other machines without keys.
            OSError: when the file cannot be read.
        """
        settings = self.settings()
        replace(self, host=host).place(settings)
        return settings

    def place(self, settings: Settings) -> tuple[str, int]:
        """The host and the port.

        Raises:
            ConfigurationError: other machines would be served without keys.
        """
        host = settings.server.host if self.host is None else self.host
        port = settings.server.port if self.port is None else self.port
        if settings.keys is None and not self.anyone and not is_loopback(host):
            raise ConfigurationError(
                "host",
                f"{host!r} serves other machines, and no keys are configured: make some with "
                "`multirouter keys new`, or say --allow-anyone",
            )
        return host, port


def run_one(wish: Wish) -> int:
    """Serves in this process until SIGTERM or Ctrl-C.

    Raises:
        ConfigurationError: see `Wish`.
        OSError: when the port is taken.
    """
    settings = wish.settings()

    def greet(url: str) -> None:
        sys.stdout.write(greeting.text(settings, url))
        sys.stdout.flush()

    serve(wish, settings, greet)
    return 0


def serve(wish: Wish, settings: Settings, ready: Callable[[str], object]) -> None:
    """Serves these settings in this process until SIGTERM or Ctrl-C.

    Args:
        wish: where, and how they are read again.
        settings: what is served.
        ready: is told the address once it listens.

    Raises:
        ConfigurationError: see `Wish`.
        OSError: when the port is taken.
    """
    configure_logs()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(wish, settings, ready))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(wish: Wish, settings: Settings, ready: Callable[[str], object]) -> None:
    host, port = wish.place(settings)
    async with settings.build() as router:
        log = AccessLog(quiet=wish.quiet)
        gateway = make_gateway(router, settings, anyone=wish.anyone, log=log)
        reloader = Reloader(lambda: wish.renewed(host), router, gateway, settings.files)
        gateway.admin.reload = reloader.reload
        drain = settings.server.drain
        server = Server(gateway, host, port, shared=wish.worker, drain=drain)
        await server.start()
        settle()
        ready(server.url)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch(reloader)) if wish.reload else None
            gently = await _told_to_stop(reloader)
            if watching is not None:
                watching.cancel()
        await server.drain(lead=LEAD if gently else 0.0)


def settle() -> None:
    """Spares what lives as long as the process from every later collection.

    Modules, models and metrics are some 100,000 containers. Walking through them again and again
    takes time from requests, and sweeps the processor's caches.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # see `command.run`
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def make_gateway(
    router: object, settings: Settings, *, anyone: bool = False, log: AccessLog | None = None
) -> Gateway:
    """The gateway that a configuration describes, in front of its router."""
    server = settings.server
    return Gateway(
        router,  # type: ignore[arg-type] # a ChatRouter is a Router, whose types are Any
        models=settings.models,
        keys=settings.keys,
        anyone=anyone,
        origins=server.cors_origins,
        bounds=Bounds(
            body=server.body_limit,
            header=server.header_limit,
            read_timeout=server.read_timeout,
            idle=server.keepalive,
        ),
        log=log,
        patience=Patience(settings.wait, settings.waits),
    )


async def _told_to_stop(reloader: Reloader) -> bool:
    """Waits for SIGTERM or Ctrl-C; True when balancers should be given time to notice.

    A second Ctrl-C stops at once.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[bool] = loop.create_future()
    main = asyncio.current_task()

    def stop(*, gently: bool) -> None:
        if not told.done():
            told.set_result(gently)
        elif not gently and main is not None:
            main.cancel()

    loop.add_signal_handler(signal.SIGTERM, lambda: stop(gently=True))
    loop.add_signal_handler(signal.SIGINT, lambda: stop(gently=False))
    loop.add_signal_handler(signal.SIGHUP, lambda: reloader.reload("SIGHUP"))
    return await told
