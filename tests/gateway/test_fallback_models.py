"""`fallback_models` and `fallback_conditions`: one call of the router over several models."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from multirouter import LimitPolicy, Price
from tests.gateway.harness import REPLY, Harness, calls_of, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

MODELS = {"a": "first", "b": "second", "c": "third"}
ARTICLE = {"status_codes": [429, 500, 502, 503], "timeout_ms": 6000}


def failovers_of(harness: Harness) -> dict[tuple[str, str], float]:
    """Failovers by provider and reason, as the metrics count them."""
    return {
        (sample.labels["provider"], sample.labels["reason"]): sample.value
        for metric in harness.registry.collect()
        for sample in metric.samples
        if sample.name == "multirouter_failovers_total" and sample.value
    }


async def test_fallback_models() -> None:
    """A failed model falls back to the next; the gateway's own fields are not sent upstream."""
    models = {"a": "first", "b": "second", "c": "third"}
    async with running_gateway(["fail-500"], ["fail-503"], [], models=models) as harness:
        answer = await harness.send(model="a", fallback_models=["b", "c"], metadata={"team": "x"})
    assert answer.text == REPLY
    assert answer.headers["X-Model"] == "c"
    assert answer.trail[-1]["provider"] == "third"
    sent = harness.fakes[2].requests[-1].body
    assert sent.keys() == {"model", "messages", "metadata"}


@pytest.mark.parametrize(("codes", "status"), [([503], 200), ([429], 503)])
async def test_fallback_conditions(codes: list[int], status: int) -> None:
    """Only the listed statuses lead to the next model."""
    async with running_gateway(["fail-503"], [], models={"a": "first", "b": "second"}) as harness:
        answer = await harness.send(
            model="a", fallback_models=["b"], fallback_conditions={"status_codes": codes}
        )
    assert answer.status == status


async def test_fallback_after_a_timeout() -> None:
    """`timeout_ms` bounds a model that is not the last, and `timeout` the whole request."""
    async with running_gateway() as harness:
        started = anyio.current_time()
        answer = await harness.send(
            model="stall", fallback_models=["fine"], fallback_conditions={"timeout_ms": 1500}
        )
        assert 1.4 < anyio.current_time() - started < 3.0
        late = await harness.send(model="stall", fallback_models=["stall"], timeout=2)
    assert answer.text == REPLY
    assert (late.status, late.json["error"]["code"]) == (504, "timeout")


@pytest.mark.parametrize("stream", [False, True])
async def test_next_model_is_called_at_once(stream: bool) -> None:
    """A 429 with Retry-After at the first model delays nothing, and is one call in the metrics."""
    async with running_gateway(["429-retry-after-8"], [], models=MODELS) as harness:
        started = anyio.current_time()
        answer = await harness.send(
            model="a", fallback_models=["b"], fallback_conditions=ARTICLE, stream=stream
        )
        assert anyio.current_time() - started < 0.2
    assert (answer.status, answer.text) == (200, REPLY)
    assert answer.trail[0]["verdict"] == "rate_limit"
    assert len(harness.fakes[0].requests) == 1
    assert calls_of(harness) == {"success": 1.0}
    assert failovers_of(harness) == {("first", "rate_limit"): 1.0}


@pytest.mark.parametrize("stream", [False, True])
async def test_hanging_model_opens_its_circuit(stream: bool) -> None:
    """After three timeouts of `timeout_ms` the circuit is open, and no request waits any more."""
    async with running_gateway(["stall"], [], models=MODELS) as harness:
        seconds = []
        for _ in range(6):
            started = anyio.current_time()
            answer = await harness.send(
                model="a", fallback_models=["b"], fallback_conditions=ARTICLE, stream=stream
            )
            seconds.append(round(anyio.current_time() - started))
            assert answer.status == 200
    assert seconds == [6, 6, 6, 0, 0, 0]
    assert calls_of(harness) == {"success": 6.0}


async def test_failovers_cost() -> None:
    """Each request that fell back costs the price of its model; the difference is counted."""
    providers = {"first": {"price": Price(1, 1)}, "second": {"price": Price(10, 10)}}
    async with running_gateway(["fail-503"], [], models=MODELS, providers=providers) as harness:
        answer = await harness.send(model="a", fallback_models=["b"])
        extra = harness.registry.get_sample_value(
            "multirouter_failover_extra_cost_usd_total", {"router": "default", "route": "first"}
        )
    cost = float(answer.headers["X-Cost-Usd"])
    assert cost > 0
    assert extra == pytest.approx(cost * 0.9)


@pytest.mark.parametrize("status", [401, 402, 404, 504, 529])
async def test_other_statuses_end_at_the_first_model(status: int) -> None:
    """A status that is not listed ends the request, whatever status the gateway answers with."""
    async with running_gateway([f"fail-{status}"], [], models=MODELS) as harness:
        answer = await harness.send(model="a", fallback_models=["b"], fallback_conditions=ARTICLE)
    assert answer.status >= 400
    assert {entry["provider"] for entry in answer.trail} == {"first"}


async def test_refused_connection_falls_back_whatever_statuses_are_listed() -> None:
    """Statuses are compared with answers: a model that gives none falls back."""
    async with running_gateway([], [], models=MODELS) as harness:
        await harness.fakes[0].__aexit__(None, None, None)
        answer = await harness.send(
            model="a", fallback_models=["b"], fallback_conditions={"status_codes": [503]}
        )
    assert (answer.status, answer.headers["X-Provider"]) == (200, "second")


@pytest.mark.parametrize("stream", [False, True])
async def test_two_models_of_one_provider(stream: bool) -> None:
    """A provider that fails with one model answers with the next one."""
    async with running_gateway(["fail-500", ""], models={"*": "main"}) as harness:
        answer = await harness.send(model="x", fallback_models=["y", "x"], stream=stream)
        sent = [request.body["model"] for request in harness.fakes[0].requests]
    assert (answer.status, answer.headers["X-Provider"], sent) == (200, "first", ["x", "y"])
    assert failovers_of(harness) == {("first", "server"): 1.0}


async def test_limits_of_a_provider_are_one() -> None:
    """Two models of a provider share its limits."""
    limits: Any = {"first": {"limits": LimitPolicy(requests_per_minute=60, burst=1 / 60)}}
    async with running_gateway([], models={"*": "main"}, providers=limits) as harness:
        assert (await harness.send(model="x")).status == 200
        harness.gateway.short_wait = type(harness.gateway.short_wait)(0.0)
        late = await harness.send(model="x", fallback_models=["y"])
    assert late.status == 503
    assert late.headers["Retry-After"] == "1"
