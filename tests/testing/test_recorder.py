"""The recorder: records all events in order and filters them by kind."""

from __future__ import annotations

import pytest

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import CircuitChanged, CooldownStarted
from multirouter.core.listener import EVENT_NAMES
from multirouter.errors import UsageError
from multirouter.testing import Recorder


def change(provider, old, new, generation):
    return CircuitChanged("r", provider, old, new, "failures", generation, 5.0, 1.0)


def dispatcher_of(recorder):
    """A dispatcher with this listener; an error in it fails the test."""

    def on_error(method, error):
        raise error

    return EventDispatcher([recorder], on_error)


def test_records_every_kind_in_order():
    """Every kind of event that a listener can receive is recorded unchanged, in order."""
    recorder = Recorder()
    dispatcher = dispatcher_of(recorder)
    for kind in EVENT_NAMES:
        dispatcher.post(kind, ("a", "call") if kind == "attempt_started" else kind)
    dispatcher.deliver()
    assert recorder.kinds == list(EVENT_NAMES)
    assert recorder.of("attempt_started") == [("a", "call")]
    assert recorder.calls == ["call_ended"]
    assert recorder.attempts == ["attempt_ended"]


def test_transitions_of_one_provider():
    """`transitions` returns the state changes of one provider only, in order."""
    recorder = Recorder()
    dispatcher = dispatcher_of(recorder)
    dispatcher.post("circuit_changed", change("a", "closed", "open", 1))
    dispatcher.post("circuit_changed", change("b", "closed", "open", 1))
    dispatcher.post(
        "cooldown_started", CooldownStarted("r", "a", 5.0, from_retry_after=True, at=0.0)
    )
    dispatcher.post("circuit_changed", change("a", "open", "half_open", 2))
    dispatcher.deliver()
    assert recorder.transitions("a") == ["closed > open", "open > half_open"]
    recorder.clear()
    assert recorder.transitions("a") == []


def test_unknown_kind_raises():
    """A misspelt kind raises an error that lists the kinds, instead of returning nothing."""
    with pytest.raises(UsageError, match="circuit_changed"):
        Recorder().of("circuit_change")


def test_capacity_keeps_the_latest_events():
    """With a capacity only the latest events are kept."""
    recorder = Recorder(capacity=2)
    for number in range(5):
        recorder.cooldown_started(
            CooldownStarted("r", "a", float(number), from_retry_after=False, at=0.0)
        )
    assert [event.seconds for event in recorder.of("cooldown_started")] == [3, 4]
