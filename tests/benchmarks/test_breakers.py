"""The nine probes of a circuit breaker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.breakers import main
from benchmarks.breakers.guards import GUARDS, THRESHOLD, Guard
from benchmarks.breakers.probes import PROBES
from benchmarks.harness.rounds import Call


class Naive(Guard):
    """Counts every exception as failure, and never lets a call through once it is open."""

    package = "benchmarks.breakers"
    failures = 0

    async def call(self, work: Callable[[], Awaitable[object]]) -> object:
        """Runs `work` while there were too few failures."""
        if self.failures >= THRESHOLD:
            raise RuntimeError("open")
        try:
            return await work()
        except BaseException:
            self.failures += 1
            raise

    def is_rejection(self, error: BaseException) -> bool:
        """Whether it is the error above."""
        return isinstance(error, RuntimeError)

    def guarded(self, call: Call) -> Call:
        """The call itself."""
        return call


@pytest.mark.parametrize("question", PROBES)
def test_the_router_passes(question: str) -> None:
    """A router with one provider passes each probe."""

    async def run() -> bool:
        async with GUARDS["multirouter"]() as guard:
            return await PROBES[question](guard)

    assert asyncio.run(run())


def test_a_naive_breaker_does_not_pass() -> None:
    """The probes can fail: without recovery and with cancellations as failures, six do."""

    async def run() -> dict[str, bool]:
        return {question: await probe(Naive()) for question, probe in PROBES.items()}

    passed = asyncio.run(run())
    assert not passed["cancellation is no failure"]
    assert not passed["half-open admits one trial of 50 calls"]
    assert not passed["the wall clock does not matter"]
    assert passed["late success leaves it open"]


def test_report_of_the_breakers(capsys: pytest.CaptureFixture[str]) -> None:
    """The result names every probe and what a call costs; packages that are missing are listed."""
    assert main(["--quick", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["passed"]["multirouter"]) == set(PROBES)
    assert result["us_per_call"]["multirouter"] > result["us_per_call"]["bare coroutine"]
    assert set(result["passed"]).isdisjoint(result["not_installed"])
    assert main(["--quick"]) == 0
    assert "9 of 9" in capsys.readouterr().out
