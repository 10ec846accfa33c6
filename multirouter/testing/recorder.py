"""A listener that keeps all news in order, for tests to look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from multirouter.core import validation as check
from multirouter.core.events import KINDS, Listener
from multirouter.errors import UsageError

if TYPE_CHECKING:
    from multirouter.model import AttemptRecord, CallOutcome


class Recorder(Listener):
    """Keeps every piece of news: `MultiProviderRouter(..., listeners=[recorder])`.

    Attributes:
        news: pairs of a kind (the name of a `Listener` method) and what was told, in order: the
            news object itself, or the tuple of arguments where a kind has several.

    Args:
        capacity: how many pieces are kept, the latest; None keeps all.
    """

    def __init__(self, capacity: int | None = None) -> None:
        if capacity is not None:
            check.count("Recorder.capacity", capacity)
        self.news: deque[tuple[str, Any]] = deque(maxlen=capacity)

    def of(self, kind: str) -> list[Any]:
        """What was told of one kind, in order.

        Raises:
            UsageError: there is no such kind of news.
        """
        if kind not in KINDS:
            raise UsageError(f"no news is called {kind!r}; there are {', '.join(KINDS)}")
        return [news for told, news in self.news if told == kind]

    @property
    def kinds(self) -> list[str]:
        """The kinds of all news, in order."""
        return [kind for kind, _ in self.news]

    @property
    def calls(self) -> list[CallOutcome[Any]]:
        """The outcome of each ended call."""
        return self.of("call_ended")

    @property
    def attempts(self) -> list[AttemptRecord]:
        """The record of each ended attempt."""
        return self.of("attempt_ended")

    def transitions(self, provider: str) -> list[str]:
        """The way of one provider's circuit: `["closed > open", "open > half_open", ...]`."""
        changes = self.of("circuit_changed")
        return [f"{c.old} > {c.new}" for c in changes if c.provider == provider]

    def clear(self) -> None:
        """Forgets all news."""
        self.news.clear()


def _keeping(kind: str) -> Callable[..., None]:
    def keep(self: Recorder, *news: Any) -> None:
        self.news.append((kind, news[0] if len(news) == 1 else news))

    keep.__name__ = kind
    keep.__qualname__ = f"Recorder.{kind}"
    keep.__doc__ = f"Keeps the news `{kind}`."
    return keep


# Every kind that a Listener has or will have is kept; none can be forgotten here.
for _kind in KINDS:
    setattr(Recorder, _kind, _keeping(_kind))
