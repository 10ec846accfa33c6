"""A fake provider over HTTP: OpenAI, Anthropic and Gemini formats on one port, with faults."""

from __future__ import annotations

from multirouter.testing.fakes.faults import FAULTS, Fault
from multirouter.testing.fakes.server import FakeProvider, ReceivedHttpRequest, make_app, serve_fake

__all__ = ["FAULTS", "FakeProvider", "Fault", "ReceivedHttpRequest", "make_app", "serve_fake"]
