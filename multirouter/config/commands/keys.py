"""The command `multirouter keys`: creates, lists and revokes API keys of the gateway."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multirouter.config.client_keys.hashed_keys import KeyBook, KeyRecord

SUMMARY: str = "create, list and revoke API keys of the gateway"
DESCRIPTION: str = """\
Manages the API keys of the gateway's clients. The key file contains hashes only: `new` prints a
key once, and it cannot be printed again. A running gateway applies changes when it reloads."""
EPILOG: str = """\
The configuration refers to the key file: keys: {file: keys.json}"""

FILE = "keys.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the actions and options of `multirouter keys`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="create a key and print it once")
    new.add_argument("name", help="name of the owner, for logs and metrics")
    new.add_argument(
        "--route",
        action="append",
        default=[],
        metavar="NAME",
        help="route that the key may use, * as wildcard; repeatable (all)",
    )
    option = new.add_argument
    option("--requests-per-minute", type=float, metavar="N", help="limit (none)")
    option("--tokens-per-minute", type=float, metavar="N", help="limit (none)")
    option("--concurrent", type=int, metavar="N", help="limit of concurrent calls (none)")
    option("--budget", type=float, metavar="USD", help="spending limit per period (none)")
    option(
        "--per",
        choices=("hour", "day", "month"),
        default="day",
        help="period of the budget (%(default)s)",
    )
    option("--admin", action="store_true", help="access to the admin API only")
    listing = actions.add_parser("list", help="list all keys")
    revoke = actions.add_parser("revoke", help="revoke a key")
    revoke.add_argument("name", help="name or id of the key")
    for command in (new, listing, revoke):
        command.add_argument("--file", default=FILE, help="key file (%(default)s)")


def run(arguments: Namespace) -> int:
    """Creates, lists or revokes keys.

    Raises:
        ConfigurationError: the key file is missing or invalid, or a limit is invalid.
        UsageError: the name is taken (`new`) or unknown (`revoke`).
        OSError: the file cannot be read or written.
    """
    from multirouter.config.client_keys.hashed_keys import KeyBook
    from multirouter.config.client_keys.key_file import load_keys, save_keys

    path = Path(arguments.file)
    first = arguments.action == "new" and not path.exists()
    book = KeyBook() if first else load_keys(path)
    if arguments.action == "list":
        sys.stdout.write(listed(book))
    elif arguments.action == "revoke":
        save_keys(path, book.revoke(arguments.name))
        effect = "a running gateway accepts the key until it reloads (SIGHUP)"
        sys.stdout.write(f"revoked {arguments.name}; {effect}\n")
    else:
        book, token = _with_new_key(book, arguments)
        save_keys(path, book)
        # Only the key is written to standard output, so that a script can capture it.
        sys.stderr.write(f"key of {arguments.name}, shown only once ({path} contains its hash):\n")
        sys.stdout.write(f"{token}\n")
    return 0


def listed(book: KeyBook) -> str:
    """All keys as text, one per line, without the keys themselves."""
    width = max((len(record.name) for record in book.records), default=0)
    lines = [f"{record.id}  {record.name:{width}}  {_summary(record)}" for record in book.records]
    return "".join(f"{line}\n" for line in lines) or "no keys\n"


def _summary(record: KeyRecord) -> str:
    """The limits of a key in one line."""
    if record.revoked is not None:
        return f"revoked {record.revoked}"
    limits = [
        "admin" if record.admin else "",
        f"routes {', '.join(record.routes)}" if record.routes else "",
        f"{record.requests_per_minute:g} requests/min" if record.requests_per_minute else "",
        f"{record.tokens_per_minute:g} tokens/min" if record.tokens_per_minute else "",
        f"{record.concurrent} concurrent" if record.concurrent else "",
        str(record.budget) if record.budget else "",
    ]
    return f"created {record.created}; " + (", ".join(filter(None, limits)) or "no limits")


def _with_new_key(book: KeyBook, arguments: Namespace) -> tuple[KeyBook, str]:
    """The book with one more key, and the key.

    Raises:
        ConfigurationError: names the option whose value is invalid.
        UsageError: the name is taken.
    """
    from multirouter.errors import ConfigurationError

    try:
        return book.new(arguments.name, **_limits(arguments))
    except ConfigurationError as error:
        setting = error.what.rpartition(".")[2]
        option = _OPTIONS.get(setting) or f"--{setting.replace('_', '-')}"
        raise ConfigurationError(option, error.why) from None


_OPTIONS = {"name": "name", "usd": "--budget", "routes": "--route"}
"""Arguments whose name is not that of the setting."""


def _limits(arguments: Namespace) -> dict[str, Any]:
    from multirouter.core.cost.budget import Budget

    return {
        "routes": tuple(arguments.route),
        "requests_per_minute": arguments.requests_per_minute,
        "tokens_per_minute": arguments.tokens_per_minute,
        "concurrent": arguments.concurrent,
        "budget": None if arguments.budget is None else Budget(arguments.budget, arguments.per),
        "admin": arguments.admin,
    }
