"""The wire: who hears what, in which order, and what a bad listener cannot do."""

from __future__ import annotations

import pytest

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import KINDS, HoldChanged, Listener, PanicStarted

NEWS = PanicStarted("r", "default")


class Ear(Listener):
    """Hears two kinds, and does what it is told to when it hears one."""

    def __init__(self, then=None) -> None:
        self.heard: list[object] = []
        self.then = then

    def panic_started(self, news: PanicStarted) -> None:
        self.heard.append(news)
        if self.then is not None:
            self.then(news)

    def hold_changed(self, news: HoldChanged) -> None:
        self.heard.append(news)


def never(hear, error) -> None:
    """No listener is expected to fail."""
    raise AssertionError(error)


def test_a_listener_hears_what_it_overrides() -> None:
    """News of a kind reach those who override its method, in the order of their joining."""
    order: list[str] = []
    first, second = Ear(lambda _: order.append("first")), Ear(lambda _: order.append("second"))
    dispatcher = EventDispatcher([first, Listener()], never)
    dispatcher.add(second)
    dispatcher.post("panic_started", NEWS)
    assert order == [], "posted, not told"
    dispatcher.deliver()
    assert order == ["first", "second"]
    assert first.heard == second.heard == [NEWS]
    dispatcher.deliver()
    assert order == ["first", "second"], "told once"


def test_what_nobody_hears_is_not_kept() -> None:
    """A kind without a listener leaves nothing in the queue."""
    dispatcher = EventDispatcher([Ear()], never)
    dispatcher.post("call_ended", object())
    assert not dispatcher._queue
    with pytest.raises(KeyError):
        dispatcher.post("no_such_kind", NEWS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_heard_alone(kind: str) -> None:
    """A listener of one kind hears that one, with all its news, and a bare one hears nothing."""
    heard: list[tuple[object, ...]] = []
    ear = type("One", (Listener,), {kind: lambda self, *news: heard.append(news)})()
    dispatcher = EventDispatcher([ear, Listener()], never)
    assert dispatcher.starts_heard is (kind == "attempt_started")
    for each in KINDS:
        dispatcher.post(each, (each, 1))
    dispatcher.deliver()
    assert heard == ([(kind, 1)] if kind == "attempt_started" else [((kind, 1),)])
    arguments = [None] * (2 if kind == "attempt_started" else 1)
    assert getattr(Listener(), kind)(*arguments) is None


def test_a_method_set_on_the_object_is_heard_too() -> None:
    """Not only a subclass may override: a function on the instance does as well."""
    heard: list[object] = []
    listener = Listener()
    listener.panic_started = heard.append  # type: ignore[method-assign]
    dispatcher = EventDispatcher([listener], never)
    dispatcher.post("panic_started", NEWS)
    dispatcher.deliver()
    assert heard == [NEWS]


def test_a_broken_listener_harms_nobody() -> None:
    """Case 38 (the wire's half): it is reported, the others hear the news, later news as well."""
    error = ValueError("x")
    reported: list[tuple[object, Exception]] = []

    def fails(news: PanicStarted) -> None:
        raise error

    bad, good = Ear(fails), Ear()
    dispatcher = EventDispatcher([bad, good], lambda hear, raised: reported.append((hear, raised)))
    for _ in range(2):
        dispatcher.post("panic_started", NEWS)
    dispatcher.deliver()
    assert good.heard == [NEWS, NEWS]
    assert reported == [(bad.panic_started, error)] * 2


def test_news_that_a_listener_causes_queue_behind() -> None:
    """A listener that calls back is obeyed at once; what that causes is told afterwards."""
    dispatcher = EventDispatcher([], never)
    hold_changed = HoldChanged("r", "a", "open")

    def calls_back(news: PanicStarted) -> None:
        dispatcher.post("hold_changed", hold_changed)
        dispatcher.deliver()
        assert after.heard == []

    dispatcher.add(Ear(calls_back))
    after = Ear()
    dispatcher.add(after)
    dispatcher.post("panic_started", NEWS)
    dispatcher.deliver()
    assert after.heard == [NEWS, hold_changed]


def test_what_stops_the_world_leaves_the_wire_usable() -> None:
    """A KeyboardInterrupt in a listener goes through, and the wire tells on afterwards."""

    def stops(news: PanicStarted) -> None:
        ear.then = None
        raise KeyboardInterrupt

    ear = Ear(stops)
    dispatcher = EventDispatcher([ear], never)
    dispatcher.post("panic_started", NEWS)
    dispatcher.post("panic_started", NEWS)
    with pytest.raises(KeyboardInterrupt):
        dispatcher.deliver()
    dispatcher.deliver()
    assert ear.heard == [NEWS, NEWS]
