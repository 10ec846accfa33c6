"""The view of a fleet in a real browser: who is connected, and changes that act on all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider
from multirouter.testing.sharing import MemoryServer
from tests.console.chromium import PHONE, Browser, Running, gateway_in_a_thread
from tests.console.test_browser import LOW_CONTRAST, UNNAMED


async def good(_request: Any) -> str:
    return "good"


@contextmanager
def fleet(*hosts: str) -> Iterator[tuple[Running, list[MultiProviderRouter[Any, Any, Any]], Any]]:
    """A gateway, further processes of its fleet on these hosts, and the server of their state."""
    server = MemoryServer()
    others: list[MultiProviderRouter[Any, Any, Any]] = []
    stack = AsyncExitStack()

    async def join() -> None:
        for host in hosts:
            providers = [Provider(name, good) for name in ("first", "second")]
            sharing = server.sharing(host)
            router = MultiProviderRouter(providers, sharing=sharing, registry=CollectorRegistry())
            others.append(await stack.enter_async_context(router))

    with gateway_in_a_thread([], [], sharing=server.sharing("desk")) as running:
        running.run(join)
        try:
            yield running, others, server
        finally:
            running.run(stack.aclose)


def test_a_hold_in_the_fleet_acts_on_all(browser: Browser) -> None:
    """The view names the processes; a hold says that it acts on all, and is then known by all."""
    with fleet("attic", "attic") as (running, others, _):
        browser.open(f"{running.url}/#/fleet")
        browser.shows("3 processes on 2 hosts share their state", "this process", "Closed in all 3")
        browser.script("document.querySelector('[aria-label^=\"Hold first\"]').focus()")
        browser.press("\ue007")
        browser.shows("Hold first", "Acts on all 3 processes of the fleet on 2 hosts.")
        browser.find("dialog input[name=how]").send_keys("\ue007")
        browser.shows("Held open in all 3", "first: held open", "held open\tdesk")
        assert [o.snapshot()["providers"]["first"]["hold"] for o in others] == ["open", "open"]
        browser.click("Release first in all processes")
        browser.shows("Acts on all 3 processes")
        browser.find("dialog button[type=submit]").click()
        browser.shows("hold released")
        assert [o.snapshot()["providers"]["first"]["hold"] for o in others] == [None, None]
        browser.click("Change the weight of second in all processes")
        field = browser.find("dialog input[name=weight]")
        field.clear()
        field.send_keys("4\n")
        browser.shows("weight 4")
        assert {p.weight for o in others for p in o.providers if p.name == "second"} == {4.0}
        assert browser.problems() == []


def test_processes_that_disagree_are_counted(browser: Browser) -> None:
    """A circuit that is open in one process alone is shown with the number of processes."""
    with fleet("attic", "cellar") as (running, others, _):

        async def fail(_request: Any) -> str:
            raise ConnectionError

        async def break_first() -> None:
            others[0].update("first", call=fail)
            for _ in range(20):
                await others[0].call("q")

        running.run(break_first)
        browser.open(f"{running.url}/#/fleet")
        browser.shows(
            "Open in 1 of 3",
            "Closed in 2 of 3",
            "first: open",
            "all closed",
            "circuit open (failures)",
        )
        assert browser.problems() == []


def test_a_lost_shared_state_is_shown(browser: Browser) -> None:
    """Here and on the overview; a hold says where it acts. The page says when it is back."""
    with fleet("attic") as (running, _, server):
        browser.open(f"{running.url}/#/fleet")
        browser.shows("2 processes on 2 hosts share their state")
        server.down = True
        browser.shows("No connection to the shared state", "works alone")
        browser.click("Hold first in all processes")
        browser.shows("on the rest of the fleet once it is connected again")
        browser.press("\ue00c")
        browser.script("location.hash = '#/overview'")
        browser.shows("there is no connection to the shared state")
        server.down = False
        browser.until("is back", lambda: "no connection" not in browser.text().lower())
        assert browser.problems() == []


def test_without_sharing_there_is_no_fleet(browser: Browser) -> None:
    """There is no tab, and the address of the view explains it."""
    with gateway_in_a_thread([]) as running:
        browser.open(f"{running.url}/#/fleet")
        browser.shows("No fleet", "shares its state with no other")
        assert "#/fleet" not in browser.script("return document.querySelector('nav').innerHTML")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_view_fits_a_phone_and_can_be_read(browser: Browser, scheme: str) -> None:
    """At phone width, with contrast, and with names for all it can operate."""
    with fleet("attic", "a-host-with-a-long-name.internal.example") as (running, others, _):
        running.run(others[0].hold, "first", "open")
        browser.scheme(scheme)
        browser.open(f"{running.url}/#/fleet")
        browser.shows("held open in all 3")
        assert browser.script(LOW_CONTRAST) == []
        browser.size(*PHONE)
        assert browser.script("return document.documentElement.scrollWidth") <= PHONE[0]
        assert browser.script(LOW_CONTRAST) == []
        assert browser.script(UNNAMED) == []
        assert browser.problems() == []
