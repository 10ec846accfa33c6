"""The command `multirouter check`: what is wrong with a configuration, or what it serves."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multirouter.config.settings import Settings

SUMMARY: str = "says what is wrong with a configuration, or what it serves"
DESCRIPTION: str = """\
Reads a configuration as a whole and tells everything that is wrong with it, one mistake a line:
the file, the path of the setting, what was expected. If nothing is, it tells the providers and
the names of models that clients may ask for. Nothing is asked of any provider."""
EPILOG: str = """\
Without a file it looks for providers in the environment, as `multirouter serve` does.

exit status: 0 when it is right, 2 when it is not."""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter check`."""
    parser.add_argument("file", nargs="?", help="a configuration, .yaml or .toml")
    parser.add_argument("--quiet", action="store_true", help="only the exit status, and mistakes")


def run(arguments: Namespace) -> int:
    """Checks and tells.

    Raises:
        ConfigurationError: with everything that is wrong.
        OSError: when the file cannot be read.
    """
    from multirouter.config import discover, load

    settings = load(arguments.file) if arguments.file else discover()
    if not arguments.quiet:
        sys.stdout.write(told(settings))
    return 0


def told(settings: Settings) -> str:
    """Providers and model names as a text for people."""
    providers = settings.document.providers
    width = max(map(len, [*providers, *settings.models]))
    lines = [f"{settings.source}: right", "", "providers"]
    for name, section in providers.items():
        models = ", ".join(dict.fromkeys(filter(None, (section.model, *section.models))))
        asks = models or "whatever the client names"
        lines.append(f"  {name:{width}}  {section.kind}, {asks}")
    lines += ["", "models"]
    lines += [f"  {model:{width}}  route {route}" for model, route in settings.models.items()]
    keys = "none is asked for" if settings.keys is None else str(settings.keys.in_force)
    return "\n".join([*lines, "", f"keys: {keys}", ""])
