"""The fake upstream in a separate process, so that its work is not counted as a client's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def upstream() -> Iterator[str]:
    """Serves the formats of OpenAI, Anthropic and Gemini on loopback; yields the URL."""
    command = [sys.executable, "-m", "multirouter", "fake-provider", "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().rsplit(maxsplit=1)[-1]
        finally:
            process.terminate()
