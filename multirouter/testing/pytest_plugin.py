"""Pytest plugin: the fixture `virtual_clock`; async tests that use it run in virtual time."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from multirouter.testing.virtual_time.runner import VirtualClock


@pytest.fixture(scope="session")
def virtual_clock() -> VirtualClock:
    """A `VirtualClock` on asyncio: `virtual_clock.run(main)`.

    An `async def` test that uses the fixture, by argument or `usefixtures`, runs in virtual time.
    Override the fixture to choose other settings or backends.
    """
    from multirouter.testing.virtual_time.runner import VirtualClock

    return VirtualClock()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs an async test that uses `virtual_clock` in virtual time; ignores all others."""
    clock: Any = pyfuncitem.funcargs.get("virtual_clock")
    if clock is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    # Pytest itself, and every plugin that runs tests, uses this private attribute to distinguish
    # a test's arguments from fixtures that are only activated.
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    clock.run(lambda: pyfuncitem.obj(**arguments))
    return True
