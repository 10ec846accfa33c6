"""403, 500, 403 tripped as bad credentials, though no two 403 had come in a row."""

from __future__ import annotations

from multirouter import FailureKind, RetryPolicy
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.testing import Fault
from tests.scenarios.kit import house, play

FORBIDDEN = Fault("error", status=403)


async def test_another_failure_ends_a_row_of_403s() -> None:
    """It takes two in a row: another failure between them starts the count over."""
    circuit = CircuitPolicy(failures=9)
    script = [FORBIDDEN, "error", FORBIDDEN, Fault("error", status=400), FORBIDDEN]
    async with house(play("a", *script), circuit=circuit, retry=RetryPolicy(attempts=1)) as home:
        for _ in range(3):
            assert not (await home.outcome()).ok
        assert home.state("a") == "closed"
        await home.outcome()  # the request's own fault says nothing
        outcome = await home.outcome()
        assert outcome.attempts[0].verdict.kind is FailureKind.CREDENTIALS
        assert (home.state("a"), home.circuit("a").why) == ("open", "credentials")
