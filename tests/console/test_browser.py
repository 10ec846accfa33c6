"""The console in a real browser: what it shows, what it changes, and who can use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from multirouter import Route
from multirouter.config import KeyBook
from multirouter.gateway.http.exchange import Exchange
from tests.console.chromium import PHONE, Browser, Running, gateway_in_a_thread
from tests.gateway.harness import PROMPT, REPLY

VIEWS = ("overview", "routes", "calls", "playground", "api")


def provider(running: Running, name: str) -> Any:
    return running.run(lambda: running.harness.router.snapshot()["providers"][name])


def test_the_overview_is_live(browser: Browser) -> None:
    """The page shows calls, failures and open circuits within moments, without being reloaded."""
    with gateway_in_a_thread(["fail-503"], []) as running:
        browser.open(running.url)
        browser.shows("All 2 providers are available", "No calls yet")
        for _ in range(6):
            running.run(running.harness.send)
        browser.shows("After failover", "1 of 2 providers is available", "Open, tried in")
        browser.find("nav a[aria-current=page][href='#/overview']")
        assert "circuit open" in browser.find("#announcements").get_attribute("textContent")
        assert browser.problems() == []


def test_a_call_has_a_page_with_its_attempts(browser: Browser) -> None:
    """From the list of calls one gets to a call's page: each attempt on a time line, with why."""
    with gateway_in_a_thread(["fail-503", ""], []) as running:
        running.run(running.harness.send)
        browser.open(f"{running.url}/#/calls")
        browser.click("After failover")
        browser.find(".clickable th a").click()
        browser.shows("Answered by second", "first failed (overloaded)", "Chosen because")
        assert len(browser.driver.find_elements("css selector", ".time-line li")) == 2
        placed = browser.script(
            "return [...document.querySelectorAll('.time-line .span')].map(e => [e.offsetLeft, "
            "e.offsetWidth])"
        )
        assert placed[0][0] <= placed[1][0]
        assert all(width >= 3 for _, width in placed)
        browser.open(f"{running.url}/#/call/unknown")
        browser.shows("Call not found")
        assert browser.problems() == []


def test_the_next_choice_is_in_the_first_available_tier(browser: Browser) -> None:
    """The other tiers have no share of it; when the first is held, the next one has."""
    cells = """document.querySelectorAll('[data-label="Next choice"]')"""
    shares = f"return [...{cells}].map(e => e.matches('.unknown') ? null : e.innerText)"
    with gateway_in_a_thread([], []) as running:
        running.run(
            running.harness.router.reconfigure,
            running.harness.router.providers,
            routes=[Route("main", ["first", "second"])],
        )
        browser.open(f"{running.url}/#/routes")
        browser.until("first", lambda: browser.script(shares)[-2:] == ["100%", None])
        running.run(running.harness.router.hold, "first", "open")
        browser.until("second", lambda: browser.script(shares)[-2:] == [None, "100%"])
        assert browser.problems() == []


def test_signing_in_and_out(browser: Browser) -> None:
    """With keys the page asks for an admin key, names what is wrong, and forgets it on sign-out."""
    book, admin = KeyBook().new("root", admin=True)
    with gateway_in_a_thread([], keys=book) as running:
        browser.open(running.url)
        browser.find("input[name=key]").send_keys("mr-wrong\n")
        browser.shows("this is no admin key")
        field = browser.find("input[name=key]")
        field.clear()
        field.send_keys(f"{admin}\n")
        browser.shows("The provider is available", "signed in as root")
        assert browser.script("return document.cookie") == ""
        browser.click("Keys")
        browser.shows("Keys in force", "root", book.active[0].id)
        browser.driver.get(f"{running.url}/#/keys")
        browser.shows("Keys in force")
        browser.click("Sign out")
        browser.shows("Sign in", "Admin key")
        browser.driver.refresh()
        browser.shows("Sign in", "Admin key")
        assert [text for text in browser.problems() if "401" not in text] == []


def test_a_hold_by_keyboard(browser: Browser) -> None:
    """Holds are set and released by keyboard alone, after a confirmation that can be cancelled."""
    with gateway_in_a_thread([], []) as running:
        browser.open(running.url)
        browser.shows("All 2 providers are available")
        focus = "document.querySelector('[aria-label=\"Hold first\"]').focus()"
        browser.script(focus)
        browser.press("\ue007")
        browser.shows("Hold first", "Never attempted")
        browser.press("\ue00c")
        browser.until("the dialog is closed", lambda: not browser.script(OPEN_DIALOG))
        assert provider(running, "first")["hold"] is None
        browser.script(focus)
        browser.press("\ue007")
        browser.shows("Never attempted")
        browser.find("dialog input[name=how]").send_keys("\ue007")
        browser.shows("Held open")
        assert provider(running, "first")["hold"] == "open"
        browser.click("Release first")
        browser.shows("half-open first")
        browser.find("dialog button[type=submit]").click()
        browser.until("it is released", lambda: provider(running, "first")["hold"] is None)
        assert browser.problems() == []


