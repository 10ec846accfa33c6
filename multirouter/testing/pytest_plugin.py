"""The pytest plugin: a fixture `virtual_clock`, and async tests that use it run in its time."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from multirouter.testing.virtual_time.clock import VirtualClock


@pytest.fixture(scope="session")
def virtual_clock() -> VirtualClock:
    """Runs programs in virtual time on asyncio: `virtual_clock.run(main)`.

    An `async def` test that uses the fixture, by argument or `usefixtures`, runs in it as a
    whole. Override the fixture to choose other settings or backends.
    """
    from multirouter.testing.virtual_time.clock import VirtualClock

    return VirtualClock()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs an async test by the clock that it asks for; leaves all others alone."""
    clock: Any = pyfuncitem.funcargs.get("virtual_clock")
    if clock is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    # The private name is the one with which pytest, and every plugin that runs tests, tells a
    # test's own arguments from fixtures that are merely used.
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    clock.run(lambda: pyfuncitem.obj(**arguments))
    return True
