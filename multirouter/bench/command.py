"""Command `multirouter bench`: load on a router, a configuration or a running gateway."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from multirouter.bench.load import Load, Sample, Target
    from multirouter.bench.outages import PlannedOutage
    from multirouter.bench.summary import Summary

SUMMARY: str = "load on a router, a configuration or a running gateway"
DESCRIPTION: str = """\
Makes requests for some seconds and prints latencies, errors, the providers that answered, and which
part of the time was the router's own. TARGET is a router of a Python module (module:router), a
configuration file, or the URL of a running gateway. The requests are real ones: they cost what the
providers charge."""
EPILOG: str = """\
examples:
  multirouter bench app:router --users 20 --think 0.5
  multirouter bench multirouter.yaml --rate 50 --seconds 30 --outage openai:10-20
  multirouter bench http://127.0.0.1:8080 --model fast --streams 0.5 --svg run.svg

exit status: 0, or 1 if no request was answered."""

KEY_VARIABLE = "MULTIROUTER_KEY"
"""Environment variable with the client key for a gateway."""

CONNECT_TIMEOUT = 10.0
"""Seconds within which a gateway must accept the first connection."""

PROGRESS_INTERVAL = 1.0
"""Seconds between two lines of progress."""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter bench`."""
    option = parser.add_argument
    option("target", metavar="TARGET", help="module:router, a configuration file, or a URL")
    option("--users", type=int, default=10, metavar="N", help="concurrent users (%(default)s)")
    option("--rate", type=float, metavar="R", help="requests per second, instead of users")
    option(
        "--think",
        type=float,
        default=0.0,
        metavar="S",
        help="mean seconds of a user between two requests (%(default)g)",
    )
    option("--seconds", type=float, default=10.0, metavar="S", help="duration (%(default)g)")
    option(
        "--streams",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of requests that are streamed, 0 to 1 (%(default)g)",
    )
    option("--requests", type=Path, metavar="FILE", help="requests, one JSON value per line")
    option("--model", metavar="NAME", help="model of requests that have none")
    option("--route", metavar="NAME", help="route of the calls; not for a URL")
    option(
        "--outage",
        action="append",
        default=[],
        metavar="OUTAGE",
        help="PROVIDER:BEGIN-END[:FAULT], seconds; calls of a router of this process",
    )
    option("--seed", type=int, help="seed of the random choices of the load")
    option("--json", action="store_true", help="print JSON instead of tables")
    option("--svg", type=Path, metavar="FILE", help="write a picture of the run")


def run(arguments: Namespace) -> int:
    """Runs the load, prints the figures, and returns the exit status.

    Raises:
        ConfigurationError: an option or the target is invalid.
        UsageError: the router has no such route.
        OSError: a file cannot be read or written.
    """
    import anyio

    from multirouter.bench import summary as summaries
    from multirouter.bench.load import Load
    from multirouter.bench.outages import parse_outage
    from multirouter.bench.picture import svg
    from multirouter.errors import ConfigurationError

    load = Load(
        users=arguments.users,
        rate=arguments.rate,
        think=arguments.think,
        seconds=arguments.seconds,
        streamed=arguments.streams,
    )
    outages = [parse_outage(text) for text in arguments.outage]
    if _is_url(arguments.target) and not _has_host(arguments.target):
        raise ConfigurationError("TARGET", f"must have a host in its URL, got {arguments.target!r}")
    if _is_url(arguments.target) and (outages or arguments.route):
        raise ConfigurationError(
            "--outage" if outages else "--route", "must not be used with the URL of a gateway"
        )
    requests = _requests(arguments)
    if arguments.svg is not None and not arguments.svg.parent.is_dir():
        raise ConfigurationError("--svg", f"must be in a folder that exists, got {arguments.svg}")
    samples, summary = anyio.run(_run, arguments, load, outages, requests)
    if arguments.svg is not None:
        arguments.svg.write_text(svg(samples, summary.seconds, outages), encoding="utf-8")
    if arguments.json:
        print(json.dumps(summaries.as_json(summary), indent=2))  # noqa: T201 - the output
    else:
        sys.stdout.write(summaries.as_text(summary))
    return 0 if summary.answered else 1


