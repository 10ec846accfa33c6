"""403s trip as bad credentials only when two are consecutive: 403, 500, 403 does not."""

from __future__ import annotations

from multirouter import FailureKind, RetryPolicy
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.testing import Fault
from tests.scenarios.harness import harness, scripted

FORBIDDEN = Fault("error", status=403)


async def test_another_failure_resets_the_count_of_403s() -> None:
    """It takes two in a row: another failure between them starts the count over."""
    circuit = CircuitPolicy(failures=9)
    script = [FORBIDDEN, "error", FORBIDDEN, Fault("error", status=400), FORBIDDEN]
    async with harness(
        scripted("a", *script), circuit=circuit, retry=RetryPolicy(attempts=1)
    ) as env:
        for _ in range(3):
            assert not (await env.outcome()).ok
        assert env.state("a") == "closed"
        await env.outcome()  # a fault of the request is neutral
        outcome = await env.outcome()
        assert outcome.attempts[0].verdict.kind is FailureKind.CREDENTIALS
        assert (env.state("a"), env.circuit("a").reason) == ("open", "credentials")
