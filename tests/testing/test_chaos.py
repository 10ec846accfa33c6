"""Chaos: no effect at rate 0, ordinary faults otherwise, reproducible by seed."""

from __future__ import annotations

import math
import random
from collections import Counter

import anyio
import pytest

from multirouter.core.failures.classify import Classifier
from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind
from multirouter.testing import Fault, ScriptedProvider, StatusError, chaos


async def call(prompt: str, *, loud: bool = False) -> str:
    return prompt.upper() if loud else prompt


async def results(wrapped, n):
    """The results of `n` calls, each as a short string."""
    seen = []
    for _ in range(n):
        with anyio.move_on_after(1000) as scope:
            try:
                seen.append(await wrapped("q"))
            except Exception as error:
                seen.append(f"{type(error).__name__} {getattr(error, 'status', '')}".strip())
        if scope.cancelled_caught:
            seen.append("hang")
    return seen


async def test_off_by_default():
    """Case 89: without a rate every call passes through and the random generator is not used."""
    rng = random.Random(1)
    before = rng.getstate()
    wrapped = chaos(call, rng=rng)
    assert await wrapped("hi", loud=True) == "HI"
    assert await results(wrapped, 100) == ["q"] * 100
    assert wrapped.injected == 0
    assert rng.getstate() == before


async def test_faults_are_ordinary_exceptions_values_and_waits():
    """Case 89: each fault is an exception, value or wait like a provider's own."""
    wrapped = chaos(call, rate=0.5, seed=1, rubbish="%%%", latency=7)
    seen = Counter(await results(wrapped, 2000))
    assert set(seen) == {
        "q",
        "StatusError 500",
        "StatusError 401",
        "ConnectionResetError",
        "hang",
        "%%%",
    }
    # The fault `latency` ends with an ordinary answer: 1000 without a fault and 167 late ones.
    assert abs(wrapped.injected - 1000) < 4 * math.sqrt(2000 * 0.25)
    assert abs(seen["q"] - 2000 * (1 - 5 / 12)) < 4 * math.sqrt(2000 * 5 / 12 * 7 / 12)


async def test_latency_delays_the_call():
    """The fault `latency` makes the call after a wait."""
    wrapped = chaos(call, rate=1, faults=["latency"], latency=7)
    assert await wrapped("q") == "q"
    assert anyio.current_time() == 7


async def test_rate_can_be_changed_live():
    """Case 89: the rate can be changed while the wrapper is in use."""
    wrapped = chaos(call, faults=["error"])
    assert await wrapped("q") == "q"
    wrapped.rate = 1
    with pytest.raises(StatusError, match="chaos: error"):
        await wrapped("q")
    with pytest.raises(ConfigurationError, match=r"chaos\.rate"):
        wrapped.rate = 1.1
    assert wrapped.rate == 1
    wrapped.rate = 0
    assert await wrapped("q") == "q"
    assert repr(wrapped).startswith("<chaos rate=0 injected=1 over <function call")


async def test_the_same_seed_gives_the_same_faults():
    """Case 89: the same seed gives the same faults, another seed gives others."""
    runs = [await results(chaos(call, rate=0.5, seed=seed), 100) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(
    "settings",
    [
        {"rate": -0.1},
        {"rate": True},
        {"faults": []},
        {"faults": ["explode"]},
        {"seed": 1, "rng": random.Random(1)},
        {"latency": -1},
    ],
)
def test_settings_are_checked(settings):
    """Case 42: invalid settings raise when the wrapper is made."""
    with pytest.raises(ConfigurationError, match="chaos"):
        chaos(call, **settings)
    with pytest.raises(ConfigurationError, match="coroutine function"):
        chaos("call")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("error", FailureKind.SERVER),
        ("credentials", FailureKind.CREDENTIALS),
        ("reset", FailureKind.TRANSPORT),
    ],
)
async def test_faults_are_classified_like_real_failures(fault, kind):
    """Case 89: the router's classifier assigns each fault the kind of a real failure."""
    with pytest.raises(Exception) as caught:
        await chaos(call, rate=1, faults=[fault])("q")
    assert classifier().classify_error(caught.value).kind is kind


async def test_scripted_rate_limits_are_classified_like_real_ones():
    """A scripted 429 with a Retry-After is a rate limit with that `retry_after`."""
    limit = Fault("rate_limit", headers={"Retry-After": "5"})
    with pytest.raises(StatusError) as caught:
        await ScriptedProvider("a", script=[limit])("q")
    verdict = classifier().classify_error(caught.value)
    assert (verdict.kind, verdict.retry_after) == (FailureKind.RATE_LIMIT, 5)


def classifier() -> Classifier:
    """The router's classifier; an error inside it fails the test."""

    def on_error(error: Exception) -> None:
        raise error

    return Classifier(wall=lambda: 0.0, on_error=on_error)
