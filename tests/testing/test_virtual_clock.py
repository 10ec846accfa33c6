"""Virtual time: sleeps, timeouts, order, deadlocks, sockets and threads."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

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


async def test_clock_is_paused_for_threads():
    """No virtual time passes while a job runs in a thread, even with a timeout around it."""
    with anyio.fail_after(0.001):
        assert await _in_thread(time.sleep, 0.05) is None
    assert anyio.current_time() == 0


async def _in_thread(function, *args):
    # On asyncio anyio starts its own threads, which the loop cannot see.
    try:
        return await asyncio.to_thread(function, *args)
    except RuntimeError:
        import trio

        return await trio.to_thread.run_sync(function, *args)


def test_thread_job_beyond_real_limit_raises(virtual_clock):
    """A thread job that does not end within `real_limit` raises an error instead of hanging."""
    release = threading.Event()
    clock = VirtualClock(backend=virtual_clock.backend, real_limit=0.05)
    timer = threading.Timer(0.3, release.set)
    timer.start()
    with pytest.raises(Deadlock, match=r"a thread job.* did not respond within real_limit=0.05 s"):
        clock.run(_in_thread, release.wait)
    timer.join()


@NATIVE
async def test_paused_waits_for_foreign_threads():
    """Within `paused` the loop waits for a thread that it did not start."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    timer = threading.Timer(0.02, lambda: loop.call_soon_threadsafe(answer.set_result, 7))
    timer.start()
    with VirtualClock.current().paused():
        assert await asyncio.wait_for(answer, 1) == 7
    assert loop.time() == 0
    timer.join()


@NATIVE
async def test_sockets():
    """An echo over loopback works, and a virtual sleep of the server takes no real time."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        await asyncio.sleep(100)
        writer.write(line)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(b"hello\n")
    assert await asyncio.wait_for(reader.readline(), 200) == b"hello\n"
    assert asyncio.get_running_loop().time() == 100
    writer.close()
    server.close()
    await server.wait_closed()


@NATIVE
def test_silent_socket_beyond_real_limit_raises(virtual_clock):
    """A server without clients raises an error after `real_limit` real seconds."""

    async def main() -> None:
        async with await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0) as server:
            await server.serve_forever()

    with pytest.raises(Deadlock, match="an open socket did not respond"):
        VirtualClock(backend=virtual_clock.backend, real_limit=0.02).run(main)


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
async def test_signals():
    """A signal handler of the loop is called even with no socket open and timers set."""
    loop = asyncio.get_running_loop()
    received = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, received.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    async with asyncio.timeout(1):
        await received.wait()
    loop.remove_signal_handler(signal.SIGUSR1)


@NATIVE
def test_a_socket_wakes_a_program_without_timers(virtual_clock):
    """Without a timer the loop waits in real time for data that another thread sends."""

    async def main() -> bytes:
        receiver, sender = socket.socketpair()
        receiver.setblocking(False)
        with receiver, sender:
            timer = threading.Timer(0.02, sender.send, [b"x"])
            timer.start()
            received = await asyncio.get_running_loop().sock_recv(receiver, 1)
            timer.join()
            return received

    assert virtual_clock.run(main) == b"x"


@NATIVE
def test_custom_executor_and_infinite_real_limit(virtual_clock):
    """A custom default executor and `real_limit=inf` work as on the standard loop."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="mine"))
        await asyncio.to_thread(time.sleep, 0.01)
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    clock = VirtualClock(backend=virtual_clock.backend, real_limit=math.inf)
    assert clock.run(main).startswith("mine")


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


def test_shuffling_keeps_sockets_working():
    """Shuffled tasks still read and write: callbacks of transports keep their order."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def send(port: int, text: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text)
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer

    async def main() -> list[bytes]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.gather(*(send(port, b"%d\n" % n) for n in range(10)))

    for seed in range(5):
        assert VirtualClock(shuffle_seed=seed).run(main) == [b"%d\n" % n for n in range(10)]
