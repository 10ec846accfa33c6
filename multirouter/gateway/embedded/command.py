"""Command `multirouter console`: runs a Python program, and serves the console of its routers."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser, Namespace

SUMMARY: str = "run a Python program with a console for its routers"
DESCRIPTION: str = """\
Runs a Python program unchanged, and serves a console for each router that it creates, with its
providers, circuits, traffic, calls and alarms, and with holds and weights. The console serves this
machine alone, and ends with the program."""
EPILOG: str = """\
examples:
  multirouter console app.py --verbose       options after the program are its own
  multirouter console --port 8090 -m package.module

The first router has the port, further ones free ports. A gateway has its console at /."""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter console`."""
    parser.add_argument(
        "--port",
        type=int,
        default=8090,
        help="port of the console (%(default)s); 0 takes a free one",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="PROGRAM is a module's name")
    parser.add_argument("program", metavar="PROGRAM", help="the program's file, or module")
    parser.add_argument(
        "arguments", metavar="ARGUMENTS", nargs=REMAINDER, help="arguments of the program"
    )


def run(arguments: Namespace) -> int:
    """Runs the program and returns 0, or its own exit status.

    Raises:
        ConfigurationError: the port is not valid.
        OSError: the program cannot be read, or the port is in use.
        Exception: whatever the program raises.
    """
    import runpy
    import sys

    from multirouter import router as routers
    from multirouter.gateway.embedded.console_server import ConsoleServer

    servers: list[ConsoleServer] = []

    def serve(router: routers.MultiProviderRouter[object, object, object]) -> None:
        server = ConsoleServer(router, port=0 if servers else arguments.port)
        server.start()
        servers.append(server)
        sys.stderr.write(f"console of router {router.name!r}: {server.url}\n")

    argv, path = sys.argv, sys.path.copy()
    sys.argv = [arguments.program, *arguments.arguments]
    routers.ON_CREATED.append(serve)
    try:
        if arguments.module:
            sys.path.insert(0, "")
            runpy.run_module(arguments.program, run_name="__main__", alter_sys=True)
        else:
            from pathlib import Path

            if Path(arguments.program).is_dir():
                raise IsADirectoryError(f"must be a program, got the folder {arguments.program}")
            if not Path(arguments.program).is_file():
                raise FileNotFoundError(f"the file {arguments.program} does not exist")
            sys.path.insert(0, str(Path(arguments.program).resolve().parent))
            runpy.run_path(arguments.program, run_name="__main__")
    finally:
        routers.ON_CREATED.remove(serve)
        sys.argv, sys.path[:] = argv, path
        for server in servers:
            server.close()
    return 0
