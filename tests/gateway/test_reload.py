"""Configuration reloads: what is applied, what is rejected, and which files are watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError
from multirouter.config import KeyBook
from multirouter.config.client_keys.key_file import save_keys
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.app import Gateway
from multirouter.gateway.process import ServeOptions, make_gateway
from multirouter.gateway.reload import Reloader, watch
from tests.gateway.harness import RecordingLogger

pytestmark = [pytest.mark.backends("asyncio")]

CONFIG = "providers:\n  echo: {kind: echo}\nroutes:\n  %s: {tiers: [echo]}\n"
KEYED = CONFIG + "keys: {file: keys.json}\n"


@dataclass
class Configured:
    """A gateway without a server, its configuration file, reloader and log."""

    file: Path
    gateway: Gateway
    reloader: Reloader
    log: RecordingLogger

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.log.events]


@asynccontextmanager
async def configured(folder: Path, text: str, host: str = "127.0.0.1") -> AsyncIterator[Configured]:
    file = folder / "gateway.yaml"
    file.write_text(text)
    options = ServeOptions(config=str(file), host=host)
    settings = options.load_settings()
    log = RecordingLogger()
    async with settings.build(registry=CollectorRegistry()) as router:
        gateway = make_gateway(router, settings, log=AccessLog(log))
        reloader = Reloader(
            lambda: options.reload_settings(host, keyed=settings.keys is not None),
            gateway,
            settings.files,
        )
        yield Configured(file, gateway, reloader, log)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"providers: [", "invalid YAML"),
        (b"", "is required"),
        (b"&a [*a]", "contains itself"),
        (b"[" * 5000, "nested too deeply"),
        (b"providers: {openai: {api_key: '${NOT_SET_ANYWHERE}'}}", "NOT_SET_ANYWHERE"),
        (None, "No such file"),
    ],
)
async def test_invalid_file_changes_nothing(
    content: bytes | None, problem: str, tmp_path: Path
) -> None:
    """An invalid or missing file leaves the old settings in force, and is logged."""
    async with configured(tmp_path, CONFIG % "one") as harness:
        if content is None:
            harness.file.unlink()
        else:
            harness.file.write_bytes(content)
        assert problem in await harness.reloader.reload("SIGHUP")
        assert harness.gateway.catalogue.find("one").route == "one"
        assert harness.events == ["configuration reload rejected"]
        harness.file.write_text(CONFIG % "two")
        assert await harness.reloader.reload("SIGHUP") == ""
        assert harness.gateway.catalogue.find("two").route == "two"


async def test_unexpected_error_is_rejected(tmp_path: Path) -> None:
    """A reload that fails with an unexpected exception is rejected like any other."""

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    async with configured(tmp_path, CONFIG % "one") as harness:
        reloader = Reloader(fail, harness.gateway)  # type: ignore[arg-type] # it never returns
        assert "a bug" in await reloader.reload("SIGHUP")
        assert harness.events == ["configuration reload rejected"]


async def test_keys_are_reloaded(tmp_path: Path) -> None:
    """After a reload a new key is valid and a revoked one is not."""
    book, old = KeyBook().new("old")
    save_keys(tmp_path / "keys.json", book)
    async with configured(tmp_path, KEYED % "one", host="0.0.0.0") as harness:
        book, new = book.revoke("old").new("new")
        save_keys(tmp_path / "keys.json", book)
        assert await harness.reloader.reload("SIGHUP") == ""
        keys = harness.gateway.access.keys
        assert keys is not None
        assert (keys.check(old), keys.check(new) is not None) == (None, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_reload_cannot_remove_the_keys(host: str, tmp_path: Path) -> None:
    """A gateway with keys rejects a file without them, such as one that is half written."""
    book, token = KeyBook().new("alice")
    save_keys(tmp_path / "keys.json", book)
    async with configured(tmp_path, KEYED % "one", host=host) as harness:
        harness.file.write_text(CONFIG % "one")
        assert "must not be removed" in await harness.reloader.reload("SIGHUP")
        assert harness.gateway.access.keys is not None
        assert harness.gateway.access.authenticate({"Authorization": f"Bearer {token}"}) is not None


async def test_file_is_watched(tmp_path: Path) -> None:
    """A change is applied within a second, also after the file was missing for a moment."""
    async with configured(tmp_path, CONFIG % "one") as harness:
        watching = asyncio.create_task(watch(harness.reloader))
        await anyio.sleep(1.5)
        assert harness.events == []
        harness.file.unlink()
        await anyio.sleep(1.5)
        harness.file.write_text(CONFIG % "three")
        await anyio.sleep(1.1)
        assert harness.gateway.catalogue.find("three").route == "three"
        harness.file.write_text("&a [*a]")
        await anyio.sleep(1.1)
        moved = harness.file.with_suffix(".new")
        moved.write_text(CONFIG % "four")
        moved.replace(harness.file)
        await anyio.sleep(1.1)
        assert harness.gateway.catalogue.find("four").route == "four"
        watching.cancel()
    assert harness.events == [
        "configuration reloaded",
        "configuration reload rejected",
        "configuration reloaded",
    ]


async def test_change_before_the_watch_begins_is_noticed(tmp_path: Path) -> None:
    """Files are compared with their states when they were read, not when the watch began."""
    book, token = KeyBook().new("alice")
    save_keys(tmp_path / "keys.json", book)
    async with configured(tmp_path, KEYED % "one") as harness:
        harness.file.write_text(KEYED % "two")
        save_keys(tmp_path / "keys.json", book.revoke("alice"))
        watching = asyncio.create_task(watch(harness.reloader))
        await anyio.sleep(1.1)
        assert harness.gateway.catalogue.find("two").route == "two"
        keys = harness.gateway.access.keys
        assert keys is not None
        assert keys.check(token) is None
        await anyio.sleep(2.2)
        watching.cancel()
    assert harness.events == ["configuration reloaded"]


async def test_reload_by_signal_is_not_repeated(tmp_path: Path) -> None:
    """A change that a signal has applied is not applied again by the watch."""
    async with configured(tmp_path, CONFIG % "one") as harness:
        watching = asyncio.create_task(watch(harness.reloader))
        await anyio.sleep(0.5)
        harness.file.write_text(CONFIG % "two")
        assert await harness.reloader.reload("SIGHUP") == ""
        await anyio.sleep(2.2)
        watching.cancel()
    assert harness.events == ["configuration reloaded"]


async def test_key_file_is_watched(tmp_path: Path) -> None:
    """A revoked key is invalid a second later, also in a key file that a reload has added."""
    book, token = KeyBook().new("alice")
    async with configured(tmp_path, CONFIG % "one") as harness:
        watching = asyncio.create_task(watch(harness.reloader))
        await anyio.sleep(0.5)
        save_keys(tmp_path / "keys.json", book)
        harness.file.write_text(KEYED % "one")
        await anyio.sleep(1.1)
        keys = harness.gateway.access.keys
        assert keys is not None
        assert keys.check(token) is not None
        await anyio.sleep(1.1)
        save_keys(tmp_path / "keys.json", book.revoke("alice"))
        await anyio.sleep(1.1)
        keys = harness.gateway.access.keys
        assert keys is not None
        assert keys.check(token) is None
        watching.cancel()
    assert harness.events == ["configuration reloaded", "configuration reloaded"]


def test_reload_checks_the_host_again(tmp_path: Path) -> None:
    """Other machines are not served without keys after a reload either."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with pytest.raises(ConfigurationError, match="no keys are configured"):
        ServeOptions(config=str(file)).reload_settings("0.0.0.0", keyed=False)
    assert (
        ServeOptions(config=str(file), allow_anyone=True)
        .reload_settings("0.0.0.0", keyed=False)
        .keys
        is None
    )
