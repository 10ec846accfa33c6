"""Processes of a benchmark: started, measured from outside, and ended with their block."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROC = Path("/proc")
MEBIBYTE = 2**20
EXIT_TIMEOUT = 10.0
"""Seconds that a process gets to end before it is killed."""


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs `main(*arguments)` of a module with this Python."""
    return (
        sys.executable,
        "-c",
        f"import sys; from {module} import main; main(*sys.argv[1:])",
        *arguments,
    )


@contextmanager
def process(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in its own session, ended with all its children at the end of the block.

    Args:
        command: the program and its arguments.
        environment: variables added to those of this process.
    """
    made = subprocess.Popen(  # noqa: S603 - commands of this package, or from the user's options
        command,
        env={**_environment(), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield made
    finally:
        made.send_signal(signal.SIGINT)
        try:
            made.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(made.pid, signal.SIGKILL)
            made.wait()


def _environment() -> dict[str, str]:
    """This process's environment, with writing of bytecode allowed, without measuring coverage.

    Installed programs are compiled already; otherwise each start would compile again. Coverage
    takes time, and memory for each line that runs for the first time.
    """
    return {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}


_LEFT_OUT = {"PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"}


def free_ports(number: int) -> list[int]:
    """Free ports of loopback."""
    from multirouter.gateway.server import bind

    with ExitStack() as stack:
        taken = [stack.enter_context(bind("127.0.0.1", 0)) for _ in range(number)]
        return [one.getsockname()[1] for one in taken]


def resident(pid: int) -> float:
    """MiB of resident memory of a process and its children; shared pages count for each."""
    pages = sum(int(_read(one, "statm").split()[1]) for one in _process_tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def processor_seconds(pid: int) -> float:
    """Seconds of processor time that a process and its children have used.

    Source: proc(5), /proc/pid/stat: utime and stime are the fields 14 and 15, in clock ticks.
    """
    ticks = sum(sum(map(int, _fields(one)[11:13])) for one in _process_tree(pid))
    return ticks / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    """Number of open files and sockets of a process."""
    return sum(1 for _ in (PROC / str(pid) / "fd").iterdir())


def _process_tree(pid: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (fields := _fields(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, ()))
    return found


def _fields(pid: int) -> list[str]:
    """The fields of a process's stat from the third on; none when the process has ended."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _read(pid: int, file: str) -> str:
    try:
        return (PROC / str(pid) / file).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
