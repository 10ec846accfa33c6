"""The command `multirouter fake-provider`: the fake upstream on a port, until Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace

from multirouter.testing.fakes.faults import FAULTS
from multirouter.testing.fakes.server import FakeProvider

SUMMARY: str = "a fake upstream that fails to order, for tests"
DESCRIPTION: str = """\
Serves OpenAI's, Anthropic's and Gemini's formats on one port of this machine. It echoes the
prompt, and fails as it is asked to: with --fault for every request, or with a fault behind a `+`
in a model's name (gpt-5+fail-503) for one."""
EPILOG: str = "faults (N is a number):\n" + "\n".join(
    f"  {name:20} {what}" for name, what in FAULTS.items()
)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter fake-provider`."""
    option = parser.add_argument
    option("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    option(
        "--port", type=int, default=8765, help="where to listen; 0 takes a free port (%(default)s)"
    )
    option("--fault", default="", help="what goes wrong with every request; see below")


def run(arguments: Namespace) -> int:
    """Serves until interrupted, and returns the exit status.

    Raises:
        ConfigurationError: there is no such fault, or no such port.
        OSError: the port is taken.
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
        sys.stdout.write("\n")  # the terminal's ^C stands on a line of its own
    finally:
        await fake.aclose()
