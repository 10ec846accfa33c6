"""Chaos: nothing while off, ordinary faults while on, the same ones for the same seed."""

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


async def ends(wrapped, n):
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
    """Case 89: without a rate, every call passes straight through and no chance is used."""
    rng = random.Random(1)
    before = rng.getstate()
    wrapped = chaos(call, rng=rng)
    assert await wrapped("hi", loud=True) == "HI"
    assert await ends(wrapped, 100) == ["q"] * 100
    assert wrapped.injected == 0
    assert rng.getstate() == before


async def test_faults_are_ordinary():
    """Case 89: each fault is an exception, value or wait such as a provider's own."""
    wrapped = chaos(call, rate=0.5, seed=1, rubbish="%%%", latency=7)
    seen = Counter(await ends(wrapped, 2000))
    assert set(seen) == {
        "q",
        "StatusError 500",
        "StatusError 401",
        "ConnectionResetError",
        "hang",
        "%%%",
    }
    # The fault `latency` ends as an ordinary answer: 1000 without a fault and 167 late ones.
    assert abs(wrapped.injected - 1000) < 4 * math.sqrt(2000 * 0.25)
    assert abs(seen["q"] - 2000 * (1 - 5 / 12)) < 4 * math.sqrt(2000 * 5 / 12 * 7 / 12)


async def test_latency():
    """The fault `latency` lets the call through, later."""
    wrapped = chaos(call, rate=1, faults=["latency"], latency=7)
    assert await wrapped("q") == "q"
    assert anyio.current_time() == 7


async def test_switched_live():
    """Case 89: the rate may be changed while the wrapper is in use."""
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


async def test_seeded():
    """Case 89: the same seed gives the same faults, another one others."""
    runs = [await ends(chaos(call, rate=0.5, seed=seed), 100) for seed in (1, 1, 2)]
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
    """Case 42: what cannot work is refused where the wrapper is made."""
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
async def test_classified_as_real_ones(fault, kind):
    """Case 89: the router's classifier sees in each fault what it sees in a real failure."""
    with pytest.raises(Exception) as caught:
        await chaos(call, rate=1, faults=[fault])("q")
    assert classifier().error(caught.value).kind is kind


async def test_scripted_rate_limits_are_classified_as_real_ones():
    """A scripted 429 with a Retry-After is a rate limit that asks for that span."""
    limit = Fault("rate_limit", headers={"Retry-After": "5"})
    with pytest.raises(StatusError) as caught:
        await ScriptedProvider("a", script=[limit])("q")
    verdict = classifier().error(caught.value)
    assert (verdict.kind, verdict.retry_after) == (FailureKind.RATE_LIMIT, 5)


def classifier() -> Classifier:
    """The router's own classifier; nothing may break in it."""

    def broken(error: Exception) -> None:
        raise error

    return Classifier(wall=lambda: 0.0, broken=broken)
