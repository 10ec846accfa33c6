"""The last calls, kept in memory without their content."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from operator import itemgetter
from typing import Any

CAPACITY = 200
"""Calls that are kept."""

NOTABLE_CAPACITY = 60
"""Calls that were not simply answered, and are kept longer: plain ones soon push them out."""


class CallList:
    """The last calls; those that failed, failed over or were cancelled are kept longer.

    Args:
        capacity: calls that are kept; older ones are dropped.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._calls: deque[dict[str, Any] | Callable[[], dict[str, Any]]] = deque(maxlen=capacity)
        self._notable: deque[dict[str, Any]] = deque(maxlen=NOTABLE_CAPACITY)

    def add(self, call: dict[str, Any]) -> None:
        """Adds a call, which has at least `time` and `ending`."""
        self._calls.append(call)
        if call["ending"] != "answered":
            self._notable.append(call)

    def add_answered(self, read: Callable[[], dict[str, Any]]) -> None:
        """Adds a call that was simply answered; most of those are replaced before they are read.

        Args:
            read: returns the call, see `add`; called by each reader.
        """
        self._calls.append(read)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """At most `limit` calls, newest first."""
        newest = islice(reversed(self._calls.copy()), limit)
        return [call if isinstance(call, dict) else call() for call in newest]

    def shown(self, limit: int) -> list[dict[str, Any]]:
        """At most `limit` calls, and older ones that were not simply answered, newest first."""
        newest = self.newest(limit)
        listed = set(map(id, newest))
        older = [call for call in reversed(self._notable.copy()) if id(call) not in listed]
        return merged([newest, older])


def merged(lists: Iterable[Iterable[Any]]) -> list[Any]:
    """The calls of several lists, newest first."""
    calls = (call for calls in lists for call in calls)
    return sorted(calls, key=itemgetter("time"), reverse=True)
