"""The section `telemetry`: traces of a router and a gateway from a file."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter.config import load
from multirouter.config.commands.check import describe
from multirouter.errors import ConfigurationError
from multirouter.gateway import process
from multirouter.gateway.process import ServeOptions
from multirouter.gateway.startup_message import startup_message
from multirouter.telemetry.opentelemetry import OpenTelemetry

FILE = "providers: {a: {kind: echo}}\n"


def write(folder: Path, section: str) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(FILE + section, encoding="utf-8")
    return file


def tracer_of(router: Any) -> Any:
    return router._engine.context.tracer


@pytest.mark.parametrize(
    ("section", "shown"),
    [
        ("telemetry: {}\n", "OpenTelemetry(content=False, propagate=True)"),
        (
            "telemetry: {content: true, propagate: false}\n",
            "OpenTelemetry(content=True, propagate=False)",
        ),
        ("", "None"),
    ],
)
def test_a_router_of_a_file_is_traced_as_the_section_says(
    section: str, shown: str, tmp_path: Path
) -> None:
    """With its settings; without the section nothing is traced."""
    router = load(write(tmp_path, section), {}).build(registry=CollectorRegistry())
    assert repr(tracer_of(router)) == shown


def test_a_section_without_a_value_is_reported(tmp_path: Path) -> None:
    """It turns nothing on, and a reader of the file may think that it does."""
    settings = load(write(tmp_path, "telemetry:\nhistory: null\nunknown_route: null\n"), {})
    assert [warning.partition(":")[0] for warning in settings.warnings] == ["history", "telemetry"]
    assert "the section has no value, so it turns nothing on" in describe(settings)
    assert "warnings   2: run `multirouter check`" in startup_message(settings, "http://x")
    assert load(write(tmp_path, "telemetry: {}\n"), {}).warnings == ()


def test_a_tracer_of_the_program_replaces_the_section(tmp_path: Path) -> None:
    """As an argument of `build`, None included."""
    own = OpenTelemetry(propagate=False)
    settings = load(write(tmp_path, "telemetry: {}\n"), {})
    assert tracer_of(settings.build(telemetry=own, registry=CollectorRegistry())) is own
    assert tracer_of(settings.build(telemetry=None, registry=CollectorRegistry())) is None


def test_missing_opentelemetry_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found when the file is checked, with its line and what to install."""
    monkeypatch.setitem(sys.modules, "multirouter.telemetry.opentelemetry", None)
    with pytest.raises(ConfigurationError) as raised:
        load(write(tmp_path, "telemetry: {}\n"), {})
    assert ":2: telemetry: requires OpenTelemetry: pip install 'multirouter[otel]'" in str(
        raised.value
    )


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize(
    ("section", "option", "traced"),
    [("telemetry: {propagate: false}\n", False, True), ("", True, True), ("", False, False)],
)
async def test_a_gateway_is_traced_by_its_file_or_its_option(
    section: str,
    option: bool,
    traced: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gateway and router have one tracer; without an SDK the log says that nothing is recorded."""
    monkeypatch.setattr(process, "freeze_startup_objects", lambda: None)
    options = ServeOptions(config=str(write(tmp_path, section)), port=0, opentelemetry=option)
    found: list[Any] = []

    @asynccontextmanager
    async def control(gateway: Any, stop: Any) -> AsyncGenerator[None]:
        found.extend((gateway, stop))
        yield

    def ready(_url: str) -> None:
        found[1].request(graceful=False)

    await process._serve(options, options.load_settings(), control, ready)
    gateway = found[0]
    assert tracer_of(gateway.router) is gateway._telemetry
    assert (gateway._telemetry is not None) is traced
    assert ("no traces are recorded" in capsys.readouterr().out) is traced
