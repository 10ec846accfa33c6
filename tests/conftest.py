"""The test matrix: every async test runs in virtual time on asyncio, on uvloop and on trio.

A test is an `async def test_...`; it waits with `anyio.sleep` and reads the time with
`anyio.current_time`. `@pytest.mark.real_io` runs it by the real clock instead, and
`@pytest.mark.backends("asyncio", "uvloop")` names its backends. A sync test may use the fixture
`virtual_clock` and call `virtual_clock.run(main)` repeatedly.

Bytecode is kept, in `build/bytecode` where the environment forbids it beside the sources.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, settings

from multirouter.testing import VirtualClock, pytest_plugin

BACKENDS = ("asyncio", "uvloop", "trio")

T = TypeVar("T")

if sys.dont_write_bytecode:
    # Containers often set PYTHONDONTWRITEBYTECODE. Compiling takes longer than anything else in
    # collecting the tests, and the processes that they start would compile each import again.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / "build" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No deadline: how long an example takes says more about the machine than about the code. In CI
# the examples are the same in every run, so that a failure is caused by the change under test.
settings.register_profile("project", deadline=None, derandomize="CI" in os.environ)
# `--hypothesis-profile=deep` searches long and at random: tests/properties/property_settings.py.
settings.register_profile("deep", deadline=None)
# For mutation testing (docs/explanation/mutants.md): any failure is enough, and is not shrunk.
settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("project")


@dataclass(frozen=True)
class RealClock:
    """Runs a program by the real clock, with the interface of `VirtualClock`."""

    backend: str

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Runs `await function(*args)` on a new loop of the backend."""
        if self.backend == "trio":
            import trio

            return trio.run(function, *args)

        async def main() -> T:
            return await function(*args)

        with asyncio.Runner(loop_factory=self._factory()) as runner:
            return runner.run(main())

    def _factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        if self.backend == "asyncio":
            return asyncio.SelectorEventLoop
        import uvloop

        return uvloop.new_event_loop


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marks, and the package's plugin where it is not installed."""
    config.addinivalue_line("markers", "real_io: runs by the real clock, for sockets and threads")
    config.addinivalue_line("markers", "backends(*names): the backends an async test is for")
    if not config.pluginmanager.is_registered(pytest_plugin):
        config.pluginmanager.register(pytest_plugin)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects tests without the garbage collector: nearly all objects stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Exempts modules and tests from the garbage collector: many tests call it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Exempts what the tests of a file leave: Hypothesis keeps 200,000 objects of its examples."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """`-n auto` starts three processes on two cores: many tests wait for a process or a browser."""
    number = yield
    return number if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else number * 3 // 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Processes of `-n` take the tests in order, and at the end from each other.

    By default they get the last tests in turns: fixtures of a module are made in each process, and
    a long test that comes last is waited for.
    """
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> None:
    """Adds the clock fixture to each async test."""
    if inspect.iscoroutinefunction(obj) and collector.istestfunction(obj, name):
        pytest.mark.usefixtures("virtual_clock")(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs each test that uses the clock once on each backend that its mark allows."""
    if "virtual_clock" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("backends")
        real = metafunc.definition.get_closest_marker("real_io") is not None
        backends = mark.args if mark else BACKENDS
        clocks = [RealClock(b) if real else VirtualClock(backend=b) for b in backends]
        # Module scope: hypothesis allows no function-scoped fixture between examples.
        metafunc.parametrize("virtual_clock", clocks, ids=backends, scope="module")
