"""Reading the configuration again: what changes, what is refused, and that nothing else happens."""

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
from multirouter.config.keyfile import write_keys
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.app import Gateway
from multirouter.gateway.process import Wish, make_gateway
from multirouter.gateway.reload import Reloader, watch
from tests.gateway.kit import Lines

pytestmark = [pytest.mark.backends("asyncio")]

CONFIG = "providers:\n  echo: {kind: echo}\nroutes:\n  %s: {tiers: [echo]}\n"
KEYED = CONFIG + "keys: {file: keys.json}\n"


@dataclass
class Place:
    """A gateway that nobody asks, and its file."""

    file: Path
    gateway: Gateway
    reloader: Reloader
    log: Lines

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.log.told]


@asynccontextmanager
async def configured(folder: Path, text: str, host: str = "127.0.0.1") -> AsyncIterator[Place]:
    file = folder / "gateway.yaml"
    file.write_text(text)
    wish = Wish(config=str(file), host=host)
    settings = wish.settings()
    log = Lines()
    async with settings.build(registry=CollectorRegistry()) as router:
        gateway = make_gateway(router, settings, log=AccessLog(log))
        reloader = Reloader(lambda: wish.renewed(host), router, gateway, settings.files)
        yield Place(file, gateway, reloader, log)
        await gateway.aclose()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"providers: [", "no YAML"),
        (b"", "needed"),
        (b"&a [*a]", "within itself"),
        (b"[" * 5000, "nested too deeply"),
        (b"providers: {openai: {api_key: '${NOT_SET_ANYWHERE}'}}", "NOT_SET_ANYWHERE"),
        (None, "No such file"),
    ],
)
async def test_what_cannot_be_read_changes_nothing(
    written: bytes | None, why: str, tmp_path: Path
) -> None:
    """Whatever a file holds, or none, the old settings stay in force and the log says why."""
    async with configured(tmp_path, CONFIG % "one") as place:
        if written is None:
            place.file.unlink()
        else:
            place.file.write_bytes(written)
        assert why in place.reloader.reload("SIGHUP")
        assert place.gateway.catalog.find("one").route == "one"
        assert place.events == ["reload refused"]
        place.file.write_text(CONFIG % "two")
        assert place.reloader.reload("SIGHUP") == ""
        assert place.gateway.catalog.find("two").route == "two"


async def test_what_nobody_foresaw_ends_nothing(tmp_path: Path) -> None:
    """A reload that fails by a mistake of ours is refused like any other."""

    def broken() -> None:
        raise ZeroDivisionError("a bug")

    async with configured(tmp_path, CONFIG % "one") as place:
        reloader = Reloader(broken, place.gateway.router, place.gateway)  # type: ignore[arg-type] # it never returns
        assert "a bug" in reloader.reload("SIGHUP")
        assert place.events == ["reload refused"]


async def test_keys_are_read_again(tmp_path: Path) -> None:
    """A key that was made is good after a reload, and one that was revoked is not."""
    book, old = KeyBook().new("old")
    write_keys(tmp_path / "keys.json", book)
    async with configured(tmp_path, KEYED % "one", host="0.0.0.0") as place:
        book, new = book.revoke("old").new("new")
        write_keys(tmp_path / "keys.json", book)
        assert place.reloader.reload("SIGHUP") == ""
        keys = place.gateway.guard.keys
        assert keys is not None
        assert (keys.check(old), keys.check(new) is not None) == (None, True)


async def test_a_reload_opens_no_door_to_other_machines(tmp_path: Path) -> None:
    """A gateway that others reach keeps its keys when a file no longer names any."""
    book, token = KeyBook().new("alice")
    write_keys(tmp_path / "keys.json", book)
    async with configured(tmp_path, KEYED % "one", host="0.0.0.0") as place:
        place.file.write_text(CONFIG % "one")
        assert "no keys are configured" in place.reloader.reload("SIGHUP")
        assert place.gateway.guard.keys is not None
        assert place.gateway.guard.key_of({"Authorization": f"Bearer {token}"}) is not None


async def test_a_file_is_watched(tmp_path: Path) -> None:
    """A change is seen within a second, a file that is away for a moment is waited for."""
    async with configured(tmp_path, CONFIG % "one") as place:
        watching = asyncio.create_task(watch(place.reloader))
        await anyio.sleep(1.5)
        assert place.events == []
        place.file.unlink()
        await anyio.sleep(1.5)
        place.file.write_text(CONFIG % "three")
        await anyio.sleep(1.1)
        assert place.gateway.catalog.find("three").route == "three"
        place.file.write_text("&a [*a]")
        await anyio.sleep(1.1)
        moved = place.file.with_suffix(".new")
        moved.write_text(CONFIG % "four")
        moved.replace(place.file)
        await anyio.sleep(1.1)
        assert place.gateway.catalog.find("four").route == "four"
        watching.cancel()
    assert place.events == ["reloaded", "reload refused", "reloaded"]


async def test_the_keys_are_watched(tmp_path: Path) -> None:
    """A key that is revoked opens nothing a second later, also where a reload named the file."""
    book, token = KeyBook().new("alice")
    async with configured(tmp_path, CONFIG % "one") as place:
        watching = asyncio.create_task(watch(place.reloader))
        await anyio.sleep(0.5)
        write_keys(tmp_path / "keys.json", book)
        place.file.write_text(KEYED % "one")
        await anyio.sleep(1.1)
        keys = place.gateway.guard.keys
        assert keys is not None
        assert keys.check(token) is not None
        await anyio.sleep(1.1)
        write_keys(tmp_path / "keys.json", book.revoke("alice"))
        await anyio.sleep(1.1)
        keys = place.gateway.guard.keys
        assert keys is not None
        assert keys.check(token) is None
        watching.cancel()
    assert place.events == ["reloaded", "reloaded"]


def test_a_host_that_others_reach_is_refused_again(tmp_path: Path) -> None:
    """What may not be served at the start may not be served after a reload."""
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG % "one")
    with pytest.raises(ConfigurationError, match="no keys are configured"):
        Wish(config=str(file)).renewed("0.0.0.0")
    assert Wish(config=str(file), anyone=True).renewed("0.0.0.0").keys is None
