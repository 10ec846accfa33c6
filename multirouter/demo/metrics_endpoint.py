"""The `/metrics` endpoint of the demo on loopback, for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import aiohttp
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from multirouter.errors import ConfigurationError

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Scrape:
    """Result of one scrape of the endpoint.

    Attributes:
        samples: number of samples.
        answered: `multirouter_calls_total{outcome="success"}`.
        failed_attempts: `multirouter_attempts_total{outcome="failure"}` of all providers.
    """

    samples: int
    answered: int
    failed_attempts: int


class MetricsEndpoint:
    """Serves a registry over HTTP: `async with MetricsEndpoint(registry) as shown: shown.url`.

    Args:
        registry: the registry to serve.
        port: the port; 0 takes a free one.

    Raises:
        ConfigurationError: on entering, if the port cannot be opened.
    """

    def __init__(self, registry: CollectorRegistry, port: int = 0) -> None:
        self._registry = registry
        self._port = port
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        """The URL of the endpoint."""
        return f"http://{HOST}:{self._runner.addresses[0][1]}/metrics"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            why = f"cannot open port {self._port} ({error.strerror}); 0 takes a free port"
            raise ConfigurationError("metrics-port", why) from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    async def scrape(self, session: aiohttp.ClientSession) -> Scrape:
        """Scrapes the endpoint over HTTP, as Prometheus does."""
        async with session.get(self.url) as response:
            text = await response.text()
        families = list(text_string_to_metric_families(text))
        samples = [sample for family in families for sample in family.samples]

        def total(name: str, outcome: str) -> int:
            of_outcome = (s for s in samples if s.name == name and s.labels["outcome"] == outcome)
            return int(sum(sample.value for sample in of_outcome))

        return Scrape(
            len(samples),
            total("multirouter_calls_total", "success"),
            total("multirouter_attempts_total", "failure"),
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
