"""Virtual time: sleeps, timeouts, order, deadlocks and settings."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.errors import ConfigurationError, UsageError
from multirouter.testing import Deadlock, VirtualClock, VirtualLoop, virtual_clock

NATIVE = pytest.mark.backends("asyncio", "uvloop")


async def test_a_day_passes_at_once():
    """A sleep takes its time on the loop's clock, which starts at 0, and none in real time."""
    real = time.monotonic()
    assert anyio.current_time() == 0
    await anyio.sleep(86_400)
    assert anyio.current_time() == 86_400
    assert time.monotonic() - real < 5


@given(spans=st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_sleepers_wake_in_order_and_on_time(virtual_clock, spans):
    """Sleeps of any length that begin together end in order of length, exactly on time.

    trio's clock adds up its jumps, so there the last bit may differ.
    """
    woken: list[tuple[float, float]] = []

    async def sleeper(span: float) -> None:
        await anyio.sleep(span)
        woken.append((anyio.current_time(), span))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for span in spans:
                group.start_soon(sleeper, span)

    virtual_clock.run(main)
    assert [span for _, span in woken] == sorted(spans)
    inexact = 1e-9 if virtual_clock.backend == "trio" else 0.0
    assert all(abs(at - span) <= inexact for at, span in woken)


async def test_a_stalled_loop_runs_late_timers_afterwards():
    """`stall` lets time pass without a callback; then the timers that were due run."""
    woken: list[tuple[float, float]] = []

    async def sleeper(span: float) -> None:
        await anyio.sleep(span)
        woken.append((span, anyio.current_time()))

    async with anyio.create_task_group() as group:
        for span in (2.0, 1.0, 20.0):
            group.start_soon(sleeper, span)
        await anyio.sleep(0.5)
        VirtualClock.stall(10)
        assert (anyio.current_time(), woken) == (10.5, [])
        VirtualClock.stall(0)
    # In any order: trio shuffles the tasks that are ready together.
    assert sorted(woken) == [(1.0, 10.5), (2.0, 10.5), (20.0, pytest.approx(20.0))]
    for seconds in (-1, math.nan, math.inf):
        with pytest.raises(ConfigurationError, match="seconds"):
            VirtualClock.stall(seconds)


@pytest.mark.real_io
async def test_a_real_loop_cannot_be_stalled():
    """The error names the loop or clock; outside of a loop it says so."""
    with pytest.raises(UsageError, match="does not run in virtual time"):
        VirtualClock.stall(1)


def test_stall_needs_a_loop():
    """Outside of any loop there is nothing to stall."""
    with pytest.raises(UsageError, match="no event loop"):
        VirtualClock.stall(1)


@NATIVE
async def test_timeouts_follow_virtual_time():
    """asyncio.timeout, wait_for and timeout_at fire at their virtual time."""
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.sleep(10)
    assert loop.time() == 5
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 7)
    assert loop.time() == 12
    with pytest.raises(TimeoutError):
        async with asyncio.timeout_at(20):
            await asyncio.Event().wait()
    assert loop.time() == 20


@NATIVE
async def test_timers_of_one_time_run_in_creation_order():
    """Timers of one time run in creation order; a cancelled timer does not run."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []
    timers = [loop.call_at(3, seen.append, number) for number in range(50)]
    timers[7].cancel()
    await asyncio.sleep(2.999)
    assert seen == []
    await asyncio.sleep(0.002)
    assert seen == [number for number in range(50) if number != 7]


@NATIVE
async def test_cancelled_timers_are_removed():
    """Cancelled timers do not accumulate, even when their time is far off."""
    loop = asyncio.get_running_loop()
    for _ in range(10_000):
        loop.call_later(3600, print).cancel()
    assert len(loop._timers) < 1000


@NATIVE
async def test_timer_at_nan_raises():
    """NaN raises ValueError as a timer's time; a timer at infinity never fires."""
    loop = asyncio.get_running_loop()
    with pytest.raises(ValueError, match="NaN"):
        loop.call_later(math.nan, print)
    loop.call_later(math.inf, print)
    await asyncio.sleep(1)
    assert loop.time() == 1


async def wait_for_event(event: anyio.Event) -> None:
    await event.wait()


