"""Virtual time with real threads, sockets and signals."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from multirouter.testing import Deadlock, VirtualClock

NATIVE = pytest.mark.backends("asyncio", "uvloop")


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


@NATIVE
def test_thread_that_ended_does_not_hide_another(virtual_clock):
    """A new thread is awaited although a thread that was older than the loop has ended."""
    end = threading.Event()
    older = threading.Thread(target=end.wait)
    older.start()

    async def main():
        end.set()
        older.join()
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        threading.Timer(0.02, lambda: loop.call_soon_threadsafe(answer.set_result, 7)).start()
        return await answer

    assert virtual_clock.run(main) == 7
