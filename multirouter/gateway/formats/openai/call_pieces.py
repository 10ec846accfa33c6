"""Separates the tool calls in a stream, and gives each its id and name once.

Services send the pieces of parallel calls with one index and different ids, or without an index, or
repeat id and name in each piece. Clients join pieces by their index, and ids and names with them.
"""

from __future__ import annotations

from typing import Any

Key = tuple[int | None, str]


class CallPieces:
    """The calls of one choice so far.

    Args:
        new_id: makes the id of the call with this number, where a service gave none.
    """

    def __init__(self, new_id: Any) -> None:
        self._new_id = new_id
        self._numbers: dict[Key, int] = {}
        self._current: dict[int | None, int] = {}
        self._with_arguments: set[int] = set()
        self._begun: set[int] = set()

    def normalize(self, call: dict[str, Any]) -> None:
        """Gives a piece the number of its call as index, in place.

        The first piece of a call has its id, type and name; later ones have neither.
        """
        index, id_ = call.get("index"), call.get("id") or ""
        index = index if type(index) is int else None
        number = call["index"] = self._number(index, id_, call)
        function = call.get("function")
        if number not in self._begun:
            self._begun.add(number)
            call["id"] = id_ or self._new_id(number)
            call.setdefault("type", "function")
        else:
            call.pop("id", None)
            call.pop("type", None)
            if isinstance(function, dict):
                function.pop("name", None)
        if isinstance(function, dict) and function.get("arguments"):
            self._with_arguments.add(number)

    @property
    def without_arguments(self) -> list[int]:
        """The numbers of the calls that have no arguments so far."""
        return sorted(self._begun - self._with_arguments)

    def _number(self, index: int | None, id_: str, call: dict[str, Any]) -> int:
        if id_:
            number = self._numbers.get((index, id_))
            return self._begin(index, id_) if number is None else number
        current = self._current.get(index)
        named = bool((call.get("function") or {}).get("name"))
        if current is None or (index is None and named):
            return self._begin(index, id_)
        return current

    def _begin(self, index: int | None, id_: str) -> int:
        free = index is not None and index >= 0 and index not in self._begun
        number = index if free and index is not None else max(self._begun, default=-1) + 1
        self._current[index] = number
        self._numbers[index, id_] = number
        return number
