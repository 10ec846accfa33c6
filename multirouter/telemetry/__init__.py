"""OpenTelemetry: spans and metrics of calls and attempts, by the GenAI semantic conventions."""
