"""The pytest plugin, run by a separate pytest as in a user's project."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "multirouter.testing.pytest_plugin"


@pytest.fixture
def project(pytester, monkeypatch):
    """A project in which only this plugin is loaded."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "")
    return pytester


def test_async_tests_with_the_fixture_run_in_virtual_time(project):
    """An async test that uses the fixture runs in virtual time and gets its other arguments."""
    project.makepyfile(
        """
        import asyncio
        import pytest

        @pytest.mark.parametrize("span", [1, 1000])
        async def test_async(virtual_clock, tmp_path, span):
            await asyncio.sleep(span)
            assert asyncio.get_running_loop().time() == span
            assert tmp_path.is_dir()

        @pytest.mark.usefixtures("virtual_clock")
        class TestClass:
            async def test_method(self):
                await asyncio.sleep(86400)

        def test_sync(virtual_clock):
            virtual_clock.run(asyncio.sleep, 5)

        async def test_fails(virtual_clock):
            assert asyncio.get_running_loop().time() == 1
        """
    )
    result = project.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, failed=1)


def test_overriding_the_fixture_selects_the_backend(project):
    """A project can select the backend by overriding the fixture."""
    project.makepyfile(
        """
        import pytest
        import trio
        from multirouter.testing import VirtualClock

        @pytest.fixture
        def virtual_clock():
            return VirtualClock(backend="trio")

        async def test_trio(virtual_clock):
            await trio.sleep(1000)
            assert trio.current_time() == 1000
        """
    )
    project.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider").assert_outcomes(passed=1)
