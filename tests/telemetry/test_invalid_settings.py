"""Settings of telemetry and of a console that are none."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import ConfigurationError, ConsoleServer, MultiProviderRouter, OpenTelemetry


@pytest.mark.parametrize("name", ["content", "propagate"])
def test_switches_are_bools(name: str) -> None:
    """A text would count as true."""
    wrong: dict[str, Any] = {name: "no"}
    with pytest.raises(ConfigurationError, match=f"{name}: must be a bool, got 'no'"):
        OpenTelemetry(**wrong)


def test_an_object_that_traces_no_calls() -> None:
    """The error names what is expected, when the router is made."""
    wrong: Any = 5
    with pytest.raises(ConfigurationError, match="telemetry: must be an OpenTelemetry, got 5"):
        MultiProviderRouter(telemetry=wrong)


def test_a_console_of_no_router() -> None:
    """The error comes before anything is served."""
    wrong: Any = 5
    with pytest.raises(ConfigurationError, match="router: must be a MultiProviderRouter, got 5"):
        ConsoleServer(wrong)
