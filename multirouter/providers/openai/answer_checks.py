"""Type checks of a response, so that one that no client could read fails over to another provider.

Fields that nothing reads are not checked. Content as a list of parts (Mistral) and arguments as an
object (several local servers) are accepted.
"""

from __future__ import annotations

from typing import Any


def check_choice(choice: Any, key: str) -> None:
    """Checks the types in one choice of a response or a chunk.

    Args:
        choice: the choice, of any type.
        key: where its content is: "message" or "delta".

    Raises:
        TypeError: for a value of an unexpected type.
    """
    _require_type(choice, dict, "a choice")
    _allow_type(choice.get("index"), int, "index")
    _allow_type(choice.get("finish_reason"), str, "finish_reason")
    message = choice.get(key)
    if message is None:
        return
    _require_type(message, dict, key)
    _allow_type(message.get("content"), (str, list), "content")
    calls = message.get("tool_calls")
    if calls:
        _require_type(calls, list, "tool_calls")
        for call in calls:
            _check_call(call)


def _check_call(call: Any) -> None:
    _require_type(call, dict, "a tool call")
    _allow_type(call.get("id"), str, "a tool call's id")
    function = call.get("function")
    if function is not None:
        _require_type(function, dict, "a tool call's function")
        _allow_type(function.get("name"), str, "a function's name")
        _allow_type(function.get("arguments"), (str, dict), "a function's arguments")


def _require_type(value: Any, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{what} is {value!r:.80}")


def _allow_type(value: Any, kinds: type | tuple[type, ...], what: str) -> None:
    if value is not None and not isinstance(value, kinds):
        raise TypeError(f"{what} is {value!r:.80}")
