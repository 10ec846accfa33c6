"""The command `multirouter config`: a first configuration, and the schema for editors."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from multirouter.errors import UsageError

SUMMARY: str = "writes a first configuration, or the JSON Schema for editors"
DESCRIPTION: str = """\
`init` writes a configuration to begin with: the providers whose keys the environment has, as
references, so that no key stands in the file. `schema` prints the JSON Schema of configurations,
by which editors complete and check them."""
EPILOG: str = ""

FILE = "multirouter.yaml"

HEAD = """\
# What multirouter serves. `multirouter check {file}` says whether it is right.
# ${{NAME}} is read from the environment, ${{NAME:-default}} when it may be missing.
# For completion in an editor: `multirouter config schema > multirouter.schema.json`
# yaml-language-server: $schema=./multirouter.schema.json

server:
  host: 127.0.0.1
  port: 8080

providers:
"""

TAIL = """
policies:
  timeout: 120          # seconds, the whole call
  attempt_timeout: 30   # seconds, one attempt
  stream:
    on_interrupt: continue   # a stream that breaks goes on at another provider

# Routes serve names that clients use as `model`; without any, each provider serves its own models
# and `auto` serves them all.
# routes:
#   coding:
#     models: [coding, "code-*"]
#     tiers: [{first}]      # tried in order; a list inside is shared by weight
#     timeout: 300

# Keys for clients: `multirouter keys new NAME`, then
# keys:
#   file: keys.json
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds what `multirouter config` can be asked for."""
    wanted = parser.add_subparsers(dest="wanted", required=True, metavar="WHAT")
    init = wanted.add_parser("init", help="write a first configuration")
    init.add_argument("file", nargs="?", default=FILE, help="where to (%(default)s)")
    init.add_argument("--force", action="store_true", help="overwrite it if it is there")
    wanted.add_parser("schema", help="print the JSON Schema")


def run(arguments: Namespace) -> int:
    """Writes a configuration, or prints the schema.

    Raises:
        UsageError: when the file is there and `--force` was not given.
        OSError: when it cannot be written.
    """
    if arguments.wanted == "schema":
        from multirouter.config.schema import FILE as SCHEMA

        sys.stdout.write(SCHEMA.read_text(encoding="utf-8"))
        return 0
    path = Path(arguments.file)
    if path.suffix not in {".yaml", ".yml"}:
        raise UsageError(f"{path}: a first configuration is YAML: call it {path.stem}.yaml")
    try:
        with path.open("w" if arguments.force else "x", encoding="utf-8") as file:
            file.write(first_configuration(path.name, os.environ))
    except FileExistsError:
        raise UsageError(f"{path} is there already: --force overwrites it") from None
    sys.stdout.write(f"wrote {path}; `multirouter check {path}` says what it serves\n")
    return 0


def first_configuration(file: str, environ: Mapping[str, str]) -> str:
    """A configuration of what the environment has, or of the echo, with words on what to do."""
    from multirouter.config.discovery import discovered

    providers = discovered(environ)["providers"]
    lines = []
    for name, provider in providers.items():
        lines += [f"  {name}:", f"    model: {provider['model']}"]
        if "models" in provider:
            names = ", ".join(f'"{model}"' for model in provider["models"])
            lines += [f"    models: [{names}]", f"    api_key: ${{{_variable(name, environ)}}}"]
    first = next(iter(providers))
    return HEAD.format(file=file) + "\n".join(lines) + "\n" + TAIL.replace("{first}", first)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    """The variable that has the key of a provider that was found by it."""
    from multirouter.config.provider_builder import KEY_VARIABLES

    return next(variable for variable in KEY_VARIABLES[name] if environ.get(variable))
