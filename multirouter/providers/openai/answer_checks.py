"""Looks at the types in an answer, so that one nobody could read leads on to the next provider.

Fields nobody here reads pass whatever they are. Lists of parts as content are Mistral's, objects
as arguments are those of several local servers: both are left to whoever reads them.
"""

from __future__ import annotations

from typing import Any


def check_choice(choice: Any, said: str) -> None:
    """Looks at one choice of an answer or of a chunk.

    Args:
        choice: as it came.
        said: where it holds what was said: "message" or "delta".

    Raises:
        TypeError: when something has a type that nobody expects there.
    """
    _must(choice, dict, "a choice")
    _may(choice.get("index"), int, "index")
    _may(choice.get("finish_reason"), str, "finish_reason")
    message = choice.get(said)
    if message is None:
        return
    _must(message, dict, said)
    _may(message.get("content"), (str, list), "content")
    calls = message.get("tool_calls")
    if calls:
        _must(calls, list, "tool_calls")
        for call in calls:
            _check_call(call)


def _check_call(call: Any) -> None:
    _must(call, dict, "a tool call")
    _may(call.get("id"), str, "a tool call's id")
    function = call.get("function")
    if function is not None:
        _must(function, dict, "a tool call's function")
        _may(function.get("name"), str, "a function's name")
        _may(function.get("arguments"), (str, dict), "a function's arguments")


def _must(value: Any, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{what} is {value!r:.80}")


def _may(value: Any, kinds: type | tuple[type, ...], what: str) -> None:
    if value is not None and not isinstance(value, kinds):
        raise TypeError(f"{what} is {value!r:.80}")
