"""Section C: results that come when their circuit has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import anyio
import pytest

from multirouter import CircuitPolicy
from multirouter.testing import Answer, Fault
from tests.scenarios.kit import BRITTLE, Caller, House, house


async def test_a_late_success_does_not_close_an_open_circuit() -> None:
    """Case 23: its caller gets the answer, and the circuit stays open."""
    async with house("a", circuit=BRITTLE) as home:
        home["a"].then(Answer("at last", after=5.0))
        caller = await home.begun("a")
        await home.fail("a")
        assert (await caller.end()).value == "at last"
        assert home.state("a") == "open"


@pytest.mark.parametrize("end", [Answer("at last", after=15.0), Fault("error", after=15.0)])
async def test_only_the_trial_decides(end: Answer | Fault) -> None:
    """Cases 24 and 25: in half-open neither a late success nor a late failure moves anything."""
    async with house("a", circuit=BRITTLE) as home:
        home["a"].then(end)
        caller = await home.begun("a")
        await home.fail("a")
        await anyio.sleep(10)
        home["a"].then(Answer(after=20.0))
        trial = await home.begun("a")
        assert (await caller.end()).ok == isinstance(end, Answer)
        assert home.state("a") == "half_open"
        assert not home.router.available("a")
        assert (await trial.end()).ok
        assert home.state("a") == "closed"


async def test_a_failure_of_an_old_era_is_no_failure_of_the_new_one() -> None:
    """Case 26: threshold 2: one late and one new failure leave it closed, another new one opens."""
    policy = CircuitPolicy(failures=2, open_duration=10.0, growth=1.0)
    async with house("a", circuit=policy) as home:
        home["a"].then(Fault("error", after=20.0))
        caller = await home.begun("a")
        await home.fail("a", times=2)
        await anyio.sleep(10)
        await home.call()
        assert home.state("a") == "closed"
        assert not (await caller.end()).ok
        await home.fail("a")
        assert home.state("a") == "closed"
        await home.fail("a")
        assert home.state("a") == "open"


async def test_what_is_late_is_counted_and_timed() -> None:
    """Case 27: metrics count and time it and mark it late; no window of the new era has it."""
    async with house("a", circuit=BRITTLE) as home:
        home["a"].then(Fault("error", after=11.0))
        caller = await home.begun("a")
        await home.half_open("a")
        await home.call()
        await caller.end()
        assert home.total("attempts_total", outcome="failure") == 2
        assert home.total("attempt_duration_seconds_count", outcome="failure") == 2
        assert home.total("late_attempts_total", provider="a") == 1
        assert [record.late for record in home.records("a")] == [False, False, True]
        assert home.seen("a")["failures"] == 0


@dataclass
class Model:
    """The circuit as the documentation describes it, in the fewest words."""

    threshold: int
    trials: int
    open_duration: float
    state: str = "closed"
    generation: int = 0
    run: int = 0
    passed: int = 0
    half_open_at: float = 0.0
    hold_changed: bool = False
    out: list[int] = field(default_factory=list)

    def settle(self, now: float) -> None:
        if self.state == "open" and not self.hold_changed and now >= self.half_open_at:
            self.turn("half_open")

    def turn(self, state: str) -> None:
        self.state, self.generation, self.run, self.passed, self.out = (
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
            return self.passed + len(self.out) < self.trials
        return self.state == "closed" and not self.hold_changed

    def begin(self, number: int) -> int:
        if self.state == "half_open":
            self.out.append(number)
        return self.generation

    def end(self, number: int, generation: int, how: str, now: float) -> None:
        self.settle(now)
        if generation != self.generation:
            return
        if self.state == "half_open":
            self.out.remove(number)
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
    """An attempt under way, and the era that the model gave it."""

    caller: Caller
    end: anyio.Event
    how: list[str]
    generation: int


class Interleaving:
    """Drives the router and the model by the same random steps, and compares after each."""

    def __init__(self, home: House, model: Model, rng: Random) -> None:
        self.home, self.model, self.rng = home, model, rng
        self.running: dict[int, Running] = {}
        self.number = 0

    async def ask(self, running: tuple[anyio.Event, list[str]]) -> str:
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
        caller = await self.home.begun(request=(end, how))
        assert caller.ended is not admitted
        if admitted:
            self.number += 1
            generation = self.model.begin(self.number)
            self.running[self.number] = Running(caller, end, how, generation)

    async def tick(self) -> None:
        await anyio.sleep(self.rng.choice([0.5, 3.0]))

    async def hold(self) -> None:
        self.model.settle(anyio.current_time())
        hold_changed = self.model.hold_changed = not self.model.hold_changed
        if hold_changed:
            self.home.router.hold("a", "open")
            self.model.turn("open")
        else:
            self.home.router.unhold("a")
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
        circuit = self.home.circuit("a")
        assert circuit.state(now).value == self.model.state
        assert 0 <= len(circuit._trials) <= self.model.trials
        assert len(circuit._trials) == len(self.model.out)
        assert self.home.router.in_flight("a") == len(self.running)
        assert self.home.router.available("a") is self.model.admits()


@pytest.mark.parametrize("seed", range(5))
async def test_any_interleaving_follows_the_model(seed: int) -> None:
    """Case 28: begin, succeed, fail, cancel, tick and hold in any order, four attempts at most."""
    rng = Random(seed)
    model = Model(threshold=2, trials=rng.choice([1, 2, 3]), open_duration=4.0)
    policy = CircuitPolicy(
        failures=2, open_duration=4.0, growth=1.0, half_open_max_calls=model.trials
    )
    async with house("b", circuit=policy, timeout=1e6, attempt_timeout=1e5) as home:
        walk = Interleaving(home, model, rng)
        home.router.add(home.router.providers[0].replace(name="a", call=walk.ask))
        home.router.remove("b")
        for _ in range(150):
            await walk.step()
        assert model.generation > 10
        for running in walk.running.values():
            running.end.set()
