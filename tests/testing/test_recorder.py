"""The recorder: keeps all news in order and finds it again."""

from __future__ import annotations

import pytest

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import KINDS, CircuitChanged, CooldownStarted
from multirouter.errors import UsageError
from multirouter.testing import Recorder


def change(provider, old, new, generation):
    return CircuitChanged("r", provider, old, new, "failures", generation, 5.0, 1.0)


def wire(recorder):
    def broken(hear, error):
        raise error

    return EventDispatcher([recorder], broken)


def test_hears_every_kind_in_order():
    """Every kind of news that a listener can hear is kept, in order, as it was told."""
    recorder = Recorder()
    news = wire(recorder)
    for kind in KINDS:
        news.post(kind, ("a", "call") if kind == "attempt_started" else kind)
    news.deliver()
    assert recorder.kinds == list(KINDS)
    assert recorder.of("attempt_started") == [("a", "call")]
    assert recorder.calls == ["call_ended"]
    assert recorder.attempts == ["attempt_ended"]


def test_transitions_of_one_provider():
    """A provider's transitions are told apart from others', in order."""
    recorder = Recorder()
    news = wire(recorder)
    news.post("circuit_changed", change("a", "closed", "open", 1))
    news.post("circuit_changed", change("b", "closed", "open", 1))
    news.post("cooldown_started", CooldownStarted("r", "a", 5.0, asked=True, at=0.0))
    news.post("circuit_changed", change("a", "open", "half_open", 2))
    news.deliver()
    assert recorder.transitions("a") == ["closed > open", "open > half_open"]
    recorder.clear()
    assert recorder.transitions("a") == []


def test_unknown_kinds_are_refused():
    """A misspelt kind is an error that lists the kinds, not an empty list."""
    with pytest.raises(UsageError, match="circuit_changed"):
        Recorder().of("circuit_change")


def test_capacity():
    """With a capacity, the latest news is kept."""
    recorder = Recorder(capacity=2)
    for number in range(5):
        recorder.cooldown_started(CooldownStarted("r", "a", float(number), asked=False, at=0.0))
    assert [news.seconds for news in recorder.of("cooldown_started")] == [3, 4]
