"""Command `multirouter serve`: serves the gateway on a port until SIGTERM or Ctrl-C."""

from __future__ import annotations

import gc
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multirouter.gateway.signals import Signals

SUMMARY: str = "serve an OpenAI-, Anthropic- and Gemini-compatible gateway for your providers"
DESCRIPTION: str = """\
Serves the providers of a configuration file, or those whose keys are set in the environment
(OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, ...), over HTTP. Without any key it serves a
built-in model that echoes the prompt. SIGHUP reloads the file; SIGTERM lets streams finish."""
EPILOG: str = """\
examples:
  multirouter serve                          providers of the environment, on port 8080
  multirouter serve multirouter.yaml --workers 2
  multirouter keys new alice                 make a key; with keys, other machines may be served"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter serve`."""
    option = parser.add_argument
    option(
        "config",
        nargs="?",
        help="YAML or TOML file (default: ./multirouter.yaml, else the environment)",
    )
    option("--host", help="address to listen on (default: the file's, else 127.0.0.1)")
    option(
        "--port",
        type=int,
        help="port to listen on; 0 takes a free one (default: the file's, else 8080)",
    )
    option(
        "--workers",
        type=int,
        default=1,
        help="processes that share the port (default: %(default)s)",
    )
    option("--reload", action="store_true", help="reload the file whenever it changes")
    option("--quiet", action="store_true", help="log only failed requests")
    option(
        "--opentelemetry",
        action="store_true",
        help="trace requests, calls and attempts; start it with `opentelemetry-instrument`",
    )
    option(
        "--allow-anyone",
        action="store_true",
        help="serve other machines without keys: any client that reaches the port spends your "
        "money",
    )


def run(arguments: Namespace) -> int:
    """Serves until it is stopped, and returns the exit status.

    Raises:
        ConfigurationError: the file is invalid, or would serve other machines without keys.
        OSError: the file cannot be read, or the port is in use.
    """
    import signal

    from multirouter.gateway.signals import Signals

    # From the beginning: a reload that is requested during the start is done after it.
    signals = Signals([signal.SIGHUP])
    # Enabled again when it serves: nearly all objects of imports and settings are kept, and
    # collecting them in vain would delay the start.
    gc.disable()
    try:
        return _run(arguments, signals)
    finally:
        gc.enable()
        signals.close()


def _run(arguments: Namespace, signals: Signals) -> int:
    from multirouter.config.discovery import default_file
    from multirouter.core import validation as check
    from multirouter.gateway.process import ServeOptions, run_single
    from multirouter.gateway.workers.supervisor import run_workers

    options = ServeOptions(
        config=arguments.config or default_file(),
        host=arguments.host,
        port=arguments.port,
        reload=arguments.reload,
        quiet=arguments.quiet,
        allow_anyone=arguments.allow_anyone,
        opentelemetry=arguments.opentelemetry,
    )
    if check.count("--workers", arguments.workers) > 1:
        return run_workers(options, arguments.workers, signals)
    return run_single(options, signals)
