"""The gateway as `multirouter serve` runs it; on a signal it writes its memory footprint."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from benchmarks.harness.memory import footprint


def main(config: str, port: str, footprints: str) -> None:
    """Serves; each SIGUSR1 appends a line of JSON to a file.

    Args:
        config: the gateway's configuration file.
        port: the port to listen on.
        footprints: the file of footprints.
    """
    from multirouter.cli import main as command

    def write(*_: Any) -> None:
        with Path(footprints).open("a", encoding="utf-8") as file:
            file.write(json.dumps(footprint()) + "\n")

    signal.signal(signal.SIGUSR1, write)
    command(["serve", config, "--port", port])
