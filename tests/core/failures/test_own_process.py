"""Which failures the own process may have caused, and what they do to the circuit."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.core.failures.own_process import (
    circuit_effect,
    may_be_from_stall,
    used_up_resource,
)
from multirouter.core.settings.failure_rules import RULES, CircuitEffect
from multirouter.model import FailureKind, Verdict
from tests.core.classification import verdict

CAUSED = {FailureKind.TIMEOUT, FailureKind.TRANSPORT, FailureKind.INTERRUPTED}


@pytest.mark.parametrize("kind", [*FailureKind])
def test_what_the_provider_answered_counts(kind: FailureKind) -> None:
    """Only kinds without an answer of the provider are neutral, and only after a stall."""
    found, usual = Verdict(kind), RULES[kind].circuit
    assert may_be_from_stall(found) == (kind in CAUSED)
    assert circuit_effect(RULES, found, stalled=False) is usual
    neutral = CircuitEffect.NEUTRAL if kind in CAUSED else usual
    assert circuit_effect(RULES, found, stalled=True) is neutral


def test_a_server_that_waited_for_the_request_is_not_at_fault() -> None:
    """A status 408 after a stall: the request was sent too slowly."""
    found = Verdict(FailureKind.SERVER, status=408)
    assert circuit_effect(RULES, found, stalled=True) is CircuitEffect.NEUTRAL
    assert circuit_effect(RULES, found, stalled=False) is CircuitEffect.FAILURE


# ── no resources left ─────────────────────────────────────────────────────────────────────────────


def raised_from(error: Exception, *causes: BaseException) -> Exception:
    """An exception that was raised from others, one from the next."""
    link: BaseException = error
    for cause in causes:
        link.__cause__ = cause
        link = cause
    return error


def no_descriptor() -> OSError:
    return OSError(errno.EMFILE, "Too many open files")


class ClientConnectorError(OSError):
    """As aiohttp has it: a subclass with the number of what it wraps."""


ClientConnectorError.__module__ = "aiohttp.client_exceptions"


@pytest.mark.parametrize(
    ("error", "resource"),
    [
        (no_descriptor(), "EMFILE"),
        (OSError(errno.ENFILE, "file table overflow"), "ENFILE"),
        (OSError(errno.ENOBUFS, "no buffer space"), "ENOBUFS"),
        (ClientConnectorError(errno.EMFILE, "Too many open files"), "EMFILE"),
        (raised_from(ConnectionError("wrapped"), ValueError(), no_descriptor()), "EMFILE"),
        (raised_from(OSError("all attempts"), ExceptionGroup("", [no_descriptor()])), "EMFILE"),
        (ConnectionError(no_descriptor()), "EMFILE"),
        (MemoryError(), "MemoryError"),
        (RuntimeError("can't start new thread"), "no thread"),
        (
            raised_from(
                ProviderError("x", provider="a", kind=FailureKind.TRANSPORT), no_descriptor()
            ),
            "EMFILE",
        ),
    ],
)
def test_a_process_without_resources_is_the_cause(error: Exception, resource: str) -> None:
    """The failure keeps its kind, and is neutral for the provider."""
    found = verdict(error)
    assert (found.local, found.reason) == (True, f"{resource} in this process")
    assert found.kind in {FailureKind.TRANSPORT, FailureKind.UNKNOWN}
    assert circuit_effect(RULES, found, stalled=False) is CircuitEffect.NEUTRAL


def test_what_was_being_handled_is_a_cause_unless_it_is_suppressed() -> None:
    """`raise ... from None` says that it was not."""
    error = ValueError("other")
    error.__context__ = no_descriptor()
    assert used_up_resource(error) == "EMFILE"
    error.__suppress_context__ = True
    assert used_up_resource(error) == ""


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        OSError("unknown"),
        RuntimeError("a thread"),
        RuntimeError(),
        ValueError("Too many open files"),
    ],
)
def test_other_failures_are_the_providers(error: Exception) -> None:
    """Also one whose text looks like it."""
    assert not verdict(error).local


def test_an_answer_is_never_the_own_process() -> None:
    """A status is from the provider, whatever the exception was raised from."""
    error: Any = raised_from(RuntimeError("503"), no_descriptor())
    error.status_code = 503
    assert not verdict(error).local


def test_a_cycle_of_causes_ends() -> None:
    """Exceptions may be each other's cause, and groups may be large."""
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert used_up_resource(first) == ""
    many = ExceptionGroup("many", [ValueError(str(n)) for n in range(1000)])
    assert used_up_resource(many) == ""
