"""Type checks of a response, so that one that no client could read fails over to another provider.

Fields that nothing reads are not checked. Content as a list of parts (Mistral) and arguments as an
object (several local servers) are accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

_CONTENT = (str, list)


def check_choice(choice: Any, key: str) -> None:
    """Checks the types in one choice of a response or a chunk.

    Args:
        choice: the choice, of any type.
        key: where its content is: "message" or "delta".

    Raises:
        TypeError: for a value of an unexpected type.
    """
    if not isinstance(choice, dict):
        _reject(choice, "a choice")
    index, reason = choice.get("index"), choice.get("finish_reason")
    if index is not None and not isinstance(index, int):
        _reject(index, "index")
    if reason is not None and not isinstance(reason, str):
        _reject(reason, "finish_reason")
    message = choice.get(key)
    if message is None:
        return
    if not isinstance(message, dict):
        _reject(message, key)
    content, calls = message.get("content"), message.get("tool_calls")
    if content is not None and not isinstance(content, _CONTENT):
        _reject(content, "content")
    if calls:
        if not isinstance(calls, list):
            _reject(calls, "tool_calls")
        for call in calls:
            _check_call(call)


def check_choices(answer: Mapping[str, Any]) -> None:
    """Checks all choices of a whole answer in the canonical format.

    Args:
        answer: the answer.

    Raises:
        TypeError: for a value of an unexpected type, or a choice without anything.
    """
    for choice in answer["choices"]:
        check_choice(choice, "message")
        if choice.get("message") is None and choice.get("finish_reason") is None:
            raise TypeError("a choice has neither a message nor a finish reason")


def check_call_text(*values: object) -> None:
    """Checks the id or the name of a call in a stream.

    Raises:
        TypeError: one is no text.
    """
    for value in values:
        if not isinstance(value, str):
            _reject(value, "a tool call's id or name")


def _check_call(call: Any) -> None:
    if not isinstance(call, dict):
        _reject(call, "a tool call")
    _allow_type(call.get("id"), str, "a tool call's id")
    function = call.get("function")
    if function is not None:
        if not isinstance(function, dict):
            _reject(function, "a tool call's function")
        _allow_type(function.get("name"), str, "a function's name")
        _allow_type(function.get("arguments"), (str, dict), "a function's arguments")


def _allow_type(value: Any, kinds: type | tuple[type, ...], what: str) -> None:
    if value is not None and not isinstance(value, kinds):
        _reject(value, what)


def _reject(value: Any, what: str) -> NoReturn:
    raise TypeError(f"{what} is {value!r:.80}")
