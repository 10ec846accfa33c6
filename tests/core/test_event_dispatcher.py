"""EventDispatcher: delivery, order, and listeners that raise."""

from __future__ import annotations

import pytest

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import HoldChanged, PanicStarted
from multirouter.core.listener import EVENT_NAMES, Listener
from multirouter.errors import ConfigurationError

EVENT = PanicStarted("r", "default")


class RecordingListener(Listener):
    """Handles two kinds of events, and calls `then` for each PanicStarted."""

    def __init__(self, then=None) -> None:
        self.events: list[object] = []
        self.then = then

    def panic_started(self, event: PanicStarted) -> None:
        self.events.append(event)
        if self.then is not None:
            self.then(event)

    def hold_changed(self, event: HoldChanged) -> None:
        self.events.append(event)


def no_error_expected(handler, error) -> None:
    """Fails the test when a listener raises."""
    raise AssertionError(error)


def test_listeners_receive_overridden_events_in_order_of_registration() -> None:
    """An event reaches every listener that overrides its method, once, on delivery."""
    order: list[str] = []
    first = RecordingListener(lambda _: order.append("first"))
    second = RecordingListener(lambda _: order.append("second"))
    dispatcher = EventDispatcher([first, Listener()], no_error_expected)
    dispatcher.add(second)
    dispatcher.post("panic_started", EVENT)
    assert order == [], "queued, not delivered"
    dispatcher.deliver()
    assert order == ["first", "second"]
    assert first.events == second.events == [EVENT]
    dispatcher.deliver()
    assert order == ["first", "second"], "delivered once"


def test_an_event_without_handlers_is_not_queued() -> None:
    """An event without a handler leaves nothing in the queue; an unknown name is an error."""
    dispatcher = EventDispatcher([RecordingListener()], no_error_expected)
    dispatcher.post("call_ended", object())
    assert not dispatcher._queue
    with pytest.raises(KeyError):
        dispatcher.post("no_such_event", EVENT)


@pytest.mark.parametrize("name", EVENT_NAMES)
def test_a_listener_of_one_method_receives_only_its_events(name: str) -> None:
    """The method gets all arguments; a listener without overrides gets nothing."""
    received: list[tuple[object, ...]] = []
    listener = type("One", (Listener,), {name: lambda self, *event: received.append(event)})()
    dispatcher = EventDispatcher([listener, Listener()], no_error_expected)
    assert dispatcher.has_start_listeners is (name == "attempt_started")
    for each in EVENT_NAMES:
        dispatcher.post(each, (each, "call"))
    dispatcher.deliver()
    assert received == ([(name, "call")] if name == "attempt_started" else [((name, "call"),)])
    arguments = [None] * (2 if name == "attempt_started" else 1)
    assert getattr(Listener(), name)(*arguments) is None


def test_a_removed_listener_costs_no_event_of_a_start() -> None:
    """What only it handled is posted no more; a tracer still follows the starts."""
    listener = type("One", (Listener,), {"attempt_started": lambda self, *event: None})()
    dispatcher = EventDispatcher([listener], no_error_expected)
    dispatcher.remove(listener)
    assert not dispatcher.has_start_listeners
    dispatcher.follow_attempts()
    dispatcher.add(listener)
    dispatcher.remove(listener)
    assert dispatcher.has_start_listeners


def test_a_function_set_on_the_instance_is_a_handler() -> None:
    """A method may be overridden on the instance as well as in a subclass."""
    received: list[object] = []
    listener = Listener()
    listener.panic_started = received.append  # type: ignore[method-assign]
    dispatcher = EventDispatcher([listener], no_error_expected)
    dispatcher.post("panic_started", EVENT)
    dispatcher.deliver()
    assert received == [EVENT]


def test_an_exception_of_a_listener_is_reported_and_has_no_other_effect() -> None:
    """Case 38 (dispatcher): the other listeners get the event, and later events are delivered."""
    error = ValueError("x")
    reported: list[tuple[object, Exception]] = []

    def fails(event: PanicStarted) -> None:
        raise error

    bad, good = RecordingListener(fails), RecordingListener()
    dispatcher = EventDispatcher(
        [bad, good], lambda handler, raised: reported.append((handler, raised))
    )
    for _ in range(2):
        dispatcher.post("panic_started", EVENT)
    dispatcher.deliver()
    assert good.events == [EVENT, EVENT]
    assert reported == [(bad.panic_started, error)] * 2


