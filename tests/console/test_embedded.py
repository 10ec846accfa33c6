"""The console of a router in a program without a gateway."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, MultiProviderRouter, Provider, Route
from multirouter.console.recorder import CallRecorder
from multirouter.gateway.embedded.console_server import ConsoleServer
from multirouter.testing.sharing import MemoryServer


async def good(request: str) -> str:
    return request


async def bad(request: str) -> str:
    raise ConnectionResetError


def router_of(**settings: Any) -> MultiProviderRouter[str, str]:
    return MultiProviderRouter(
        [Provider("bad", bad), Provider("good", good)],
        routes=[Route("main", ["bad", "good"])],
        registry=CollectorRegistry(),
        **settings,
    )


def fetch(url: str, body: Any = None) -> tuple[int, Any]:
    """Sends a request as the page does."""
    data = None if body is None else json.dumps(body).encode()
    origin = "/".join(url.split("/")[:3])
    request = urllib.request.Request(url, data, {"Origin": origin, "Sec-Fetch-Site": "same-origin"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.backends("asyncio", "trio")
async def test_the_calls_of_a_program_are_shown() -> None:
    """A program's console has its calls with their trail, on asyncio and on trio."""
    async with router_of() as router:
        with ConsoleServer(router) as console:
            for _ in range(3):
                await router.call("secret words", route="main")
            status, calls = await to_thread.run_sync(fetch, f"{console.url}/admin/calls")
            _, providers = await to_thread.run_sync(fetch, f"{console.url}/admin/providers")
    assert status == 200
    assert [call["ending"] for call in calls] == ["failed_over"] * 3
    assert [a["verdict"] for a in calls[0]["trail"]] == ["transport", "success"]
    assert len({call["request_id"] for call in calls}) == 3
    assert providers["bad"]["failures"] == 3
    assert "secret" not in json.dumps(calls)


def test_changes_are_made_in_the_routers_loop() -> None:
    """A hold from the page reaches a router whose loop runs in another thread, and waits for it."""
    threads: list[int] = []
    ready, done = threading.Event(), threading.Event()
    found: dict[str, Any] = {}

    async def program() -> None:
        async with router_of() as router:
            await router.call("x", route="main")
            unheld = router.hold

            def hold(*arguments: Any) -> None:
                threads.append(threading.get_ident())
                unheld(*arguments)

            router.hold = hold  # type: ignore[method-assign] # to see the thread
            found.update(router=router, thread=threading.get_ident())
            ready.set()
            while not done.is_set():
                await anyio.sleep(0.01)

    thread = threading.Thread(target=anyio.run, args=(program,))
    thread.start()
    assert ready.wait(20)
    with ConsoleServer(found["router"]) as console:
        held = fetch(f"{console.url}/admin/hold", {"provider": "bad", "how": "open"})
        unknown = fetch(f"{console.url}/admin/hold", {"provider": "bda", "how": "open"})
        assert found["router"].snapshot()["providers"]["bad"]["hold"] == "open"
    done.set()
    thread.join(20)
    assert (held[0], unknown[0]) == (200, 400)
    assert set(threads) == {found["thread"]}


def test_the_fleet_is_read_in_the_routers_loop() -> None:
    """The connection to the shared state is used in its own loop, and by no other thread."""
    threads: list[int] = []
    ready, done = threading.Event(), threading.Event()
    found: dict[str, Any] = {}

    async def program() -> None:
        async with router_of(sharing=MemoryServer().sharing("x")) as router:
            transport = router.membership._connected()
            members = transport.members

            async def watched() -> Any:
                threads.append(threading.get_ident())
                return await members()

            transport.members = watched
            found.update(router=router, thread=threading.get_ident())
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(program(),))
    thread.start()
    assert ready.wait(20)
    with ConsoleServer(found["router"]) as console:
        status, fleet = fetch(f"{console.url}/admin/fleet")
    done.set()
    thread.join(20)
    with ConsoleServer(found["router"]) as console:
        _, alone = fetch(f"{console.url}/admin/fleet")
    assert (status, fleet["connected"], alone["connected"]) == (200, True, False)
    assert threads == [found["thread"]]


