"""The gateway as `multirouter serve` runs it, which tells its footprint when it is signalled."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from benchmarks.harness.memory import footprint


def main(config: str, port: str, told: str) -> None:
    """Serves; each SIGUSR1 adds a line of JSON to a file.

    Args:
        config: the gateway's configuration file.
        port: where it listens.
        told: the file of footprints.
    """
    from multirouter.cli import main as command

    def tell(*_: Any) -> None:
        with Path(told).open("a", encoding="utf-8") as file:
            file.write(json.dumps(footprint()) + "\n")

    signal.signal(signal.SIGUSR1, tell)
    command(["serve", config, "--port", port])