OPEN_DIALOG = "return document.querySelector('dialog').open"


def test_a_weight_and_its_errors(browser: Browser) -> None:
    """A weight is changed in a dialog, which stays open and says why an invalid one is rejected."""
    with gateway_in_a_thread([], []) as running:
        browser.open(running.url)
        browser.click("Change the weight of second")
        field = browser.find("dialog input[name=weight]")
        field.clear()
        field.send_keys("1e300\n")
        browser.find("dialog .problem")
        assert browser.script(OPEN_DIALOG)
        field.clear()
        field.send_keys("7\n")
        browser.until("the dialog is closed", lambda: not browser.script(OPEN_DIALOG))
        weights = {p.name: p.weight for p in running.harness.router.providers}
        assert weights == {"first": 1.0, "second": 7.0}


@pytest.mark.parametrize("streaming", [True, False])
def test_the_playground(browser: Browser, *, streaming: bool) -> None:
    """A request is sent on a route of choice; the answer and its trail appear on the page."""
    with gateway_in_a_thread(["fail-503"], []) as running:
        browser.open(f"{running.url}/#/playground")
        browser.find("textarea[name=message]").send_keys(PROMPT)
        if not streaming:
            browser.find("input[name=stream]").click()
        browser.find("select[name=route]").send_keys("main")
        browser.click("Send")
        browser.shows(REPLY, "overloaded", "complete after")
        browser.click("Details")
        browser.shows("Answered by second")
        assert browser.problems() == []


def test_a_failed_request_in_the_playground(browser: Browser) -> None:
    """An error is shown in the gateway's own words, and the next request can be sent."""
    with gateway_in_a_thread(["fail-400", ""]) as running:
        browser.open(f"{running.url}/#/playground")
        browser.find("textarea[name=message]").send_keys(PROMPT)
        browser.click("Send")
        browser.find(".answer .problem")
        browser.click("Send")
        browser.shows(REPLY)
        assert browser.problems() == []


def test_the_api_is_shown(browser: Browser) -> None:
    """The endpoints are listed, and an OpenAPI document with its parameters, bodies and answers."""
    with gateway_in_a_thread([]) as running:
        browser.open(f"{running.url}/#/api")
        browser.shows("POST", "/v1/chat/completions", f"{running.url}/v1")
        running.harness.gateway.add_endpoint("GET", "/openapi.json", openapi_document)
        browser.open(f"{running.url}/?#/api")
        browser.shows("/v1/things/{name}")
        browser.find("details summary").click()
        browser.shows("Makes a thing", "name", "path", "Required. Its name", "size")
        browser.shows('"small" or "large", required', "list of integer", "201", "It was made")
        assert browser.problems() == []


async def openapi_document(exchange: Exchange) -> web.StreamResponse:
    """A small OpenAPI document with references."""
    name = {"name": "name", "in": "path", "required": True, "description": "Its name"}
    size = {"enum": ["small", "large"]}
    parts = {"type": "array", "items": {"type": "integer"}}
    thing = {"type": "object", "required": ["size"], "properties": {"size": size, "parts": parts}}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}
    post = {
        "summary": "Makes a thing",
        "parameters": [{"$ref": "#/components/parameters/Name"}],
        "requestBody": body,
        "responses": {"201": {"description": "It was made", **body}},
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Things"},
        "paths": {"/v1/things/{name}": {"post": post}},
        "components": {"schemas": {"Thing": thing}, "parameters": {"Name": name}},
    }
    return web.json_response(document)


def test_what_is_typed_outlives_updates(browser: Browser) -> None:
    """Updates once a second do not take the focus, or what was typed."""
    with gateway_in_a_thread([]) as running:
        browser.open(f"{running.url}/#/playground")
        field = browser.find("textarea[name=message]")
        field.send_keys("half a sen")
        at = running.harness.gateway.console.feed.computed
        browser.until("updates", lambda: running.harness.gateway.console.feed.computed > at + 2)
        browser.press("tence")
        assert field.get_attribute("value") == "half a sentence"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_a_phone(browser: Browser, scheme: str) -> None:
    """At phone width no view is wider than the screen, in either colour scheme."""
    with gateway_in_a_thread(["fail-503"], []) as running:
        for _ in range(6):
            running.run(running.harness.send)
        browser.size(*PHONE)
        browser.scheme(scheme)
        browser.open(running.url)
        for view in VIEWS:
            browser.script("location.hash = arguments[0]", f"#/{view}")
            browser.find(f"nav a[aria-current=page][href='#/{view}']")
            browser.find("h1")
            assert browser.script("return document.documentElement.scrollWidth") <= PHONE[0]
        assert browser.problems() == []


