"""A listener that records all events in order, for assertions in tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from multirouter.core import validation as check
from multirouter.core.listener import EVENT_NAMES, Listener
from multirouter.errors import UsageError

if TYPE_CHECKING:
    from multirouter.model import AttemptRecord, CallOutcome


class Recorder(Listener):
    """Records every event: `MultiProviderRouter(..., listeners=[recorder])`.

    Attributes:
        events: pairs of a kind (the name of a `Listener` method) and the event, in order; for
            kinds with several arguments the tuple of arguments instead of an event.

    Args:
        capacity: how many of the latest events are kept, >= 1; None keeps all.
    """

    def __init__(self, capacity: int | None = None) -> None:
        if capacity is not None:
            check.count("Recorder.capacity", capacity)
        self.events: deque[tuple[str, Any]] = deque(maxlen=capacity)

    def of(self, kind: str) -> list[Any]:
        """The events of one kind, in order.

        Raises:
            UsageError: the kind is unknown.
        """
        if kind not in EVENT_NAMES:
            raise UsageError(f"unknown event kind {kind!r}; known kinds: {', '.join(EVENT_NAMES)}")
        return [event for recorded, event in self.events if recorded == kind]

    @property
    def kinds(self) -> list[str]:
        """The kinds of all events, in order."""
        return [kind for kind, _ in self.events]

    @property
    def calls(self) -> list[CallOutcome[Any]]:
        """The outcome of each ended call."""
        return self.of("call_ended")

    @property
    def attempts(self) -> list[AttemptRecord]:
        """The record of each ended attempt."""
        return self.of("attempt_ended")

    def transitions(self, provider: str) -> list[str]:
        """State changes of one provider's circuit: `["closed > open", "open > half_open", ...]`."""
        changes = self.of("circuit_changed")
        return [f"{c.old} > {c.new}" for c in changes if c.provider == provider]

    def clear(self) -> None:
        """Removes all events."""
        self.events.clear()


def _recording_method(kind: str) -> Callable[..., None]:
    def record(self: Recorder, *arguments: Any) -> None:
        self.events.append((kind, arguments[0] if len(arguments) == 1 else arguments))

    record.__name__ = kind
    record.__qualname__ = f"Recorder.{kind}"
    record.__doc__ = f"Records the event `{kind}`."
    return record


# Made from the list of kinds, so that new kinds of events are recorded too.
for _kind in EVENT_NAMES:
    setattr(Recorder, _kind, _recording_method(_kind))
