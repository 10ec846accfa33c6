"""The benchmarks of streams and adapters in their quick form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import __main__ as command


def run_benchmark(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The result of the benchmark on one event loop."""
    assert command.main([*argv, "--quick", "--json", "--loop", "asyncio"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert "aim" in result["aims"]
    (found,) = result["loops"]
    assert isinstance(found, dict)
    return found


def test_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """Each way to stream through the router has its cost per chunk, beyond the bare one."""
    costs = run_benchmark(capsys, "stream")["chunks"]
    ours = {"router, strings", "router, chat chunks", "router, all limits", "router, continue"}
    assert {"bare", "bare, chat chunks"} | ours <= set(costs)
    for name in ours:
        assert costs[name]["us_per_chunk"] > costs[name]["us_over_bare"] > 0


def test_adapter(capsys: pytest.CaptureFixture[str]) -> None:
    """Calls and chunks of each format are timed beside the bare client, over a real socket."""
    found = run_benchmark(capsys, "adapter", "--rounds", "1", "--chunks", "20")
    for kind in ("calls", "chunks"):
        assert {"bare aiohttp", "router, OpenAI", "router, Anthropic", "router, Gemini"} <= set(
            found[kind]
        )
        assert all(cost["us_wall"] > 0 for cost in found[kind].values())
        assert found[kind]["bare aiohttp"]["us_processor_over_bare"] == 0
