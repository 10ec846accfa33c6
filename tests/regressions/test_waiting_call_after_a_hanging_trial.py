"""A call that waits behind a hanging trial is served when the trial's lease ends."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace

import anyio
import pytest

from multirouter import MultiProviderRouter, Provider, RetryPolicy
from multirouter.core.circuit.trial_lease import LEASE_MARGIN
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.gate_bench import LEASE, GateBench

STRICT = CircuitPolicy(failures=1, open_duration=10.0, growth=1.0, half_open_wait=0)
"""Opens at the first failure, for exactly ten seconds; then one trial and no other call."""


async def test_a_waiting_call_is_the_next_trial_when_a_lease_ends() -> None:
    """The trial's provider swallows its cancellations; the waiting call starts after its lease."""
    attempts = 0

    async def stubborn(request: str) -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ConnectionResetError("down")
        if request == "hangs":
            for _ in range(20):
                with suppress(anyio.get_cancelled_exc_class()), anyio.CancelScope(shield=True):
                    await anyio.sleep(1)
        return request

    router = MultiProviderRouter(
        [Provider("a", stubborn)],
        circuit=STRICT,
        attempt_timeout=5,
        retry=RetryPolicy(attempts=1),
    )
    async with router, anyio.create_task_group() as group:
        assert not (await router.call_outcome("opens it")).ok
        await anyio.sleep(10)
        group.start_soon(router.call_outcome, "hangs")
        await anyio.sleep(1)
        outcome = await router.call_outcome("waits", wait=60)
        assert outcome.value == "waits"
        assert outcome.elapsed == pytest.approx(5 + LEASE_MARGIN - 1, abs=0.01)


def test_lowering_half_open_max_calls_waits_for_leases() -> None:
    """With fewer trials allowed than in flight, the surplus leases must end first."""
    bench = GateBench(replace(STRICT, half_open_max_calls=3))
    bench.fail(0.0)
    gate = bench.gate
    for lease in (7.0, 9.0, 8.0):
        assert gate.acquire(10.0, 0, lease) is not None
    assert gate.recheck_in(10.0) == 7.0
    gate.apply(replace(STRICT, half_open_max_calls=2), None)
    assert gate.recheck_in(17.0) == 1.0, "the second lease must end too"
    assert gate.acquire(17.5, 0, LEASE) is None
    assert gate.acquire(18.0, 0, LEASE) is not None
    assert not math.isinf(gate.recheck_in(18.0) or 0.0)