def test_every_view_can_be_read_aloud(browser: Browser) -> None:
    """Each view has landmarks, one heading of the first level, and names for all it can operate."""
    with gateway_in_a_thread([]) as running:
        running.run(running.harness.send)
        browser.open(running.url)
        for view in VIEWS:
            browser.script("location.hash = arguments[0]", f"#/{view}")
            browser.find(f"nav a[aria-current=page][href='#/{view}']")
            browser.find("main h1")
            assert browser.script(UNNAMED) == []
            counts = browser.script(
                "return ['main','header nav','h1','[role=status]','.skip'].map(s => "
                "document.querySelectorAll(s).length)"
            )
            assert counts == [1, 1, 1, 1, 1]
        assert browser.script("return document.documentElement.lang") == "en"


UNNAMED = """
return [...document.querySelectorAll('button,a,input,select,textarea,svg[role=img],section,table')]
  .filter(e => e.checkVisibility())
  .filter(e => !(e.innerText?.trim() || e.getAttribute('aria-label') || e.labels?.length
    || e.getAttribute('aria-labelledby') || e.getAttribute('aria-hidden')))
  .map(e => e.outerHTML.slice(0, 200))
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Browser, scheme: str) -> None:
    """Text has a contrast of at least 4.5 to 1 with its background (WCAG 2.2, level AA)."""
    with gateway_in_a_thread(["fail-503"], []) as running:
        for _ in range(6):
            running.run(running.harness.send)
        browser.scheme(scheme)
        browser.open(running.url)
        browser.shows("Open, tried in")
        for view in VIEWS:
            browser.script("location.hash = arguments[0]", f"#/{view}")
            browser.find("main h1")
            assert browser.script(LOW_CONTRAST) == []


LOW_CONTRAST = (Path(__file__).parent / "low_contrast.js").read_text(encoding="utf-8")


def test_the_page_loads_nothing_from_elsewhere(browser: Browser) -> None:
    """Everything the page loads comes from the gateway; a script of another place is refused."""
    with gateway_in_a_thread([]) as running:
        browser.open(running.url)
        browser.shows("The provider is available")
        loaded = browser.script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert len(loaded) > 10
        assert all(url.startswith(running.url) for url in loaded)
        injected = (
            "const s = document.createElement('div'); try { s.innerHTML = '<b>x</b>'; "
            "return 'set' } catch (e) { return e.name }"
        )
        assert browser.script(injected) == "TypeError"


def test_a_hidden_page_costs_nothing(browser: Browser) -> None:
    """A page in a hidden tab closes its stream after a while, and opens it again when shown."""
    with gateway_in_a_thread([]) as running:
        feed = running.harness.gateway.console.feed
        browser.open(running.url)
        browser.shows("The provider is available")
        assert feed.viewers == 1
        hide = (
            "Object.defineProperty(document, 'hidden', "
            "{ value: arguments[0], configurable: true });"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        browser.script(f"window.setTimeout = (f) => (f(), 0); {hide}", True)
        browser.until("closed", lambda: feed.viewers == 0)
        browser.script(hide, False)
        browser.until("open again", lambda: feed.viewers == 1)


def test_a_page_that_was_left_holds_no_connection(browser: Browser) -> None:
    """A browser keeps it, and allows six connections; on the way back it is live again."""
    with gateway_in_a_thread([]) as running:
        feed = running.harness.gateway.console.feed
        for _ in range(3):
            browser.driver.get(f"{running.url}/#/overview")
            browser.shows("The provider is available")
            browser.driver.get(f"{running.url}/healthz")
            browser.until("the connection ends", lambda: feed.viewers == 0)
        browser.driver.back()
        browser.shows("The provider is available")
        browser.until("it is connected again", lambda: feed.viewers == 1)


def test_a_gateway_that_goes_away(browser: Browser) -> None:
    """When the connection is lost, the page says so and keeps the last known state."""
    with gateway_in_a_thread([], []) as running:
        browser.open(running.url)
        browser.shows("All 2 providers are available", "Live")
    browser.shows("The connection to the gateway is lost", "All 2 providers are available")