def test_deadlock_names_the_waiting_tasks(virtual_clock):
    """A program that waits forever ends with an error that names its tasks and lines."""

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(wait_for_event, anyio.Event(), name="waiter")
            await anyio.sleep(2)

    with pytest.raises(Deadlock) as caught:
        virtual_clock.run(main)
    assert caught.value.at == 2
    text = str(caught.value)
    assert "deadlock at virtual time 2 s" in text
    assert "waiter waits in wait_for_event" in text
    assert f"{__file__}:" in text
    assert ": await event.wait()" in text


def test_deadlock_runs_the_cleanup(virtual_clock):
    """The waiting tasks are cancelled, so their `finally` blocks run."""
    cleaned: list[bool] = []

    async def main() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append(True)

    with pytest.raises(Deadlock):
        virtual_clock.run(main)
    assert cleaned == [True]


def _interleaving(seed: int | None) -> str:
    order: list[str] = []

    async def worker(name: str) -> None:
        for _ in range(3):
            order.append(name)
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(worker(name) for name in "abc"))

    VirtualClock(shuffle_seed=seed).run(main)
    return "".join(order)


def test_shuffle_seed_orders_ready_tasks():
    """A seed gives a reproducible random order of ready tasks; the default is creation order."""
    assert _interleaving(None) == "abcabcabc"
    assert _interleaving(3) == _interleaving(3)
    assert len({_interleaving(seed) for seed in range(20)}) > 10


def test_loop_class_as_loop_factory():
    """The loop class is a loop factory for `asyncio.Runner`."""

    async def main() -> float:
        await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 60
        assert runner.run(main()) == 120


def test_arguments_results_and_exceptions(virtual_clock):
    """`run` passes arguments, returns results, and raises exceptions unchanged."""

    async def divide(a: int, b: int) -> float:
        return a / b

    assert virtual_clock.run(divide, 6, 3) == 2
    with pytest.raises(ZeroDivisionError):
        virtual_clock.run(divide, 6, 0)


def test_settings_are_checked():
    """Invalid settings raise an error that names them."""
    for settings in (
        {"backend": "twisted"},
        {"backend": "trio", "shuffle_seed": 1},
        {"io_wait": -1},
        {"real_limit": math.nan},
        {"real_limit": 1e7},
    ):
        with pytest.raises(ConfigurationError, match=list(settings)[-1]):
            VirtualClock(**settings)
    with pytest.raises(UsageError, match="trio has no loop"):
        VirtualClock(backend="trio").new_loop()


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
async def test_current_requires_a_virtual_loop():
    """`current` on a real loop raises an error that names the running loop."""
    with pytest.raises(UsageError, match="SelectorEventLoop does not run in virtual time"):
        VirtualClock.current()


def test_import_does_not_load_backends():
    """Importing multirouter.testing loads neither trio nor uvloop nor pytest."""
    code = (
        "import sys, multirouter.testing; print(*{'trio', 'uvloop', 'pytest'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_ready_made_clock():
    """`virtual_clock` itself runs a program on asyncio."""

    async def main() -> str:
        return type(asyncio.get_running_loop()).__name__

    assert virtual_clock.run(main) == "VirtualLoop"


async def test_wall_clock_jumps_have_no_effect(monkeypatch):
    """Case 39: a wall clock that jumps during a sleep does not change its length."""
    for jump in (-3600.0, 86_400.0):
        began = anyio.current_time()
        monkeypatch.setattr(time, "time", lambda jump=jump: 1.8e9 + jump)
        await anyio.sleep(5)
        assert anyio.current_time() - began == 5


@NATIVE
def test_closed_loop_raises(virtual_clock):
    """After close, scheduling callbacks and timers raises, as on the standard loop."""
    loop = virtual_clock.new_loop()
    loop.close()
    for schedule in (lambda: loop.call_soon(print), lambda: loop.call_later(1, print)):
        with pytest.raises(RuntimeError, match="closed"):
            schedule()


@NATIVE
def test_an_exit_from_a_callback_ends_the_program(virtual_clock):
    """SystemExit raised by a timer's callback propagates out of `run`."""

    def exit_program() -> None:
        raise SystemExit(3)

    async def main() -> None:
        asyncio.get_running_loop().call_later(1, exit_program)
        await asyncio.sleep(5)

    with pytest.raises(SystemExit):
        virtual_clock.run(main)
