"""The section `telemetry` of a configuration file."""

from __future__ import annotations

from multirouter.config.pydantic_types import DocumentedSection


class TelemetrySection(DocumentedSection):
    """Traces of requests, calls and attempts by OpenTelemetry; requires the extra `otel`."""

    content: bool | None = None
    """Whether spans have the messages of requests and whole answers. Default: as the variable
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says, and no without it."""
    propagate: bool = True
    """Whether providers are sent the headers of the trace, such as traceparent."""
