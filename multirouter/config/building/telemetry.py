"""The section `telemetry` of a configuration file as the `telemetry=` of a router."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from multirouter.config.sections.telemetry import TelemetrySection
    from multirouter.telemetry.opentelemetry import OpenTelemetry


def make_telemetry(section: TelemetrySection | None) -> OpenTelemetry | None:
    """Makes the `telemetry=` of a router; None without the section.

    It uses what the environment has set up, such as `opentelemetry-instrument`.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    if section is None:
        return None
    try:
        from multirouter.telemetry.opentelemetry import OpenTelemetry
    except ImportError:
        why = "requires OpenTelemetry: pip install 'multirouter[otel]'"
        raise ConfigurationError("telemetry", why) from None
    return OpenTelemetry(content=section.content, propagate=section.propagate)
