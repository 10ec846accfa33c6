"""Keys and models of the gateway's clients, as dimensions of its metrics."""

from __future__ import annotations

import pytest

from multirouter.config.client_keys.hashed_keys import KeyBook
from multirouter.listeners.metrics.bounded_labels import MAX_MODELS, OTHER
from tests.gateway.harness import Harness, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

REPAIRS = "multirouter_request_repairs"
"""The one metric that counts for the whole process: other tests may have repaired requests."""


def values(harness: Harness, label: str) -> set[str]:
    """All values of a label in a scrape, except those of `REPAIRS`."""
    samples = (sample for family in harness.registry.collect() for sample in family.samples)
    counted = [sample for sample in samples if not sample.name.startswith(REPAIRS)]
    return {sample.labels[label] for sample in counted if label in sample.labels}


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_count_for_the_key_of_the_client(*, stream: bool) -> None:
    """By its name, with the tokens of whole and of streamed answers; never the key itself."""
    book, alice = KeyBook().new("alice")
    book, bob = book.new("bob")
    async with running_gateway(["", "fail-500"], keys=book) as harness:
        for token in (alice, bob):
            headers = {"Authorization": f"Bearer {token}"}
            await harness.send(headers=headers, stream=stream)
        samples = harness.registry.get_sample_value
        names = {"router": "default"}
        calls = {
            (key, outcome): samples(
                "multirouter_key_calls_total", {**names, "key": key, "outcome": outcome}
            )
            for key in ("alice", "bob")
            for outcome in ("success", "failure")
        }
        tokens = {**names, "key": "alice", "kind": "output"}
        assert (samples("multirouter_key_tokens_total", tokens) or 0) > 0
        assert values(harness, "key") == {"alice", "bob"}
    assert calls == {
        ("alice", "success"): 1,
        ("alice", "failure"): 0,
        ("bob", "success"): 0,
        ("bob", "failure"): 1,
    }


async def test_calls_without_a_key_have_no_series() -> None:
    """A gateway for this machine alone knows no keys."""
    async with running_gateway() as harness:
        await harness.send()
        assert values(harness, "key") == set()


@pytest.mark.parametrize("fault", ["", "no-model", "fail-400", "fail-500"])
async def test_invented_models_get_a_bounded_number_of_series(fault: str) -> None:
    """Whether a provider answers, does not know them, rejects the request, or fails."""
    async with running_gateway([fault]) as harness:
        for number in range(MAX_MODELS + 30):
            await harness.send(model=f"invented-{number}")
        models = values(harness, "model")
    assert len(models) <= MAX_MODELS + 2  # those with a value of their own, other, and unknown
    if fault in {"no-model", "fail-400"}:
        assert models - {""} == {OTHER}
