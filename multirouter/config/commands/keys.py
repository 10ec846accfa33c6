"""The command `multirouter keys`: makes, lists and revokes the keys that clients show."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multirouter.config.keys import KeyBook, KeyRecord

SUMMARY: str = "makes, lists and revokes the gateway's own keys"
DESCRIPTION: str = """\
Keeps the keys that clients of the gateway show. The file holds hashes: `new` prints a key once,
and nobody can read it again. A gateway that is running takes changes over when it reloads."""
EPILOG: str = """\
The configuration names the file: keys: {file: keys.json}"""

FILE = "keys.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds what `multirouter keys` can be asked for."""
    wanted = parser.add_subparsers(dest="wanted", required=True, metavar="WHAT")
    new = wanted.add_parser("new", help="make a key and print it, once")
    new.add_argument("name", help="whose it is, for logs and metrics")
    new.add_argument(
        "--route", action="append", default=[], metavar="NAME", help="may use this one; repeatable"
    )
    new.add_argument("--requests-per-minute", type=float, metavar="N", help="no limit if left out")
    new.add_argument("--tokens-per-minute", type=float, metavar="N", help="no limit if left out")
    new.add_argument("--concurrent", type=int, metavar="N", help="calls at one time")
    new.add_argument("--budget", type=float, metavar="USD", help="what it may spend a --per")
    new.add_argument("--per", choices=("hour", "day", "month"), default="day", help="(%(default)s)")
    new.add_argument("--admin", action="store_true", help="opens the admin API and nothing else")
    listed = wanted.add_parser("list", help="say whose keys there are")
    revoke = wanted.add_parser("revoke", help="let a key open nothing any more")
    revoke.add_argument("name", help="the key's name, or its id")
    for command in (new, listed, revoke):
        command.add_argument("--file", default=FILE, help="where the keys are kept (%(default)s)")


def run(arguments: Namespace) -> int:
    """Does what is wanted.

    Raises:
        ConfigurationError: when the file holds no keys, or a limit is refused.
        UsageError: for a name that is taken, or unknown.
        OSError: when the file cannot be read or written.
    """
    from multirouter.config.keyfile import read_keys, write_keys
    from multirouter.config.keys import KeyBook

    path = Path(arguments.file)
    fresh = arguments.wanted == "new" and not path.exists()
    book = KeyBook() if fresh else read_keys(path)
    if arguments.wanted == "list":
        sys.stdout.write(told(book))
    elif arguments.wanted == "revoke":
        write_keys(path, book.revoke(arguments.name))
        sys.stdout.write(f"revoked {arguments.name}; a running gateway must reload\n")
    else:
        book, token = book.new(arguments.name, **_terms(arguments))
        write_keys(path, book)
        # The key alone goes to standard output, so that a script can take it.
        sys.stderr.write(f"The key of {arguments.name}, shown this once; {path} has its hash:\n")
        sys.stdout.write(f"{token}\n")
    return 0


def told(book: KeyBook) -> str:
    """All keys, a line each; never one itself."""
    width = max((len(record.name) for record in book.records), default=0)
    lines = [f"{record.id}  {record.name:{width}}  {_summary(record)}" for record in book.records]
    return "".join(f"{line}\n" for line in lines) or "no keys\n"


def _summary(record: KeyRecord) -> str:
    """What a key may do, in a line."""
    if record.revoked is not None:
        return f"revoked {record.revoked}"
    limits = [
        "admin" if record.admin else "",
        f"routes {', '.join(record.routes)}" if record.routes else "",
        f"{record.requests_per_minute:g} requests/min" if record.requests_per_minute else "",
        f"{record.tokens_per_minute:g} tokens/min" if record.tokens_per_minute else "",
        f"{record.concurrent} at a time" if record.concurrent else "",
        str(record.budget) if record.budget else "",
    ]
    return f"made {record.created}; " + (", ".join(filter(None, limits)) or "no limits")


def _terms(arguments: Namespace) -> dict[str, Any]:
    from multirouter.core.cost.budgets import Budget

    return {
        "routes": tuple(arguments.route),
        "requests_per_minute": arguments.requests_per_minute,
        "tokens_per_minute": arguments.tokens_per_minute,
        "concurrent": arguments.concurrent,
        "budget": None if arguments.budget is None else Budget(arguments.budget, arguments.per),
        "admin": arguments.admin,
    }