async def _run(
    arguments: Namespace, load: Load, outages: Sequence[PlannedOutage], requests: Sequence[Any]
) -> tuple[list[Sample], Summary]:
    rng = Random(arguments.seed)
    async with _target(arguments, outages, rng) as (target, prepared):
        return await measure(
            target,
            load,
            requests,
            prepared,
            rng,
            progress=sys.stderr,
            own_process=not _is_url(arguments.target),
        )


async def measure(
    target: Target,
    load: Load,
    requests: Sequence[Any],
    prepared: Any,
    rng: Random,
    *,
    progress: TextIO,
    own_process: bool = True,
) -> tuple[list[Sample], Summary]:
    """Runs a load with its outages, and returns all requests and the figures.

    Args:
        target: what gets the load.
        load: how much.
        requests: the requests, in turn.
        prepared: the outages, see `outages.prepare`.
        rng: source of chance.
        progress: gets a line about once a second.
        own_process: whether the target runs in this process.
    """
    import anyio

    from multirouter.bench.load import run_load
    from multirouter.bench.outages import cause
    from multirouter.bench.summary import summarize

    samples: list[Sample] = []
    began, cpu = anyio.current_time(), time.process_time()

    async def report() -> None:
        while True:
            await anyio.sleep(PROGRESS_INTERVAL)
            failed = sum(1 for sample in samples if sample.sent.error)
            seconds = anyio.current_time() - began
            progress.write(f"{seconds:6.0f} s  {len(samples):,} requests, {failed:,} failed\n")

    async with anyio.create_task_group() as group:
        group.start_soon(report)
        group.start_soon(cause, prepared)
        await run_load(target, load, requests, rng=rng, on_sample=samples.append)
        group.cancel_scope.cancel()
    seconds = anyio.current_time() - began
    return samples, summarize(samples, seconds, time.process_time() - cpu if own_process else None)


@asynccontextmanager
async def _target(
    arguments: Namespace, outages: Sequence[PlannedOutage], rng: Random
) -> AsyncGenerator[tuple[Target, Any]]:
    """The target, open, with its outages prepared."""
    from multirouter.bench.outages import prepare
    from multirouter.bench.targets import GatewayTarget, RouterTarget, imported_router

    name: str = arguments.target
    if _is_url(name):
        import aiohttp

        await _check_that_it_runs(name)
        limit = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=limit) as session:
            yield GatewayTarget(name, session, os.environ.get(KEY_VARIABLE)), []
        return
    if _is_file(name):
        from multirouter.config import load

        router: Any = load(name).build()
    else:
        router = imported_router(name)
    async with router:
        if arguments.route is not None:
            router.explain(route=arguments.route)  # raises if there is no such route
        yield RouterTarget(router, arguments.route), prepare(router, outages, rng)


async def _check_that_it_runs(url: str) -> None:
    """Connects to a gateway once: without one, every request would fail, until the end.

    Raises:
        ConfigurationError: nothing accepts connections there.
    """
    import anyio

    from multirouter.errors import ConfigurationError

    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with anyio.fail_after(CONNECT_TIMEOUT):
            connection = await anyio.connect_tcp(parts.hostname or "", port)
    except OSError as error:
        why = str(error.__cause__ or error) or f"no connection within {CONNECT_TIMEOUT:g} s"
        found = f"must be the URL of a gateway that runs, got {url!r} ({why})"
        raise ConfigurationError("TARGET", found) from None
    await connection.aclose()


def _requests(arguments: Namespace) -> list[Any]:
    """The requests: those of the file, or a short chat; each with a model."""
    from multirouter.bench.targets import read_requests
    from multirouter.errors import ConfigurationError

    requests: list[Any] = [{"messages": [{"role": "user", "content": "What is 2 + 2?"}]}]
    if arguments.requests is not None:
        requests = read_requests(arguments.requests.read_bytes(), str(arguments.requests))
        for request in requests if _is_url(arguments.target) else ():
            if not isinstance(request, dict):
                found = f"must have only JSON objects for a gateway, got {request!r}"
                raise ConfigurationError(str(arguments.requests), found)
    if arguments.model is None:
        return requests
    return [
        {"model": arguments.model, **each} if isinstance(each, dict) else each for each in requests
    ]


def _is_url(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _is_file(target: str) -> bool:
    return Path(target).suffix in {".yaml", ".yml", ".toml"}
