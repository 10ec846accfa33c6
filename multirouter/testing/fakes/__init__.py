"""A fake upstream that speaks OpenAI, Anthropic and Gemini on one port, and fails to order."""

from __future__ import annotations

from multirouter.testing.fakes.faults import FAULTS, Fault
from multirouter.testing.fakes.server import FakeProvider, Received, make_app, serve_fake

__all__ = ["FAULTS", "FakeProvider", "Fault", "Received", "make_app", "serve_fake"]
