"""Gateways that share their state: admin operations and revoked keys reach all of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from multirouter import ConfigurationError
from multirouter.config import load
from multirouter.config.client_keys.hashed_keys import KeyBook
from multirouter.gateway.short_wait import ShortWait
from multirouter.testing.sharing import MemoryServer
from tests.gateway.harness import Harness, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def get(harness: Harness, path: str, token: str) -> tuple[int, Any]:
    async with harness.http.get(harness.url + path, headers=bearer(token)) as response:
        return response.status, await response.json()


async def test_admin_operations_at_one_gateway_act_on_all() -> None:
    """A hold and a weight that are set at one are set at the other; both show the fleet."""
    book, admin = KeyBook().new("root", admin=True)
    server = MemoryServer()
    async with (
        running_gateway(keys=book, sharing=server.sharing("x")) as one,
        running_gateway(keys=book, sharing=server.sharing("y")) as two,
    ):
        await asyncio.sleep(4.0)
        for path, body in (
            ("hold", {"provider": "first", "how": "open"}),
            ("weight", {"provider": "first", "weight": 9}),
        ):
            data = json.dumps(body).encode()
            assert (await one.post(f"/admin/{path}", data, bearer(admin))).status == 200
        await asyncio.sleep(0.1)
        _, providers = await get(two, "/admin/providers", admin)
        assert providers["first"]["hold"] == "open"
        assert two.router.providers[0].weight == 9
        await asyncio.sleep(4.0)
        status, fleet = await get(two, "/admin/fleet", admin)
        assert status == 200
        assert [member["host"] for member in fleet["members"]] == ["y", "x"]
        held = {"state": "open", "hold": "open", "cooling_down": False}
        assert [member["providers"] for member in fleet["members"]] == [{"first": held}] * 2
        assert {fact["kind"] for fact in fleet["facts"]} == {"hold", "weight"}
        assert (await two.gateway.console.sections())["fleet"] == fleet
        data = json.dumps({"provider": "first"}).encode()
        assert (await two.post("/admin/unhold", data, bearer(admin))).status == 200
        await asyncio.sleep(0.1)
        _, providers = await get(one, "/admin/providers", admin)
        assert providers["first"]["hold"] is None


async def test_a_key_that_one_gateway_revokes_is_rejected_by_all() -> None:
    """Within milliseconds, and by one that starts later with an old key file."""
    book, token = KeyBook().new("alice")
    server = MemoryServer()
    async with (
        running_gateway(keys=book, sharing=server.sharing("x")) as one,
        running_gateway(keys=book, sharing=server.sharing("y")) as two,
    ):
        assert (await two.send(headers=bearer(token))).status == 200
        revoked = book.revoke("alice")
        one.gateway.apply(models={"m": "main"}, keys=revoked, short_wait=ShortWait())
        await asyncio.sleep(0.01)
        for harness in (one, two):
            assert (await harness.send(headers=bearer(token))).status == 401
        async with running_gateway(keys=book, sharing=server.sharing("z")) as late:
            assert (await late.send(headers=bearer(token))).status == 401


async def test_without_sharing_there_is_no_fleet() -> None:
    """The endpoint reports it, and the console's section is null."""
    book, admin = KeyBook().new("root", admin=True)
    async with running_gateway(keys=book) as harness:
        status, body = await get(harness, "/admin/fleet", admin)
        assert (await harness.gateway.console.sections())["fleet"] is None
        assert status == 404
        assert "sharing" in body["error"]["message"]


def configuration(tmp_path: Path, sharing: str) -> Path:
    path = tmp_path / "multirouter.yaml"
    path.write_text(f"providers: {{echo: {{}}}}\nsharing: {sharing}\n", encoding="utf-8")
    return path


def test_the_configuration_file_sets_sharing(tmp_path: Path) -> None:
    """All settings of the section reach the router; the password appears nowhere."""
    settings = load(
        configuration(
            tmp_path,
            "{url: '${REDIS}', namespace: n, quorum: {processes: 3}, interval: 1, host: h}",
        ),
        {"REDIS": "redis://u:s3cret@cache:1/2"},
    )
    router = settings.build()
    sharing = router.membership._sharing
    assert str(sharing) == "redis://cache:1/2"
    options = sharing.options
    assert (options.namespace, options.quorum.processes) == ("n", 3)
    assert (options.interval, options.host) == (1.0, "h")
    assert "s3cret" not in repr(settings.document)


@pytest.mark.parametrize(
    ("sharing", "message"),
    [
        ("{}", "sharing.url"),
        ("{url: 'http://x'}", "sharing.url"),
        ("{url: 'redis://x', quorum: {processes: 0}}", "processes"),
        ("{url: 'redis://x', interval: 0}", "sharing.interval"),
        ("{url: 'redis://x', namespace: ''}", "namespace"),
        ("{url: 'redis://x', zeppelin: 1}", "zeppelin"),
    ],
)
def test_invalid_sharing_in_the_file(tmp_path: Path, sharing: str, message: str) -> None:
    """Each error names its setting."""
    with pytest.raises(ConfigurationError, match=message):
        load(configuration(tmp_path, sharing), {})
