"""A gateway in a thread of its own, and a headless Chromium that shows its console."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.gateway.harness import Harness, running_gateway

WAIT = 20.0
"""Seconds in which the page must show something: the machine may be busy."""

PHONE = (390, 844)
DESKTOP = (1280, 800)


class Browser:
    """One page of a headless Chromium.

    Attributes:
        driver: selenium's driver.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get("about:blank")  # a change of the fragment alone would load nothing
        self.driver.delete_all_cookies()
        self.driver.get(url)

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def script(self, text: str, *arguments: Any) -> Any:
        return self.driver.execute_script(text, *arguments)

    def until(self, what: str, condition: Callable[[], Any]) -> Any:
        """Waits until a condition is true."""
        from selenium.common.exceptions import NoSuchElementException as Missing
        from selenium.common.exceptions import StaleElementReferenceException as Stale
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.wait import WebDriverWait

        waiting = WebDriverWait(self.driver, WAIT, 0.1, (Missing, Stale))
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(f"not within {WAIT} s: {what}; page: {self.text()}") from None

    def text(self) -> str:
        return str(self.script("return document.body.innerText"))

    def shows(self, *parts: str) -> None:
        """Waits until the page shows all these texts, whatever their case."""
        wanted = [part.lower() for part in parts]
        self.until(f"shows {parts}", lambda: all(part in self.text().lower() for part in wanted))

    def find(self, selector: str) -> Any:
        from selenium.webdriver.common.by import By

        return self.until(
            f"has {selector}", lambda: self.driver.find_element(By.CSS_SELECTOR, selector)
        )

    def press(self, *keys: str) -> None:
        """Types on the keyboard, where the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, text: str) -> None:
        """Clicks the visible button or link of that text or label."""
        found = (
            "return [...document.querySelectorAll('button,a')].find(e => e.checkVisibility() && "
            "[e.getAttribute('aria-label'), e.innerText.trim()].includes(arguments[0]))"
        )
        self.until(f"has a button {text}", lambda: self.script(found, text)).click()

    def problems(self) -> list[str]:
        """What the browser's console complains about, except answers that are errors."""
        entries = self.driver.get_log("browser")
        return [e["message"] for e in entries if "Failed to load resource" not in e["message"]]


@dataclass
class Running:
    """A gateway in a thread.

    Attributes:
        harness: the gateway with its router and fake providers.
        run: runs a function in its loop, or awaits what it returns.
    """

    harness: Harness
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return self.harness.url

    def run(self, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        async def main() -> Any:
            found = function(*arguments, **settings)
            return await found if asyncio.iscoroutine(found) else found

        return asyncio.run_coroutine_threadsafe(main(), self.loop).result(WAIT)


@contextmanager
def gateway_in_a_thread(*fault_lists: list[str], **settings: Any) -> Iterator[Running]:
    """A running gateway for a browser, which needs real time and a loop of its own."""
    started = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        stop = asyncio.Event()
        try:
            async with running_gateway(*fault_lists, **settings) as harness:
                found.update(running=Running(harness, asyncio.get_running_loop()), stop=stop)
                started.set()
                await stop.wait()
        finally:
            started.set()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait(WAIT)
    running: Running = found["running"]
    try:
        yield running
    finally:
        running.loop.call_soon_threadsafe(found["stop"].set)
        thread.join(WAIT)
