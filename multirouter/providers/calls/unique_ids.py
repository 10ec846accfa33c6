"""Ids of tool calls that are unique in a conversation.

Some services number the calls of each answer from the start, or give all calls of a tool one id.
Others reject a conversation with an id that occurs twice.
"""

from __future__ import annotations

from collections.abc import Callable


class UniqueIds:
    """Gives each call of a conversation an id of its own, and its result the same.

    The first call with an id keeps it. The same conversation always gets the same ids, so prompts
    stay equal from turn to turn.

    Args:
        valid: returns an id in the form that the service accepts.
    """

    def __init__(self, valid: Callable[[str], str]) -> None:
        self._valid = valid
        self._counts: dict[str, int] = {}
        self._answered: dict[str, int] = {}

    def of_call(self, call_id: str) -> str:
        """The id of the next call with this id."""
        number = self._counts[call_id] = self._counts.get(call_id, 0) + 1
        return self._numbered(call_id, number)

    def of_result(self, call_id: str) -> str:
        """The id of the earliest call with this id that has no result yet, or else of the last."""
        number = min(self._answered.get(call_id, 0) + 1, self._counts.get(call_id, 1))
        self._answered[call_id] = number
        return self._numbered(call_id, number)

    def _numbered(self, call_id: str, number: int) -> str:
        return self._valid(call_id if number == 1 else f"{call_id} #{number}")
