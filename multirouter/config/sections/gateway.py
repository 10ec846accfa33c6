"""Sections of the gateway: server, keys, history and alarms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias, TypeVar

from pydantic import Field

from multirouter.config.pydantic_types import DocumentedSection, FromSettings, Integer, Number
from multirouter.listeners.alarms.cost_rules import CostPerHour, CostUnusual
from multirouter.listeners.alarms.rules import (
    AllOpen,
    CircuitOpen,
    FailoverShare,
    FallbackShare,
    ProviderFailing,
)
from multirouter.listeners.alarms.webhook import Webhook
from multirouter.listeners.history.history import BATCH_INTERVAL, MAX_QUEUED_ROWS, RETENTION

T = TypeVar("T")

Factory: TypeAlias = Callable[[], T]
"""A function that makes a new object: alarm rules have state, so each router needs its own."""


class ServerSection(DocumentedSection):
    """The gateway's HTTP server."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on."""
    port: Integer = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    max_body_size: Integer = Field(default=64 * 2**20, ge=1024)
    """Maximum size of a request body, bytes."""
    max_header_size: Integer = Field(default=16 * 2**10, ge=1024)
    """Maximum size of a line and of a field of a request's head, bytes."""
    read_timeout: Number = Field(default=30.0, gt=0, le=1e9)
    """Maximum time to receive a request, seconds."""
    write_timeout: Number = Field(default=60.0, gt=0, le=1e9)
    """Time after which a client that reads nothing of its answer is disconnected, seconds."""
    keepalive_timeout: Number = Field(default=75.0, gt=0, le=1e9)
    """Time after which an idle connection is closed, seconds."""
    drain_timeout: Number = Field(default=30.0, ge=0, le=1e9)
    """Time for requests in flight to finish after SIGTERM, seconds."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose web pages may send requests; `*` for all. Default: none."""


class KeysSection(DocumentedSection):
    """API keys of the gateway's clients."""

    file: str = Field(min_length=1)
    """Key file of `multirouter keys`, with hashes; relative to the configuration's folder."""


class HistorySection(DocumentedSection):
    """A database of calls and events, from which a restart restores circuits and latencies."""

    file: str = Field(min_length=1)
    """SQLite file; relative to the configuration's folder."""
    retention: Number = Field(default=RETENTION, gt=0)
    """Age after which rows are deleted, seconds."""
    responses: Integer = Field(default=0, ge=0)
    """Responses that are kept, with contents, in FILE.responses; 0 keeps none."""
    batch_interval: Number = Field(default=BATCH_INTERVAL, gt=0)
    """Seconds between two writes."""
    max_queued_rows: Integer = Field(default=MAX_QUEUED_ROWS, ge=1)
    """Rows that wait to be written; further ones are dropped and counted."""


class AlarmsSection(DocumentedSection):
    """Alarm rules and webhooks. Every alarm is a log event and a metric too."""

    webhooks: tuple[
        Annotated[Factory[Webhook], FromSettings("body", "wall", as_factory=True)], ...
    ] = ()
    """Webhooks that receive alarms as a POST of JSON."""
    interval: Number = Field(default=1.0, gt=0)
    """Seconds between two evaluations of the rules that depend on time."""
    provider_failing: (
        Annotated[Factory[ProviderFailing], FromSettings("name", as_factory=True)] | None
    ) = None
    """The share of a provider's failed attempts exceeds a threshold."""
    failover_share: (
        Annotated[Factory[FailoverShare], FromSettings("name", as_factory=True)] | None
    ) = None
    """The share of a route's calls that its first choice did not answer exceeds a threshold."""
    fallback_share: (
        Annotated[Factory[FallbackShare], FromSettings("name", as_factory=True)] | None
    ) = None
    """The share of a route's calls that got the fallback answer exceeds a threshold."""
    circuit_open: Annotated[Factory[CircuitOpen], FromSettings("name", as_factory=True)] | None = (
        None
    )
    """A circuit has not been closed for longer than a threshold."""
    all_open: Annotated[Factory[AllOpen], FromSettings("name", as_factory=True)] | None = None
    """No provider is available."""
    cost_per_hour: (
        Annotated[Factory[CostPerHour], FromSettings("name", "cost", as_factory=True)] | None
    ) = None
    """The cost of the last hour exceeds a threshold."""
    cost_unusual: (
        Annotated[Factory[CostUnusual], FromSettings("name", "cost", as_factory=True)] | None
    ) = None
    """The cost of the last hour is far above the usual cost of an hour."""
