"""Section C: results that arrive after their circuit has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import anyio
import pytest

from multirouter import CircuitPolicy
from multirouter.testing import Answer, Fault
from tests.scenarios.harness import TRIPS_AT_ONCE, Caller, Harness, harness


async def test_late_success_does_not_close_an_open_circuit() -> None:
    """Case 23: its caller gets the answer, and the circuit stays open."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        env["a"].then(Answer("at last", after=5.0))
        caller = await env.start("a")
        await env.fail("a")
        assert (await caller.end()).value == "at last"
        assert env.state("a") == "open"


@pytest.mark.parametrize("end", [Answer("at last", after=15.0), Fault("error", after=15.0)])
async def test_only_the_trial_decides(end: Answer | Fault) -> None:
    """Cases 24 and 25: in half-open neither a late success nor a late failure counts."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        env["a"].then(end)
        caller = await env.start("a")
        await env.fail("a")
        await anyio.sleep(10)
        env["a"].then(Answer(after=20.0))
        trial = await env.start("a")
        assert (await caller.end()).ok == isinstance(end, Answer)
        assert env.state("a") == "half_open"
        assert not env.router.available("a")
        assert (await trial.end()).ok
        assert env.state("a") == "closed"


async def test_failure_of_an_old_generation_does_not_count() -> None:
    """Case 26: threshold 2: one late and one new failure leave it closed, another new one opens."""
    policy = CircuitPolicy(failures=2, open_duration=10.0, growth=1.0)
    async with harness("a", circuit=policy) as env:
        env["a"].then(Fault("error", after=20.0))
        caller = await env.start("a")
        await env.fail("a", times=2)
        await anyio.sleep(10)
        await env.call()
        assert env.state("a") == "closed"
        assert not (await caller.end()).ok
        await env.fail("a")
        assert env.state("a") == "closed"
        await env.fail("a")
        assert env.state("a") == "open"


async def test_late_results_are_in_the_metrics() -> None:
    """Case 27: metrics count and time it and mark it late; the new generation's window does not."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        env["a"].then(Fault("error", after=11.0))
        caller = await env.start("a")
        await env.half_open("a")
        await env.call()
        await caller.end()
        assert env.total("attempts_total", outcome="failure") == 2
        assert env.total("attempt_duration_seconds_count", outcome="failure") == 2
        assert env.total("late_attempts_total", provider="a") == 1
        assert [record.late for record in env.records("a")] == [False, False, True]
        assert env.provider_snapshot("a")["failures"] == 0


@dataclass
class Model:
    """Minimal model of the documented circuit."""

    threshold: int
    trials: int
    open_duration: float
    state: str = "closed"
    generation: int = 0
    run: int = 0
    passed: int = 0
    half_open_at: float = 0.0
    held: bool = False
    trials_in_flight: list[int] = field(default_factory=list)

    def settle(self, now: float) -> None:
        if self.state == "open" and not self.held and now >= self.half_open_at:
            self.turn("half_open")

    def turn(self, state: str) -> None:
        self.state, self.generation, self.run, self.passed, self.trials_in_flight = (
            state,
            self.generation + 1,
            0,
            0,
            [],
        )

    def open(self, now: float) -> None:
        self.turn("open")
        self.half_open_at = now + self.open_duration

    def admits(self) -> bool:
        if self.state == "half_open":
            return self.passed + len(self.trials_in_flight) < self.trials
        return self.state == "closed" and not self.held

    def begin(self, number: int) -> int:
        if self.state == "half_open":
            self.trials_in_flight.append(number)
        return self.generation

    def end(self, number: int, generation: int, how: str, now: float) -> None:
        self.settle(now)
        if generation != self.generation:
            return
        if self.state == "half_open":
            self.trials_in_flight.remove(number)
            if how == "fail":
                self.open(now)
            elif how == "succeed":
                self.passed += 1
                if self.passed == self.trials:
                    self.turn("closed")
        elif how == "fail":
            self.run += 1
            if self.run == self.threshold:
                self.open(now)
        elif how == "succeed":
            self.run = 0


@dataclass
class Running:
    """An attempt in flight, and its generation in the model."""

    caller: Caller
    end: anyio.Event
    how: list[str]
    generation: int


class Interleaving:
    """Drives router and model by the same random steps, and compares after each."""

    def __init__(self, env: Harness, model: Model, rng: Random) -> None:
        self.env, self.model, self.rng = env, model, rng
        self.running: dict[int, Running] = {}
        self.number = 0

    async def call(self, running: tuple[anyio.Event, list[str]]) -> str:
        end, how = running
        await end.wait()
        if how == ["fail"]:
            raise ConnectionResetError
        return "fine"

    async def step(self) -> None:
        choices = ["begin", "begin", "tick", "hold"]
        choices += ["succeed", "fail", "fail", "cancel"] * bool(self.running)
        await getattr(self, self.rng.choice(choices))()
        self.compare()

    async def begin(self) -> None:
        if len(self.running) == 4:
            return
        self.model.settle(anyio.current_time())
        admitted = self.model.admits()
        end, how = anyio.Event(), list[str]()
        caller = await self.env.start(request=(end, how))
        assert caller.ended is not admitted
        if admitted:
            self.number += 1
            generation = self.model.begin(self.number)
            self.running[self.number] = Running(caller, end, how, generation)

    async def tick(self) -> None:
        await anyio.sleep(self.rng.choice([0.5, 3.0]))

    async def hold(self) -> None:
        self.model.settle(anyio.current_time())
        held = self.model.held = not self.model.held
        if held:
            self.env.router.hold("a", "open")
            self.model.turn("open")
        else:
            self.env.router.unhold("a")
            self.model.turn("half_open")

    async def succeed(self) -> None:
        await self.finish("succeed")

    async def fail(self) -> None:
        await self.finish("fail")

    async def cancel(self) -> None:
        await self.finish("cancel")

    async def finish(self, how: str) -> None:
        number = self.rng.choice(list(self.running))
        running = self.running.pop(number)
        if how == "cancel":
            await running.caller.cancel()
        else:
            running.how.append(how)
            running.end.set()
            await running.caller.end()
        self.model.end(number, running.generation, how, anyio.current_time())

    def compare(self) -> None:
        now = anyio.current_time()
        self.model.settle(now)
        circuit = self.env.circuit("a")
        assert circuit.state(now).value == self.model.state
        assert 0 <= len(circuit.trials.permits) <= self.model.trials
        assert len(circuit.trials.permits) == len(self.model.trials_in_flight)
        assert self.env.router.in_flight("a") == len(self.running)
        assert self.env.router.available("a") is self.model.admits()


@pytest.mark.parametrize("seed", range(5))
async def test_any_interleaving_matches_the_model(seed: int) -> None:
    """Case 28: begin, succeed, fail, cancel, tick and hold in any order, four attempts at most."""
    rng = Random(seed)
    model = Model(threshold=2, trials=rng.choice([1, 2, 3]), open_duration=4.0)
    policy = CircuitPolicy(
        failures=2,
        open_duration=4.0,
        growth=1.0,
        half_open_max_calls=model.trials,
        half_open_wait=0,
    )
    async with harness("b", circuit=policy, timeout=1e6, attempt_timeout=1e5) as env:
        walk = Interleaving(env, model, rng)
        env.router.add(env.router.providers[0].replace(name="a", call=walk.call))
        env.router.remove("b")
        for _ in range(150):
            await walk.step()
        assert model.generation > 10
        for running in walk.running.values():
            running.end.set()
