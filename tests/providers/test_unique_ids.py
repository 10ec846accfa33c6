"""Ids of calls that occur more than once in a conversation."""

from __future__ import annotations

from multirouter.providers.anthropic.conversation import tool_id
from multirouter.providers.calls.unique_ids import UniqueIds


def test_every_call_has_an_id_of_its_own() -> None:
    """The first keeps its id; results go to calls in their order, and the last takes the rest."""
    ids = UniqueIds(tool_id)
    first, second = ids.of_call("a"), ids.of_call("a")
    assert first == "a" != second
    assert tool_id(second) == second
    assert [ids.of_result("a") for _ in range(3)] == [first, second, second]
    assert ids.of_result("unknown") == "unknown"
    assert ids.of_call("a") not in {first, second}


def test_the_same_conversation_has_the_same_ids() -> None:
    """Prompts stay equal from turn to turn."""
    one, other = UniqueIds(tool_id), UniqueIds(tool_id)
    assert [one.of_call("a") for _ in range(3)] == [other.of_call("a") for _ in range(3)]
