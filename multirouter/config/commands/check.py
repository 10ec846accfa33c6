"""The command `multirouter check`: validates a configuration and prints what it serves."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multirouter.config.settings import Settings

SUMMARY: str = "validate a configuration and print what it serves"
DESCRIPTION: str = """\
Validates a configuration and prints all errors, one per line: the file, the path of the setting,
what is wrong. A valid configuration prints its providers, the model names that clients may use,
the number of keys, and warnings of what cannot work as meant (a strategy that compares prices which
are missing, a route whose providers are all of one vendor). No request is sent to any provider."""
EPILOG: str = """\
Without a file it reads ./multirouter.yaml, or uses the API keys in the environment, as
`multirouter serve` does. What it finds valid can be served, with the same options.

exit status: 0 if the configuration is valid, 2 if not."""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter check`."""
    parser.add_argument("file", nargs="?", help="configuration file, .yaml, .yml or .toml")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--host", help="as for `multirouter serve`")
    parser.add_argument("--allow-anyone", action="store_true", help="as for `multirouter serve`")


def run(arguments: Namespace) -> int:
    """Validates the configuration and prints what it serves.

    Raises:
        ConfigurationError: the configuration is invalid.
        OSError: the file cannot be read.
    """
    from multirouter.config import discover, load
    from multirouter.config.client_keys.requirement import require_keys
    from multirouter.config.discovery import default_file

    file = arguments.file or default_file()
    settings = load(file) if file else discover()
    require_keys(settings, arguments.host, allow_anyone=arguments.allow_anyone)
    if not arguments.quiet:
        sys.stdout.write(describe(settings))
    return 0


def describe(settings: Settings) -> str:
    """The providers, model names, number of keys and warnings as text."""
    providers = settings.document.providers
    width = max(map(len, [*providers, *settings.models]))
    lines = [f"{settings.source}: valid", "", "providers"]
    for name, section in providers.items():
        models = ", ".join(dict.fromkeys(filter(None, (section.model, *section.models))))
        lines.append(f"  {name:{width}}  {section.kind}, {models or 'any model'}")
    lines += ["", "models"]
    lines += [f"  {model:{width}}  route {route}" for model, route in settings.models.items()]
    keys = "not required" if settings.keys is None else f"{settings.keys.active_count} active"
    lines += ["", f"keys: {keys}"]
    if settings.warnings:
        lines += ["", "warnings", *(f"  {warning}" for warning in settings.warnings)]
    return "\n".join([*lines, ""])