def test_events_caused_by_a_listener_are_delivered_afterwards() -> None:
    """An event that a listener causes is queued until the current one was delivered to all."""
    dispatcher = EventDispatcher([], no_error_expected)
    hold_changed = HoldChanged("r", "a", "open")

    def calls_back(event: PanicStarted) -> None:
        dispatcher.post("hold_changed", hold_changed)
        dispatcher.deliver()
        assert after.events == []

    dispatcher.add(RecordingListener(calls_back))
    after = RecordingListener()
    dispatcher.add(after)
    dispatcher.post("panic_started", EVENT)
    dispatcher.deliver()
    assert after.events == [EVENT, hold_changed]


def test_delivery_continues_after_a_keyboard_interrupt() -> None:
    """A KeyboardInterrupt in a listener propagates; later deliveries work."""

    def interrupts(event: PanicStarted) -> None:
        listener.then = None
        raise KeyboardInterrupt

    listener = RecordingListener(interrupts)
    dispatcher = EventDispatcher([listener], no_error_expected)
    dispatcher.post("panic_started", EVENT)
    dispatcher.post("panic_started", EVENT)
    with pytest.raises(KeyboardInterrupt):
        dispatcher.deliver()
    dispatcher.deliver()
    assert listener.events == [EVENT, EVENT]


def test_an_async_method_is_invalid() -> None:
    """It would never run: nothing awaits it."""

    class Async(Listener):
        async def panic_started(self, event: PanicStarted) -> None:  # type: ignore[override]
            raise AssertionError

    with pytest.raises(ConfigurationError, match=r"^Async\.panic_started: must be a plain "):
        EventDispatcher([Async()], no_error_expected)


def test_a_method_with_other_arguments_is_invalid() -> None:
    """It would fail at the first event."""

    class Wrong(Listener):
        def panic_started(self) -> None:  # type: ignore[override]
            raise AssertionError

    with pytest.raises(ConfigurationError, match=r"panic_started: must take \(event\)"):
        EventDispatcher([Wrong()], no_error_expected)


def test_each_listener_of_a_class_is_checked() -> None:
    """A wrong method is an error for the second of a class too, and so is one of its own."""

    class Wrong(Listener):
        async def hold_changed(self, event: HoldChanged) -> None:
            pass

    for _ in range(2):
        with pytest.raises(ConfigurationError, match="hold_changed"):
            EventDispatcher([Wrong()], no_error_expected)
    right, own = RecordingListener(), RecordingListener()
    own.hold_changed = lambda: None
    EventDispatcher([right, RecordingListener()], no_error_expected)
    with pytest.raises(ConfigurationError, match="hold_changed"):
        EventDispatcher([own], no_error_expected)


@pytest.mark.parametrize("name", ["panic_started", "attempt_started"])
def test_a_method_that_returns_a_coroutine_is_reported(name: str) -> None:
    """One that hides its `async` from the check is reported like one that raises."""

    async def lazily() -> None:
        raise AssertionError

    listener = Listener()
    setattr(listener, name, lambda *event: lazily())
    errors: list[Exception] = []
    dispatcher = EventDispatcher([listener], lambda _, error: errors.append(error))
    dispatcher.post(name, ("a", "call") if name == "attempt_started" else EVENT)
    dispatcher.deliver()
    (error,) = errors
    assert str(error).endswith("must be a plain function, but it returned a coroutine")


def test_a_removed_listener_receives_nothing() -> None:
    """Others keep their order; one that was never added, or is equal, changes nothing."""
    order: list[str] = []
    first, second, third = (
        RecordingListener(lambda _, name=name: order.append(name)) for name in ("1", "2", "3")
    )
    dispatcher = EventDispatcher([first, second, third], no_error_expected)
    dispatcher.remove(second)
    dispatcher.remove(RecordingListener())
    dispatcher.post("panic_started", EVENT)
    dispatcher.deliver()
    assert order == ["1", "3"]
    dispatcher.remove(first)
    dispatcher.remove(third)
    dispatcher.post("panic_started", EVENT)
    assert not dispatcher._queue


def test_an_invalid_listener_leaves_no_part_of_it() -> None:
    """A listener of which a later method is invalid gets no event of the others."""

    class Wrong(RecordingListener):
        async def call_ended(self, event: object) -> None: ...

    dispatcher = EventDispatcher([], no_error_expected)
    with pytest.raises(ConfigurationError):
        dispatcher.add(Wrong())
    assert set(dispatcher._handlers.values()) == {()}
