"""One process of `multirouter serve`: a gateway that listens, reloads and drains."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from multirouter.config import Settings, discover, load
from multirouter.config.building.telemetry import make_telemetry
from multirouter.config.client_keys.requirement import require_keys
from multirouter.errors import ConfigurationError
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.app import Gateway, ServerLimits
from multirouter.gateway.ids.made_ids import MadeIds
from multirouter.gateway.log_setup import configure_logs, request_logger
from multirouter.gateway.memory import freeze_startup_objects, return_large_blocks
from multirouter.gateway.reload import Reloader, watch
from multirouter.gateway.response_store import ResponseStore
from multirouter.gateway.server import READINESS_LEAD, Server
from multirouter.gateway.short_wait import ShortWait
from multirouter.gateway.signals import Signals
from multirouter.gateway.startup_message import report_start

if TYPE_CHECKING:
    from multirouter.telemetry.opentelemetry import OpenTelemetry

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
        folder: where the processes on a port keep what they share; None for a single process.
        secret: signs the sessions of the console in all of them.
        opentelemetry: whether requests, calls and attempts are traced.
    """

    config: str | None = None
    host: str | None = None
    port: int | None = None
    reload: bool = False
    quiet: bool = False
    allow_anyone: bool = False
    worker: bool = False
    folder: str | None = None
    opentelemetry: bool = False
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def load_settings(self) -> Settings:
        """The current settings.

        Raises:
            ConfigurationError: when they are invalid.
            OSError: when the file cannot be read.
        """
        return discover() if self.config is None else load(self.config)

    def reload_settings(self, host: str, *, keyed: bool) -> Settings:
        """The current settings, for a gateway that listens on a host already.

        Args:
            host: the host.
            keyed: whether the settings in force have keys. Those that a file lacks while it is
                being written do not open the gateway.

        Raises:
            ConfigurationError: when they are invalid, would remove the keys, or would serve other
                machines without keys.
            OSError: when the file cannot be read.
        """
        settings = self.load_settings()
        if keyed and settings.keys is None:
            raise ConfigurationError(
                "keys",
                "must not be removed while the gateway runs: restart it to serve without keys",
            )
        replace(self, host=host).address(settings)
        return settings

    def address(self, settings: Settings) -> tuple[str, int]:
        """The host and the port to listen on.

        Raises:
            ConfigurationError: the host would serve other machines without keys.
        """
        host = require_keys(settings, self.host, allow_anyone=self.allow_anyone)
        return host, settings.server.port if self.port is None else self.port


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
        def read() -> Settings:
            return options.reload_settings(host, keyed=gateway.access.keys is not None)

        reloader = Reloader(read, gateway, settings.files)
        gateway.admin.reload = reloader.reload

        reloads: set[asyncio.Task[str]] = set()

        def act() -> None:
            for number in signals.take():
                if number == signal.SIGHUP:
                    task = loop.create_task(reloader.reload("SIGHUP"))
                    reloads.add(task)
                    task.add_done_callback(reloads.discard)
                else:
                    stop.request(graceful=number == signal.SIGTERM)

        loop = asyncio.get_running_loop()
        loop.add_reader(signals.fileno(), act)
        watching = loop.create_task(watch(reloader)) if options.reload else None
        try:
            yield
        finally:
            loop.remove_reader(signals.fileno())
            for task in (*reloads, *filter(None, [watching])):
                task.cancel()

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
    return_large_blocks()
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
    section = settings.document.telemetry
    if section is None and options.opentelemetry:
        from multirouter.config.sections.telemetry import TelemetrySection

        section = TelemetrySection()
    telemetry = make_telemetry(section)
    log = AccessLog(request_logger(), quiet=options.quiet)
    if telemetry is not None and not telemetry.records:
        log.warning("no traces are recorded", reason="start it with `opentelemetry-instrument`")
    async with settings.build(telemetry=telemetry) as router:
        gateway = make_gateway(
            router,
            settings,
            allow_anyone=options.allow_anyone,
            log=log,
            secret=options.secret,
            telemetry=telemetry,
            folder=options.folder,
        )
        drain = settings.server.drain_timeout
        server = Server(gateway, host, port, reuse_port=options.worker, drain=drain)
        with contextlib.closing(gateway):
            async with control(gateway, stop):
                await server.start()
                freeze_startup_objects()
                on_ready(server.url)
                try:
                    await stop.wait()
                    await server.drain(lead=READINESS_LEAD if stop.graceful else 0.0)
                except asyncio.CancelledError:  # stopped at once
                    await router.aclose(grace=0.0)
                    raise


def make_gateway(
    router: object,
    settings: Settings,
    *,
    allow_anyone: bool = False,
    log: AccessLog | None = None,
    secret: bytes | None = None,
    telemetry: OpenTelemetry | None = None,
    folder: str | None = None,
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
            write_timeout=server.write_timeout,
            keepalive_timeout=server.keepalive_timeout,
        ),
        log=log,
        secret=secret,
        telemetry=telemetry,
        responses=_response_store(settings),
        made_ids=MadeIds(_path_of_ids(settings, folder)),
        short_wait=ShortWait(settings.wait, settings.waits),
    )


def _response_store(settings: Settings) -> ResponseStore | None:
    """The store of responses, in a file of its own beside the history; None if none are kept."""
    history = settings.document.history
    if history is None or not history.responses:
        return None
    path = settings.path_of(f"{history.file}.responses")
    return ResponseStore(path, history.responses, history.retention)


def _path_of_ids(settings: Settings, folder: str | None) -> Path | None:
    """The file of ids: beside the history, which outlives a restart, else in the shared folder."""
    history = settings.document.history
    if history is not None:
        return settings.path_of(f"{history.file}.ids")
    return None if folder is None else Path(folder) / "made.ids"
