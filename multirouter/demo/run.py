"""Runs the demo: starts providers and router, makes the calls and the outage, updates the view."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Protocol

import aiohttp
from prometheus_client import CollectorRegistry

from multirouter.core.settings.provider import Provider
from multirouter.demo.counters import Counters, DemoEvent
from multirouter.demo.demo_provider import DemoProvider, http_call
from multirouter.demo.metrics_endpoint import MetricsEndpoint
from multirouter.demo.provider_rows import provider_rows
from multirouter.demo.scenario import PROVIDERS, Scenario
from multirouter.demo.summary import Summary
from multirouter.router import MultiProviderRouter


@dataclass(slots=True)
class DemoState:
    """Objects of a running demo.

    Attributes:
        scenario: the settings.
        router: the router.
        counters: the counters so far.
        providers: the HTTP providers on loopback, by name.
        metrics: the metrics endpoint.
        session: the HTTP session for all of them.
    """

    scenario: Scenario
    router: MultiProviderRouter[str, str]
    counters: Counters
    providers: dict[str, DemoProvider]
    metrics: MetricsEndpoint
    session: aiohttp.ClientSession

    def elapsed(self) -> float:
        """Seconds since the first call."""
        return asyncio.get_running_loop().time() - self.counters.started_at


class View(Protocol):
    """Displays a running demo.

    Attributes:
        every: seconds between two updates.
    """

    every: float

    def show(self, demo: DemoState) -> None:
        """Shows the current state; called before the first call, regularly, and after the last."""
        ...


async def run_demo(
    scenario: Scenario, view: View, *, open_page: Callable[[str], None] | None = None
) -> Summary:
    """Runs a scenario and returns the summary; a cancellation ends it early, without an error.

    Args:
        scenario: the settings.
        view: displays the state while the demo runs.
        open_page: called with the URL of the router's console, which is then served until the demo
            is cancelled, also after its last call; None for no console.

    Raises:
        ConfigurationError: the metrics port cannot be opened.
    """
    async with _start(scenario) as demo, _console(demo, open_page):
        calls_task = asyncio.create_task(_make_calls(demo))
        ended_after: float | None = None
        try:
            await _show_until_done(demo, view, calls_task)
            ended_after = demo.elapsed()
            if open_page is not None:
                view.show(demo)
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            # Cancellation stops the calls; the summary so far is still returned.
            _clear_cancellation()
        finally:
            calls_task.cancel()
            await asyncio.wait({calls_task})
        elapsed = demo.elapsed() if ended_after is None else ended_after
        view.show(demo)
        return Summary(
            scenario,
            elapsed,
            ended_after is None,
            demo.counters,
            provider_rows(demo.router, demo.counters),
            demo.metrics.url,
            await demo.metrics.scrape(demo.session),
        )


@asynccontextmanager
async def _start(scenario: Scenario) -> AsyncGenerator[DemoState, None]:
    """Starts providers, metrics endpoint and router, and stops them at the end."""
    rng = Random(scenario.seed)
    registry = CollectorRegistry()
    # The demo prints events itself; of the router's log only errors are shown.
    logger = logging.getLogger("multirouter.demo")
    logger.setLevel(logging.ERROR)
    counters = Counters()
    providers = {
        spec.name: DemoProvider(spec.latency, scenario.error_rate, Random(rng.random()))
        for spec in PROVIDERS
    }
    async with (
        MetricsEndpoint(registry, scenario.metrics_port) as metrics,
        _serving(providers),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        MultiProviderRouter(
            [
                Provider(
                    spec.name, http_call(session, providers[spec.name].url), weight=spec.weight
                )
                for spec in PROVIDERS
            ],
            name="demo",
            attempt_timeout=scenario.attempt_timeout,
            listeners=[counters],
            registry=registry,
            logger=logger,
            rng=rng,
        ) as router,
    ):
        counters.started_at = asyncio.get_running_loop().time()
        yield DemoState(scenario, router, counters, providers, metrics, session)


@asynccontextmanager
async def _serving(providers: dict[str, DemoProvider]) -> AsyncGenerator[None, None]:
    try:
        for provider in providers.values():
            await provider.start()
        yield
    finally:
        for provider in providers.values():
            await provider.aclose()


@asynccontextmanager
async def _console(
    demo: DemoState, open_page: Callable[[str], None] | None
) -> AsyncGenerator[None, None]:
    """Serves the console of the demo's router, if it is wanted."""
    if open_page is None:
        yield
        return
    from multirouter.gateway.embedded.console_server import ConsoleServer

    console = ConsoleServer(demo.router)
    await asyncio.to_thread(console.start)
    try:
        open_page(console.url)
        yield
    finally:
        await asyncio.to_thread(console.close)


async def _show_until_done(demo: DemoState, view: View, calls_task: asyncio.Task[None]) -> None:
    """Updates the view until all calls are made; errors of the calls or the view propagate."""
    while not calls_task.done():
        view.show(demo)
        await asyncio.wait({calls_task}, timeout=view.every)
    await calls_task


def _clear_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


async def _make_calls(demo: DemoState) -> None:
    """Makes all calls, `concurrency` at a time, and the outage."""
    prompts = (f"Question {number}" for number in range(1, demo.scenario.calls + 1))
    outage_due = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        outage = tasks.create_task(_outage(demo, outage_due))
        async with asyncio.TaskGroup() as callers:
            for _ in range(demo.scenario.concurrency):
                callers.create_task(_call(demo, prompts, outage_due))
        outage.cancel()


async def _call(demo: DemoState, prompts: Iterator[str], outage_due: asyncio.Event) -> None:
    """One caller: makes the next call when the previous one has ended."""
    threshold = demo.scenario.outage_after * demo.scenario.calls
    for prompt in prompts:
        try:
            await demo.router.call(prompt)
        except Exception as error:  # noqa: BLE001 - every error that a caller sees is counted
            demo.counters.record_error(error)
        if threshold <= demo.counters.calls < demo.scenario.calls:
            outage_due.set()


async def _outage(demo: DemoState, outage_due: asyncio.Event) -> None:
    """Takes the provider with the highest weight down when enough calls have ended."""
    duration = demo.scenario.outage
    if not duration:
        return
    name = PROVIDERS[0].name
    provider, events = demo.providers[name], demo.counters.events
    await outage_due.wait()
    events.append(DemoEvent(demo.elapsed(), name, "down", duration=duration))
    provider.start_outage()
    await asyncio.sleep(duration)
    provider.end_outage()
    events.append(DemoEvent(demo.elapsed(), name, "up"))
