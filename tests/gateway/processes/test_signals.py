"""Signals are recorded, and acted upon by the loop."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from multirouter.gateway import signals as module
from multirouter.gateway.signals import Signals


@pytest.fixture(name="recorded")
def recorded_fixture() -> Iterator[Signals]:
    recorded = Signals([signal.SIGHUP, signal.SIGTERM])
    yield recorded
    recorded.close()


def test_signals_are_recorded_once_in_order(recorded: Signals) -> None:
    """The descriptor is readable until they are taken, however many came."""
    assert recorded.take() == []
    for number in (signal.SIGTERM, *[signal.SIGHUP] * 1000, signal.SIGTERM):
        os.kill(os.getpid(), number)
    assert select.select([recorded], [], [], 0)[0]
    assert recorded.take() == [signal.SIGTERM, signal.SIGHUP]
    assert not select.select([recorded], [], [], 0)[0]
    assert recorded.take() == []


def test_handlers_of_before_are_restored() -> None:
    """Except where another handler has replaced its own."""
    before = signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM)
    recorded = Signals([signal.SIGHUP, signal.SIGTERM])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    recorded.close()
    assert signal.getsignal(signal.SIGHUP) == before[0]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    signal.signal(signal.SIGTERM, before[1])


@pytest.mark.parametrize(
    ("terminals", "ignored", "means"),
    [
        ([True, True], False, signal.SIGHUP),  # sent by `kill`
        ([True, False], False, signal.SIGINT),  # the terminal was closed
        ([True, False], True, signal.SIGHUP),  # under nohup
        ([False, False], False, signal.SIGHUP),  # a service
    ],
)
def test_hangup_of_a_terminal(
    terminals: list[bool], ignored: bool, means: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP means "reload", but not when the terminal it began with is closed."""
    monkeypatch.setattr(module, "_has_terminal", lambda: terminals.pop(0))
    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    recorded = Signals([signal.SIGHUP])
    os.kill(os.getpid(), signal.SIGHUP)
    assert recorded.take() == [means]
    recorded.close()
    signal.signal(signal.SIGHUP, before)


def test_blocked_signals_arrive_afterwards(recorded: Signals) -> None:
    """A signal that arrives while blocked is not lost."""
    with module.blocked([signal.SIGHUP]):
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)  # other threads do not block it
        assert recorded.take() == []
    assert recorded.take() == [signal.SIGHUP]
