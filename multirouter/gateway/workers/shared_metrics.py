"""Metrics that several processes share: each writes files, and `/metrics` sums them."""

from __future__ import annotations

import os


def share_metrics(folder: str) -> None:
    """Makes prometheus-client write this process' metrics to files.

    It chooses that at its import, by an environment variable, and looks up the process id with
    every value; here the process id is fixed.

    Args:
        folder: one folder for all processes, empty when the first of them starts.

    Source: https://prometheus.github.io/client_python/multiprocess/
    """
    from prometheus_client import values

    pid = os.getpid()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    values.ValueClass = values.MultiProcessValue(lambda: pid)  # type: ignore[no-untyped-call]


def remove_gauges(pid: int, folder: str) -> None:
    """Removes the gauges of a process that has ended; its counters stay in the sum.

    Args:
        pid: its id.
        folder: see `share_metrics`.
    """
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call] # it has no annotations
