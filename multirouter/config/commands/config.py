"""The command `multirouter config`: writes a first configuration, prints the JSON Schema."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from multirouter.errors import UsageError

SUMMARY: str = "write a first configuration, or print the JSON Schema for editors"
DESCRIPTION: str = """\
`init` writes a configuration with the providers whose API keys are set in the environment. Keys
are references (${NAME}), so the file contains no secrets. `schema` prints the JSON Schema of
configurations, with which editors complete and check them."""
EPILOG: str = ""

FILE = "multirouter.yaml"

HEAD = """\
# Configuration of multirouter. `multirouter check {file}` validates it.
# ${{NAME}} is replaced by an environment variable, ${{NAME:-default}} has a default.
# For completion in an editor: `multirouter config schema > multirouter.schema.json`
# yaml-language-server: $schema=./multirouter.schema.json

server:
  host: 127.0.0.1
  port: 8080

providers:
"""

TAIL = """
policies:
  timeout: 600          # seconds, the whole call
  attempt_timeout: 300  # seconds, one attempt: reasoning models may be silent for minutes
  stream:
    on_interrupt: continue   # an interrupted stream continues at another provider

# Routes serve names that clients send as `model`. Without routes each provider serves its own
# models, and `auto` serves all providers.
# routes:
#   coding:
#     models: [coding, "code-*"]
#     tiers: [{first}]      # in order; a nested list is one tier, shared by weight
#     timeout: 300

# API keys of clients: create them with `multirouter keys new NAME`, then set
# keys:
#   file: keys.json
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the actions and options of `multirouter config`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = actions.add_parser("init", help="write a first configuration")
    init.add_argument("file", nargs="?", default=FILE, help="file to write (%(default)s)")
    init.add_argument("--force", action="store_true", help="overwrite an existing file")
    actions.add_parser("schema", help="print the JSON Schema")


def run(arguments: Namespace) -> int:
    """Writes a configuration, or prints the schema.

    Raises:
        UsageError: the file exists and `--force` is not set, or its extension is not YAML's.
        OSError: the file cannot be written.
    """
    if arguments.action == "schema":
        from multirouter.config.schema import FILE as SCHEMA

        sys.stdout.write(SCHEMA.read_text(encoding="utf-8"))
        return 0
    path = Path(arguments.file)
    if path.suffix not in {".yaml", ".yml"}:
        raise UsageError(
            f"{path}: the file extension must be .yaml or .yml, for example {path.stem}.yaml"
        )
    try:
        with path.open("w" if arguments.force else "x", encoding="utf-8") as file:
            file.write(first_configuration(path.name, os.environ))
    except FileExistsError:
        raise UsageError(f"{path} exists; --force overwrites it") from None
    sys.stdout.write(f"wrote {path}; `multirouter check {path}` prints what it serves\n")
    return 0


def first_configuration(file: str, environ: Mapping[str, str]) -> str:
    """A commented configuration of the providers whose keys are set, or of the echo."""
    from multirouter.config.discovery import discover_providers

    providers = discover_providers(environ)["providers"]
    lines = []
    for name, provider in providers.items():
        lines += [f"  {name}:", f"    model: {provider['model']}"]
        if "models" in provider:
            names = ", ".join(f'"{model}"' for model in provider["models"])
            lines += [f"    models: [{names}]", f"    api_key: ${{{_variable(name, environ)}}}"]
    first = next(iter(providers))
    return HEAD.format(file=file) + "\n".join(lines) + "\n" + TAIL.replace("{first}", first)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    """The environment variable with the API key of a provider."""
    from multirouter.config.provider_builder import KEY_VARIABLES

    return next(variable for variable in KEY_VARIABLES[name] if environ.get(variable))