def test_a_router_that_does_not_run_is_changed_at_once() -> None:
    """Without a running loop, changes are made in the console's own thread; it serves no models."""
    router = router_of()
    with ConsoleServer(router) as console:
        status, _ = fetch(f"{console.url}/admin/weight", {"provider": "good", "weight": 4})
        chat = fetch(f"{console.url}/v1/chat/completions", {"model": "m", "messages": []})
        playground = fetch(f"{console.url}/admin/chat", {"model": "m", "messages": []})
        reload = fetch(f"{console.url}/admin/reload", {})
    assert status == 200
    assert {provider.name: provider.weight for provider in router.providers}["good"] == 4
    assert (chat[0], playground[0], reload[0]) == (404, 404, 404)


def test_what_a_console_rejects() -> None:
    """It serves this machine alone, on a port that is free; closing it twice does nothing."""
    router = router_of()
    for settings in ({"host": "0.0.0.0"}, {"host": "example.com"}, {"port": 70_000}, {"port": -1}):
        with pytest.raises(ConfigurationError):
            ConsoleServer(router, **settings)  # type: ignore[arg-type] # which is the point
    console = ConsoleServer(router)
    console.close()
    console.start()
    port = int(console.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        ConsoleServer(router, port=port).start()
    console.close()
    console.close()


async def test_a_closed_console_records_nothing() -> None:
    """Nor does one whose port is in use; one that is started again records each call once."""
    async with router_of() as router:
        with ConsoleServer(router) as console:
            other = ConsoleServer(router, port=int(console.url.rpartition(":")[2]))
            with pytest.raises(OSError, match="in use"):
                other.start()
        console.start()
        await router.call("one", route="main")
        console.close()
        await router.call("two", route="main")
    recorded = [console._recorder.newest(10), other._recorder.newest(10)]
    assert [len(calls) for calls in recorded] == [1, 0]


async def test_a_router_without_a_console_pays_nothing() -> None:
    """A router that was never shown records no call; its listeners are those of its settings."""
    async with router_of() as router:
        handlers = router._engine.dispatcher._handlers["call_ended"]
        await router.call("x", route="main")
        owners = {type(getattr(handler, "__self__", None)) for handler in handlers}
        assert CallRecorder not in owners
        assert not router._engine.dispatcher.has_start_listeners


@pytest.mark.parametrize("how", ["file", "module"])
def test_the_command(tmp_path: Path, how: str) -> None:
    """`multirouter console` runs a program with its arguments, and serves its routers meanwhile."""
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, sys, urllib.request\n"
        "from multirouter import MultiProviderRouter, Provider\n"
        "async def answer(request): return request\n"
        "async def main():\n"
        "    async with MultiProviderRouter([Provider('a', answer)], name='mine') as router:\n"
        "        await router.call('x')\n"
        "        print(sys.argv[1:], __name__)\n"
        "        await asyncio.to_thread(sys.stdin.readline)\n"
        "asyncio.run(main())\n"
    )
    target = [str(program)] if how == "file" else ["-m", "program"]
    with subprocess.Popen(
        [sys.executable, "-m", "multirouter", "console", "--port", "0", *target, "--own", "1"],
        cwd=tmp_path,
        env=None,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdin is not None
        line = process.stderr.readline()
        url = line.strip().rpartition(" ")[2]
        status, snapshot = fetch(f"{url}/admin/snapshot")
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stdout is not None
        output = process.stdout.read()
        assert process.wait(20) == 0
    assert line.startswith("console of router 'mine': http://127.0.0.1:")
    assert (status, snapshot["router"]) == (200, "mine")
    assert output.strip() == "['--own', '1'] __main__"


@pytest.mark.parametrize(
    ("program", "message"),
    [("missing.py", "missing.py does not exist"), (".", "must be a program, got the folder .")],
)
def test_a_program_that_does_not_exist(program: str, message: str) -> None:
    """A missing program, and a folder, are errors of the command, and no tracebacks."""
    found = subprocess.run(
        [sys.executable, "-m", "multirouter", "console", program],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
