"""Command line `multirouter`: the commands, help, version, errors and exit statuses."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path
from typing import Protocol, TextIO

from typing_extensions import override

from multirouter.bench import command as bench
from multirouter.config.commands import check, config, keys
from multirouter.demo import command as demo
from multirouter.errors import MultirouterError
from multirouter.gateway import command as serve
from multirouter.gateway.embedded import command as console
from multirouter.report import command as report
from multirouter.testing.fakes import command as fake_provider

FAILED = 2
"""Exit status of a failed command; argparse uses the same for usage errors."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells expect it: 128 + SIGINT."""


class Command(Protocol):
    """Interface of a command's module; imports of heavy modules happen in `run`.

    Attributes:
        SUMMARY: what it does, in one line.
        DESCRIPTION: what it does, in one paragraph.
        EPILOG: text below the options in its help, or "".
    """

    SUMMARY: str
    DESCRIPTION: str
    EPILOG: str

    def add_arguments(self, parser: ArgumentParser, /) -> None:
        """Adds the command's options."""
        ...

    def run(self, arguments: Namespace, /) -> int:
        """Runs the command and returns the exit status."""
        ...


COMMANDS: Mapping[str, Command] = {
    "serve": serve,
    "demo": demo,
    "console": console,
    "fake-provider": fake_provider,
    "report": report,
    "bench": bench,
    "check": check,
    "config": config,
    "keys": keys,
}
"""All commands by name, in the order of the help."""


class _Help(RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions, and each option and its help on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


class _CommandParser(ArgumentParser):
    """Reports unknown arguments with the command's usage; argparse would show the top parser's."""

    @override
    def parse_known_args(  # type: ignore[override]  # narrower than the overloads of typeshed
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        known, unknown = super().parse_known_args(args, namespace or Namespace())
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the arguments; left out, those of the process.

    Returns:
        The exit status: the command's own, 2 after an error, 130 after Ctrl-C, 0 if the reader of
        its output closed the pipe.
    """
    _prepare_output()
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return FAILED
    try:
        return COMMANDS[arguments.command].run(arguments)
    except BrokenPipeError:
        # As Python's documentation advises; the flush at exit would raise again otherwise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MultirouterError, OSError) as error:
        sys.stderr.write(f"multirouter {arguments.command}: error: {_message(error)}\n")
        return FAILED


def _prepare_output() -> None:
    """Makes both output streams usable, whatever the process was started with.

    Python has None for one that is closed (`>&-`): what is written to it is dropped. A character
    that the encoding lacks is written as `?`.
    """
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            dropped = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - stays open
            setattr(sys, name, dropped)
        elif isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _message(error: Exception) -> str:
    """The message of an error; for an OSError the file name and the reason, without errno."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    reason = error.strerror[:1].lower() + error.strerror[1:]
    return reason if error.filename is None else f"{error.filename}: {reason}"


def make_parser() -> ArgumentParser:
    """Makes the argument parser with all commands."""
    parser = ArgumentParser(
        prog="multirouter",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description="Routes async calls across AI providers, with circuit breakers.",
        epilog=_command_list(),
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=f"multirouter {_version()}")
    # The epilog lists the commands: argparse's list would break lines after longer names.
    commands = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        prog=parser.prog,
        help=SUPPRESS,
        parser_class=_CommandParser,
    )
    for name, command in COMMANDS.items():
        command.add_arguments(
            commands.add_parser(
                name,
                description=command.DESCRIPTION,
                epilog=command.EPILOG,
                formatter_class=_Help,
            )
        )
    return parser


def _command_list() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.SUMMARY}" for name, command in COMMANDS.items()]
    return "\n".join(["commands:", *lines, "", "`multirouter COMMAND --help` describes a command."])


def _version() -> str:
    try:
        return version("multirouter")
    except PackageNotFoundError:
        return "(not installed)"
