"""`multirouter`: the commands, and what they have in common: help, version, errors, endings."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from typing_extensions import override

from multirouter.config.commands import check, config, keys
from multirouter.demo import command as demo
from multirouter.errors import MultirouterError
from multirouter.gateway import command as serve
from multirouter.report import command as report
from multirouter.testing.fakes import command as fake_provider

FAILED = 2
"""The exit status of a command that could not do what it was asked; argparse has the same."""

INTERRUPTED = 130
"""What shells expect of a program that was ended by Ctrl-C: 128 + SIGINT."""


class Command(Protocol):
    """What a command's module has; it is light to import and loads what it needs in `run`.

    Attributes:
        SUMMARY: what it does, in a line.
        DESCRIPTION: what it does, in a paragraph.
        EPILOG: what stands below its options, or "".
    """

    SUMMARY: str
    DESCRIPTION: str
    EPILOG: str

    def add_arguments(self, parser: ArgumentParser, /) -> None:
        """Adds the command's options."""
        ...

    def run(self, arguments: Namespace, /) -> int:
        """Does it and returns the exit status."""
        ...


COMMANDS: Mapping[str, Command] = {
    "serve": serve,
    "demo": demo,
    "fake-provider": fake_provider,
    "report": report,
    "check": check,
    "config": config,
    "keys": keys,
}
"""Every command by its name, in the order of the help."""


class _Help(RawDescriptionHelpFormatter):
    """Keeps paragraphs as they are written, and an option and its meaning on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


class _CommandParser(ArgumentParser):
    """Refuses what it does not know with its own usage: argparse would show the top parser's."""

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
        The exit status: the command's own, 2 when it could not do what it was asked, 130 after
        Ctrl-C, 0 when whoever read its output had enough of it.
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return FAILED
    try:
        return COMMANDS[arguments.command].run(arguments)
    except BrokenPipeError:
        # As Python's documentation advises, or the flush at exit would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MultirouterError, OSError) as error:
        sys.stderr.write(f"multirouter {arguments.command}: error: {_said(error)}\n")
        return FAILED


def _said(error: Exception) -> str:
    """What went wrong, in words: the system's errors without their numbers, the file in front."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    what = error.strerror[:1].lower() + error.strerror[1:]
    return what if error.filename is None else f"{error.filename}: {what}"


def make_parser() -> ArgumentParser:
    """The parser of all commands."""
    parser = ArgumentParser(
        prog="multirouter",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description="Routes async calls over several AI providers.",
        epilog=_contents(),
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=f"multirouter {_version()}")
    # The epilog lists them: argparse's own list would break the line behind the longer names.
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


def _contents() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.SUMMARY}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["commands:", *lines, "", "`multirouter COMMAND --help` says more about a command."]
    )


def _version() -> str:
    try:
        return version("multirouter")
    except PackageNotFoundError:
        return "(not installed)"
