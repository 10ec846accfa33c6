"""Any plan, under any script of verdicts, ends within its limits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.planning.steps import AttemptStep, WaitStep
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, HedgePolicy, LimitPolicy, RetryPolicy
from multirouter.model import CallOutcome, FailureKind, Verdict
from tests.core.kit import FIXED, NEVER_TRIPS, World, provider

# ── under any script ────────────────────────────────────────────────────────────────────────────

VERDICTS = st.builds(
    Verdict,
    st.sampled_from([kind for kind in FailureKind if kind is not FailureKind.SUCCESS]),
    st.none() | st.floats(0.0, 50.0),
    unsent=st.booleans(),
    certain=st.booleans(),
    retried=st.booleans(),
)

WORLDS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 9),
        "retry": st.builds(
            RetryPolicy,
            attempts=st.integers(1, 5),
            base=st.sampled_from([0.0, 0.5]),
            budget_floor=st.integers(0, 10),
        ),
        "circuit": st.sampled_from(
            [NEVER_TRIPS, FIXED, CircuitPolicy(failures=1, open_duration=0.1)]
        ),
        "panic": st.sampled_from([None, 0.5]),
        "limits": st.sampled_from([None, LimitPolicy(in_flight=2), LimitPolicy(in_flight=1)]),
        "hedge": st.sampled_from([None, HedgePolicy(after=0.5)]),
    }
)


@given(
    settings=WORLDS,
    tiers=st.sampled_from([["a"], [["a", "b", "z"]], ["a", ["b", "z"]], ["a", "b", "z"]]),
    retries=st.integers(0, 2),
    windows=st.lists(st.none() | st.integers(1, 3), min_size=3, max_size=3),
    call=st.fixed_dictionaries(
        {"wait": st.sampled_from([0.0, 7.0]), "idempotent": st.booleans()},
        optional={"timeout": st.sampled_from([1.0, 40.0])},
    ),
    script=st.lists(
        st.tuples(st.none() | VERDICTS, st.floats(0.0, 3.0), st.booleans()), max_size=60
    ),
    before=st.lists(st.sampled_from("abz"), max_size=3),
)
def test_any_script_ends_within_limits(
    settings: dict[str, Any],
    tiers: list[Any],
    retries: int,
    windows: list[int | None],
    call: dict[str, Any],
    script: list[tuple[Verdict | None, float, bool]],
    before: list[str],
) -> None:
    """Cases 55 and 59: any plan ends within its limits, and all permits are returned.

    No provider is attempted again while an untried one is available (without
    `retries_per_provider`); paid attempts stay below `attempts`; the call ends by its deadline.
    """
    weights = {"a": 2.0, "b": 1.0, "z": 0.0}
    world = World(
        [
            provider(n, weight=w, context_window=window)
            for (n, w), window in zip(weights.items(), windows, strict=True)
        ],
        [Route("r", tiers, retries_per_provider=retries)],
        **settings,
    )
    for name in before:
        if world.states.gates[name].admits(world.now):
            world.run_call(name)
    plan = world.plan("r", **call)
    attempted: Counter[str] = Counter()
    pending: list[AttemptStep] = []
    steps = iter(script)
    for _ in range(400):
        if not pending:
            step = world.step(plan)
            if isinstance(step, CallOutcome):
                break
            if isinstance(step, WaitStep):
                world.now = step.until
                continue
            assert isinstance(step, AttemptStep)
            repeated = step.member.name in attempted and not retries
            assert not (repeated and _untried(world, plan, attempted))
            attempted[step.member.name] += 1
            pending += [step, *step.trials]
        verdict, elapsed, hedged = next(steps, (None, 0.0, False))
        world.now = min(world.now + elapsed, plan.deadline)
        if hedged and settings["hedge"] and plan.idempotent and pending[0].role != "trial":
            hedge = plan.hedge(pending[0], world.now)
            if hedge is not None:
                attempted[hedge.member.name] += 1
                pending.append(hedge)
        step = pending.pop(0)
        if verdict is None:
            world.succeed(plan, step)
        else:
            world.fail(plan, step, verdict)
    else:
        pytest.fail("the plan does not end")
    members = len(world.route("r").members)
    assert attempted.total() <= settings["retry"].attempts + members - 1
    assert world.now <= plan.deadline
    assert set(world.in_flight().values()) == {0}
    assert all(shared.in_flight == 0 for shared in plan.route.limits)


def _untried(world: World, plan: Any, attempted: Counter[str]) -> list[str]:
    """Providers that could be attempted for the first time, free of charge."""
    retry_state = plan._retry_state
    return [
        member.name
        for member in plan.route.members
        if member.name not in attempted
        and member.name not in retry_state.excluded_for_call
        and member.gate.admits(world.now)
        and not member.gate.unhealthy(world.now)
    ]
