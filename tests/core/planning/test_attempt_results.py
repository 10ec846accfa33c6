"""What the end of an attempt tells the record, the tracer, the latency and the learned limits."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.planning.steps import AttemptStep
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.errors import AttemptTimeout
from multirouter.model import AttemptRecord
from tests.core.classification import with_fields
from tests.core.kit import World, failing, provider


class Tracer:
    """Records the attempts that ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[AttemptStep, AttemptRecord, object]] = []

    def attempt_ended(self, step: AttemptStep, record: AttemptRecord, value: object) -> None:
        self.ended.append((step, record, value))

    def call_ended(self, *_: object) -> None:
        """Is not what is tested here."""


def test_a_tracer_gets_every_attempt() -> None:
    """With its step, its record and its answer."""
    world = World([provider("a"), provider("b")], [Route("r", ["a", "b"])])
    tracer = world.context.tracer = Tracer()  # type: ignore[assignment] # a part of one
    plan = world.plan("r")
    first = world.next_attempt(plan)
    world.fail(plan, first)
    second = world.next_attempt(plan)
    second.dropped = ("seed",)
    world.succeed(plan, second, "text")
    records = world.next_outcome(plan).attempts
    assert tracer.ended == [(first, records[0], None), (second, records[1], "text")]
    assert [record.dropped for record in records] == [(), ("seed",)]


def test_the_headers_of_a_failure_teach_limits() -> None:
    """Those of its exception, of its model; what is no exception has none."""
    world = World([provider("a", model="m")])
    member = world.member("a")
    seen: list[Any] = []
    member.on_headers = lambda *found: seen.append(found)
    for error in (with_fields(headers={"X-Left": "0"}), BaseException()):
        plan = world.plan()
        plan.record(world.next_attempt(plan), failing("not_found"), None, error, world.now)
    assert seen == [("m", {"x-left": "0"})]


def test_the_latency_of_a_stream_is_that_of_its_first_content() -> None:
    """For strategies, whatever the clock shows and however long the stream lasts."""
    world = World([provider("a")], [Route("r", ["a"], strategy="fastest")])
    plan = world.plan("r")
    step = world.next_attempt(plan)
    plan.begin_serving(step, world.now + 2.0)
    world.succeed(plan, step, None, after=9.0)
    assert step.member.latency_average is not None
    assert step.member.latency_average.latency == 2.0
    assert world.next_outcome(plan).attempts[0].first_content == 2.0


@pytest.mark.parametrize("kind", ["unknown", "server"])
def test_an_answer_that_counts_as_a_failure(kind: str) -> None:
    """By a faulty classifier: the caller gets it, and each one counts against the provider."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=2))
    for state in (True, False):
        plan = world.plan()
        plan.record(world.next_attempt(plan), failing(kind), "answer", None, world.now)
        assert world.next_outcome(plan).value == "answer"
        assert world.states.gates["a"].circuit.is_closed is state


def test_only_a_timeout_before_any_content_is_a_latency() -> None:
    """Neither a failure of another kind nor a stream that stops later says how slow it is."""
    seen: list[float] = []
    world = World([provider("a")], circuit=CircuitPolicy(failures=1000))
    for error, serves in (
        (OSError(), False),
        (AttemptTimeout("a", "idle", 1.0), True),
        (AttemptTimeout("a", "attempt_timeout", 5.0), False),
    ):
        plan = world.plan()
        step = world.next_attempt(plan)
        latency = step.member.latency

        class Recording(type(latency)):  # type: ignore[misc] # the tracker's class
            __slots__ = ()

            def record_timeout(self, seconds: float, *, trial: bool) -> None:
                seen.append(seconds)

        latency.__class__ = Recording
        if serves:
            step.served_at = world.now
        plan.record(step, failing("timeout"), None, error, world.now + 5.0)
    assert seen == [5.0]
