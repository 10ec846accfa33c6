"""Failures that the router's own process may have caused: it stalled, or has no resources left."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping

from multirouter.core.error_text import message_of
from multirouter.core.failures.exception_details import peek
from multirouter.core.settings.failure_rules import CircuitEffect, Rule
from multirouter.model import FailureKind, Verdict

STALL_KINDS: frozenset[FailureKind] = frozenset(
    {FailureKind.TIMEOUT, FailureKind.TRANSPORT, FailureKind.INTERRUPTED}
)
"""Kinds that a process which does not run causes itself: it reads no answer in time, and its peer
closes a connection that is not read or kept alive."""

REQUEST_TIMEOUT = 408
"""HTTP status of a server that waited too long for the rest of a request."""

_USED_UP = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Error numbers of a process or host without free descriptors, memory or socket buffers."""

_NO_THREAD = "start new thread"
"""End of CPython's message when the system gives no thread, as for a look-up of a host name."""

_MAX_LINKS = 50
"""Exceptions that are looked at behind one."""


def may_be_from_stall(verdict: Verdict) -> bool:
    """Whether a stall of the event loop during the attempt may be the cause of this failure."""
    return verdict.kind in STALL_KINDS or verdict.status == REQUEST_TIMEOUT


def used_up_resource(error: BaseException) -> str:
    """What this process or its host had none left of, as the cause of an exception; "" if nothing.

    Returns:
        A short sign: the name of an error number (`EMFILE`), `MemoryError` or `no thread`.
    """
    for link in _links(error):
        if isinstance(link, MemoryError):
            return "MemoryError"
        if isinstance(link, OSError) and (number := peek(link, "errno")) in _USED_UP:
            return errno.errorcode[number]
        if isinstance(link, RuntimeError) and message_of(link).endswith(_NO_THREAD):
            return "no thread"
    return ""


def circuit_effect(
    rules: Mapping[FailureKind, Rule], verdict: Verdict, *, stalled: bool
) -> CircuitEffect:
    """What a failure does to the provider's circuit and health.

    Args:
        rules: the rules of the call's route.
        verdict: the verdict on the attempt.
        stalled: whether the event loop stalled during the attempt.
    """
    if verdict.local or (stalled and may_be_from_stall(verdict)):
        return CircuitEffect.NEUTRAL
    return rules[verdict.kind].circuit


def _links(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it was raised from or wraps, and members of groups; bounded."""
    links: list[BaseException | None] = [error]
    seen: set[int] = set()
    for link in links:  # it grows meanwhile
        if link is None or id(link) in seen:
            continue
        if len(seen) == _MAX_LINKS:
            return
        seen.add(id(link))
        yield link
        links.append(link.__cause__ or (None if link.__suppress_context__ else link.__context__))
        parts = peek(link, "args")
        if isinstance(parts, tuple):
            links += [part for part in parts if isinstance(part, BaseException)]  # as of httpcore
        if isinstance(link, BaseExceptionGroup):
            links += link.exceptions
