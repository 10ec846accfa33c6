"""The wire: who hears what, in which order, and what a bad listener cannot do."""

from __future__ import annotations

import pytest

from multirouter.core.event_dispatcher import Newswire
from multirouter.core.events import KINDS, Held, Listener, Panicked

NEWS = Panicked("r", "default")


class Ear(Listener):
    """Hears two kinds, and does what it is told to when it hears one."""

    def __init__(self, then=None) -> None:
        self.heard: list[object] = []
        self.then = then

    def panicked(self, news: Panicked) -> None:
        self.heard.append(news)
        if self.then is not None:
            self.then(news)

    def held(self, news: Held) -> None:
        self.heard.append(news)


def never(hear, error) -> None:
    """No listener is expected to fail."""
    raise AssertionError(error)


def test_a_listener_hears_what_it_overrides() -> None:
    """News of a kind reach those who override its method, in the order of their joining."""
    order: list[str] = []
    first, second = Ear(lambda _: order.append("first")), Ear(lambda _: order.append("second"))
    wire = Newswire([first, Listener()], never)
    wire.add(second)
    wire.post("panicked", NEWS)
    assert order == [], "posted, not told"
    wire.deliver()
    assert order == ["first", "second"]
    assert first.heard == second.heard == [NEWS]
    wire.deliver()
    assert order == ["first", "second"], "told once"


def test_what_nobody_hears_is_not_kept() -> None:
    """A kind without a listener leaves nothing in the queue."""
    wire = Newswire([Ear()], never)
    wire.post("call_ended", object())
    assert not wire._queue
    with pytest.raises(KeyError):
        wire.post("no_such_kind", NEWS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_heard_alone(kind: str) -> None:
    """A listener of one kind hears that one, with all its news, and a bare one hears nothing."""
    heard: list[tuple[object, ...]] = []
    ear = type("One", (Listener,), {kind: lambda self, *news: heard.append(news)})()
    wire = Newswire([ear, Listener()], never)
    assert wire.starts_heard is (kind == "attempt_started")
    for each in KINDS:
        wire.post(each, (each, 1))
    wire.deliver()
    assert heard == ([(kind, 1)] if kind == "attempt_started" else [((kind, 1),)])
    arguments = [None] * (2 if kind == "attempt_started" else 1)
    assert getattr(Listener(), kind)(*arguments) is None


def test_a_method_set_on_the_object_is_heard_too() -> None:
    """Not only a subclass may override: a function on the instance does as well."""
    heard: list[object] = []
    listener = Listener()
    listener.panicked = heard.append  # type: ignore[method-assign]
    wire = Newswire([listener], never)
    wire.post("panicked", NEWS)
    wire.deliver()
    assert heard == [NEWS]


def test_a_broken_listener_harms_nobody() -> None:
    """Case 38 (the wire's half): it is reported, the others hear the news, later news as well."""
    error = ValueError("x")
    reported: list[tuple[object, Exception]] = []

    def fails(news: Panicked) -> None:
        raise error

    bad, good = Ear(fails), Ear()
    wire = Newswire([bad, good], lambda hear, raised: reported.append((hear, raised)))
    for _ in range(2):
        wire.post("panicked", NEWS)
    wire.deliver()
    assert good.heard == [NEWS, NEWS]
    assert reported == [(bad.panicked, error)] * 2


def test_news_that_a_listener_causes_queue_behind() -> None:
    """A listener that calls back is obeyed at once; what that causes is told afterwards."""
    wire = Newswire([], never)
    held = Held("r", "a", "open")

    def calls_back(news: Panicked) -> None:
        wire.post("held", held)
        wire.deliver()
        assert after.heard == []

    wire.add(Ear(calls_back))
    after = Ear()
    wire.add(after)
    wire.post("panicked", NEWS)
    wire.deliver()
    assert after.heard == [NEWS, held]


def test_what_stops_the_world_leaves_the_wire_usable() -> None:
    """A KeyboardInterrupt in a listener goes through, and the wire tells on afterwards."""

    def stops(news: Panicked) -> None:
        ear.then = None
        raise KeyboardInterrupt

    ear = Ear(stops)
    wire = Newswire([ear], never)
    wire.post("panicked", NEWS)
    wire.post("panicked", NEWS)
    with pytest.raises(KeyboardInterrupt):
        wire.deliver()
    wire.deliver()
    assert ear.heard == [NEWS, NEWS]
