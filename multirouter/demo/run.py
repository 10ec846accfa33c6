"""Plays the scenario: sets the stage, makes the calls, brings the outage, tells the view."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Protocol

import aiohttp
from prometheus_client import CollectorRegistry

from multirouter.core.settings.provider import Provider
from multirouter.demo.counters import Moment, Tally
from multirouter.demo.demo_provider import DemoProvider, asking
from multirouter.demo.metrics_endpoint import Exposition
from multirouter.demo.provider_rows import standings
from multirouter.demo.scenario import CAST, Scenario
from multirouter.demo.summary import Summary
from multirouter.router import MultiProviderRouter


@dataclass(slots=True)
class Stage:
    """All that is there while the demo runs.

    Attributes:
        scenario: the settings.
        router: the router under show.
        tally: what has been counted so far.
        upstreams: the providers on loopback, by name.
        exposition: the metrics endpoint.
        session: the connections to all of them.
    """

    scenario: Scenario
    router: MultiProviderRouter[str, str]
    tally: Tally
    upstreams: dict[str, DemoProvider]
    exposition: Exposition
    session: aiohttp.ClientSession

    def elapsed(self) -> float:
        """Seconds since the first call."""
        return asyncio.get_running_loop().time() - self.tally.began


class View(Protocol):
    """Shows a running demo to somebody.

    Attributes:
        every: seconds between two looks.
    """

    every: float

    def show(self, stage: Stage) -> None:
        """Shows how things stand; called first before the first call, and last after the last."""
        ...


async def play(scenario: Scenario, view: View) -> Summary:
    """Plays a scenario to its end; a cancellation ends it early, with the summary so far.

    Args:
        scenario: what is played.
        view: is shown how things stand, now and then.

    Raises:
        ConfigurationError: the metrics port cannot be had.
    """
    async with _stage(scenario) as stage:
        working = asyncio.create_task(_work(stage))
        interrupted = False
        try:
            await _watch(stage, view, working)
        except asyncio.CancelledError:
            # The one who cancels wants the end, and the summary is how this ends.
            interrupted = True
            _uncancelled()
        finally:
            working.cancel()
            await asyncio.wait({working})
        elapsed = stage.elapsed()
        view.show(stage)
        return Summary(
            scenario,
            elapsed,
            interrupted,
            stage.tally,
            standings(stage.router, stage.tally),
            stage.exposition.url,
            await stage.exposition.scrape(stage.session),
        )


@asynccontextmanager
async def _stage(scenario: Scenario) -> AsyncGenerator[Stage, None]:
    """Starts the providers, the router before them and the endpoint beside it; ends them all."""
    rng = Random(scenario.seed)
    registry = CollectorRegistry()
    # The demo tells its story itself; the router's own lines are for what should not happen.
    logger = logging.getLogger("multirouter.demo")
    logger.setLevel(logging.ERROR)
    tally = Tally()
    upstreams = {
        part.name: DemoProvider(part.latency, scenario.hiccups, Random(rng.random()))
        for part in CAST
    }
    async with (
        Exposition(registry, scenario.metrics_port) as exposition,
        _started(upstreams),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        MultiProviderRouter(
            [
                Provider(part.name, asking(session, upstreams[part.name].url), weight=part.weight)
                for part in CAST
            ],
            name="demo",
            attempt_timeout=scenario.attempt_timeout,
            listeners=[tally],
            registry=registry,
            logger=logger,
            rng=rng,
        ) as router,
    ):
        tally.began = asyncio.get_running_loop().time()
        yield Stage(scenario, router, tally, upstreams, exposition, session)


@asynccontextmanager
async def _started(upstreams: dict[str, DemoProvider]) -> AsyncGenerator[None, None]:
    try:
        for upstream in upstreams.values():
            await upstream.start()
        yield
    finally:
        for upstream in upstreams.values():
            await upstream.aclose()


async def _watch(stage: Stage, view: View, working: asyncio.Task[None]) -> None:
    """Shows the stage until the work is done; what the work or the view raises ends it."""
    while not working.done():
        view.show(stage)
        await asyncio.wait({working}, timeout=view.every)
    await working


def _uncancelled() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


async def _work(stage: Stage) -> None:
    """Makes all the calls, so many at a time, with the outage in their midst."""
    prompts = (f"Question {number}" for number in range(1, stage.scenario.calls + 1))
    due = asyncio.Event()
    async with asyncio.TaskGroup() as around:
        outage = around.create_task(_outage(stage, due))
        async with asyncio.TaskGroup() as callers:
            for _ in range(stage.scenario.concurrency):
                callers.create_task(_call(stage, prompts, due))
        outage.cancel()


async def _call(stage: Stage, prompts: Iterator[str], due: asyncio.Event) -> None:
    """One caller: asks the next question as soon as the last one is answered."""
    enough = stage.scenario.outage_after * stage.scenario.calls
    for prompt in prompts:
        try:
            await stage.router.call(prompt)
        except Exception as error:  # noqa: BLE001 - whatever a caller sees is to be counted
            stage.tally.refused(error)
        if enough <= stage.tally.calls < stage.scenario.calls:
            due.set()


async def _outage(stage: Stage, due: asyncio.Event) -> None:
    """Takes the heaviest provider down for its time, once enough calls are through."""
    lasts = stage.scenario.outage
    if not lasts:
        return
    name = CAST[0].name
    upstream, history = stage.upstreams[name], stage.tally.history
    await due.wait()
    history.append(Moment(stage.elapsed(), name, "down", lasts=lasts))
    upstream.fall()
    await asyncio.sleep(lasts)
    upstream.rise()
    history.append(Moment(stage.elapsed(), name, "up"))
