"""Tests of OpenTelemetry."""
