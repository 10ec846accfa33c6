"""Several real processes with a real Redis or Valkey: killed, paused, cut off, and without it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.sharing.processes import (
    CONTINUE,
    PAUSE,
    Process,
    network_host,
    processes,
    until,
)
from tests.sharing.servers import Server, running

pytestmark = pytest.mark.timeout(180)


def test_one_process_protects_all(server: Server) -> None:
    """Three failures in one open the circuit in all; a hold set in one is set in all."""
    with processes(server.url, "x", "x", "y", "y") as fleet:
        fleet[0].do("fault", kind="answered")
        fleet[0].do("call", times=3)
        until(lambda: all(process.state["a"] == "open" for process in fleet))
        assert fleet[3].do("call")["answers"] == ["b"]
        assert sum(process.state["attempts"]["a"] for process in fleet) == 3
        fleet[2].do("hold", provider="b", how="metrics_only")
        until(lambda: all(process.state["hold"] == "metrics_only" for process in fleet))


def test_a_killed_process_leaves_the_fleet_and_its_lease_ends(server: Server) -> None:
    """Another makes the trial a few seconds after the holder of the lease was killed."""
    with processes(server.url, "x", "y", "z", open_duration=2.0) as fleet:
        fleet[0].do("fault", kind="answered")
        fleet[0].do("call", times=3)
        fleet[0].do("fault", kind=None)
        until(lambda: any(process.state["leases"] for process in fleet))
        holder = next(process for process in fleet if process.state["leases"])
        holder.end()
        left = [process for process in fleet if process is not holder]

        def recovered() -> bool:
            for process in left:
                process.do("call")
            return all(process.state["a"] == "closed" for process in left)

        assert until(recovered) < 20.0
        until(lambda: left[0].state["processes"] == 2)


def test_a_paused_process_agrees_when_it_goes_on(server: Server) -> None:
    """What happened while it was stopped is what it believes within seconds."""
    with processes(server.url, "x", "y") as fleet:
        fleet[1].signal(PAUSE)
        fleet[0].do("fault", kind="answered")
        fleet[0].do("call", times=3)
        fleet[0].do("hold", provider="b", how="disabled")
        until(lambda: fleet[0].state["processes"] == 1)
        fleet[1].signal(CONTINUE)
        until(lambda: fleet[1].state["a"] == "open")
        until(lambda: fleet[1].state["hold"] == "disabled")
        until(lambda: fleet[0].state["processes"] == 2)


def test_a_process_that_is_cut_off_works_alone_and_agrees_afterwards(
    tmp_path: Path,
) -> None:
    """Its calls go on without a wait; after the cut both know what the other saw."""
    with network_host() as host, running("redis", tmp_path, host="0.0.0.0") as server:
        with server.client() as client:
            client.config_set("protected-mode", "no")
        near = Process(server.url, "near", 60.0)
        far = Process(f"redis://{host.address}:{server.port}", "far", 60.0, host.name)
        try:
            until(lambda: near.state["processes"] == far.state["processes"] == 2)
            host.cut()
            until(lambda: not far.state["connected"])
            far.do("fault", kind="answered")
            called = far.do("call", times=5)
            assert called["answers"] == ["b"] * 5
            assert called["longest"] < 0.4  # less than the timeout of one command
            near.do("hold", provider="b", how="disabled")
            assert near.state["a"] == "closed"
            host.mend()
            until(lambda: near.state["a"] == "open")
            until(lambda: far.state["hold"] == "disabled")
        finally:
            near.end()
            far.end()


def test_a_server_that_restarts_empty(server: Server) -> None:
    """The processes write again what they know, and a new one reads it."""
    with processes(server.url, "x", "y") as fleet:
        fleet[0].do("fault", kind="answered")
        fleet[0].do("call", times=3)
        fleet[0].do("hold", provider="b", how="disabled")
        until(lambda: fleet[1].state["hold"] == "disabled")
        server.restart()
        until(lambda: all(process.state["connected"] for process in fleet))
        late = Process(server.url, "late", 60.0)
        try:
            until(lambda: late.state["a"] == "open")
            until(lambda: late.state["hold"] == "disabled")
        finally:
            late.end()


def test_a_read_only_server(server: Server) -> None:
    """After a failover to a replica calls go on; when it may be written again, all agree."""
    with processes(server.url, "x", "y") as fleet, server.client() as client:
        client.replicaof("127.0.0.1", 1)
        until(lambda: not fleet[0].state["connected"])
        fleet[0].do("fault", kind="answered")
        assert fleet[0].do("call", times=4)["answers"] == ["b"] * 4
        assert fleet[1].do("call")["answers"] == ["a"]
        client.replicaof("NO", "ONE")
        until(lambda: fleet[1].state["a"] == "open")


def test_a_server_that_hangs_slows_no_call(server: Server) -> None:
    """While the server is stopped calls take no longer, and afterwards all agree."""
    with processes(server.url, "x", "y") as fleet:
        server.signal(PAUSE)
        try:
            fleet[0].do("fault", kind="answered")
            called = fleet[0].do("call", times=50)
            assert called["longest"] < 0.4  # less than the timeout of one command
            until(lambda: not fleet[0].state["connected"])
            time.sleep(0.1)
        finally:
            server.signal(CONTINUE)
        until(lambda: fleet[1].state["a"] == "open")
