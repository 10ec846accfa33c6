"""The command `multirouter fake-provider`: serves the fake provider until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace

from multirouter.testing.fakes.faults import FAULTS
from multirouter.testing.fakes.server import FakeProvider

SUMMARY: str = "serve a fake provider with configurable faults, for tests"
DESCRIPTION: str = """\
Serves the OpenAI, Anthropic and Gemini formats on one port of this machine and echoes the prompt.
It fails on request: with --fault every request fails, with a fault after a `+` in the model's name
(gpt-5+fail-503) that request fails."""
EPILOG: str = "faults (N is a number):\n" + "\n".join(
    f"  {name:20} {what}" for name, what in FAULTS.items()
)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter fake-provider`."""
    option = parser.add_argument
    option("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    option(
        "--port",
        type=int,
        default=8765,
        help="port to listen on; 0 takes a free port (%(default)s)",
    )
    option("--fault", default="", help="fault of every request; see below")


def run(arguments: Namespace) -> int:
    """Serves until interrupted and returns the exit status.

    Raises:
        ConfigurationError: the fault is unknown, or the port is out of range.
        OSError: the port cannot be opened.
    """
    asyncio.run(_serve(FakeProvider(arguments.fault), arguments.host, arguments.port))
    return 0


async def _serve(fake: FakeProvider, host: str, port: int) -> None:
    await fake.start(host, port)
    try:
        sys.stdout.write(f"OpenAI at {fake.url}/v1, Anthropic and Gemini at {fake.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        sys.stdout.write("\n")  # ends the line on which the terminal shows ^C
    finally:
        await fake.aclose()
