"""The command `multirouter serve`: the gateway on a port, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import gc
from argparse import ArgumentParser, Namespace

SUMMARY: str = "an OpenAI- and Anthropic-compatible gateway in front of your providers"
DESCRIPTION: str = """\
Serves the providers of a configuration file, or those whose keys are found in the environment
(OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, ...), over HTTP. Without any it serves a
built-in model that echoes. SIGHUP reads the file again; SIGTERM lets streams finish."""
EPILOG: str = """\
examples:
  multirouter serve                          what the environment holds, on port 8080
  multirouter serve multirouter.yaml --workers 2
  multirouter keys new alice                 a key; with keys, other machines may be served"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter serve`."""
    option = parser.add_argument
    option("config", nargs="?", help="YAML or TOML; left out, the environment")
    option("--host", help="where to listen (the file's, else 127.0.0.1)")
    option("--port", type=int, help="where to listen; 0 takes a free port (the file's, else 8080)")
    option("--workers", type=int, default=1, help="processes on that port (%(default)s)")
    option("--reload", action="store_true", help="read the file again whenever it changes")
    option("--quiet", action="store_true", help="log only requests that failed")
    option(
        "--allow-anyone",
        action="store_true",
        help="serve other machines although no keys are configured: whoever reaches the port "
        "spends your money",
    )


def run(arguments: Namespace) -> int:
    """Serves until it is told to stop, and returns the exit status.

    Raises:
        ConfigurationError: the file is refused, or nobody may be served as it stands.
        OSError: the file cannot be read, or the port is taken.
    """
    # Until it serves: nearly all that imports and settings make is kept, and each look through it
    # in vain delays the start.
    gc.disable()
    try:
        return _run(arguments)
    finally:
        gc.enable()


def _run(arguments: Namespace) -> int:
    from multirouter.gateway.process import Wish, run_one
    from multirouter.gateway.workers import run_many

    wish = Wish(
        config=arguments.config,
        host=arguments.host,
        port=arguments.port,
        reload=arguments.reload,
        quiet=arguments.quiet,
        anyone=arguments.allow_anyone,
    )
    if arguments.workers > 1:
        return run_many(wish, arguments.workers)
    return run_one(wish)
