"""A fake provider over HTTP: OpenAI, Anthropic and Gemini formats on one port, with faults."""

from __future__ import annotations

from multirouter.testing.fakes.answers import Answer, Answers, ParsedRequest, Tool, ToolCall
from multirouter.testing.fakes.conversations import media_in, tool_results
from multirouter.testing.fakes.faults import FAULTS, Fault
from multirouter.testing.fakes.server import FakeProvider, ReceivedHttpRequest, make_app, serve_fake

__all__ = [
    "FAULTS",
    "Answer",
    "Answers",
    "FakeProvider",
    "Fault",
    "ParsedRequest",
    "ReceivedHttpRequest",
    "Tool",
    "ToolCall",
    "make_app",
    "media_in",
    "serve_fake",
    "tool_results",
]
